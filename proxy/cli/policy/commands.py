"""The commands `northgate policy ...`: what each takes and promises."""
# ruff: noqa: PLC0415  What a command does is imported when it runs, so that help comes at once.

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from proxy.cli.control.shadow_commands import promote, shadow

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode=None,
    help="Check, test, ask, explain, format, compare and try policies, or write tests.",
)

app.add_typer(shadow, name="shadow")
app.command()(promote)

Paths = Annotated[
    list[Path],
    typer.Argument(
        metavar="PATH", help="Files, or directories of .polar files.", show_default=False
    ),
]
Goal = Annotated[
    str,
    typer.Argument(metavar="GOAL", help='What is asked, such as \'allow(c, "call", Tool{"x"})\'.'),
]
FactPaths = Annotated[
    list[Path] | None,
    typer.Option("--facts", metavar="FILE", help="A file of facts; may be repeated."),
]
Now = Annotated[
    int | None,
    typer.Option("--now", metavar="UNIX", help="The second to decide at, instead of the clock's."),
]
AsJson = Annotated[bool, typer.Option("--json", help="Write one JSON document.")]
Portable = Annotated[
    bool,
    typer.Option(
        "--portable/--no-portable", help="Refuse, or accept, what Oso Cloud does not document."
    ),
]


def _run(work: Callable[[], int], *, json: bool) -> None:
    from proxy.cli.policy.endings import ended

    raise typer.Exit(ended(work, json=json))


@app.command()
def check(
    paths: Paths,
    *,
    portable: Portable = True,
    strict: Annotated[bool, typer.Option("--strict", help="Let warnings fail.")] = False,
    offers: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="What the servers offer, to compare names with."),
    ] = None,
    json: AsJson = False,
) -> None:
    """Parse and check files that together make up one policy.

    --offers FILE holds {"servers": [id], "tools": {id: input schema}, "prompts": {id: [argument]}};
    a server, tool, prompt or argument that the policy names and FILE does not have is a warning.

    Exit code 0 if it may be used, 1 if it has errors, 2 if a file cannot be read.

    JSON: ok, version, files, rules and tests (how many; null with errors),
    problems [file, line, column, end_line, end_column, severity, code, message, hint],
    demands [resource, facts, per_fact_of], the most that one question can need.
    """
    from proxy.cli.policy import check as command

    _run(
        lambda: command.run(paths, portable=portable, strict=strict, offers=offers, json=json),
        json=json,
    )


@app.command(name="test")
def run_tests(
    paths: Paths,
    *,
    only: Annotated[
        str | None, typer.Option(metavar="NAME", help="Run this test alone, without coverage.")
    ] = None,
    coverage: Annotated[
        bool, typer.Option(help="Name the rules and conditions that no test exercises.")
    ] = True,
    junit: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write the results as JUnit XML too.")
    ] = None,
    now: Now = None,
    portable: Portable = True,
    json: AsJson = False,
) -> None:
    """Run the tests that the policy files contain.

    A rule is proved if some asserted answer rests on it, and a condition exercised if some
    asserted denial rests on it alone.

    Exit code 0 if all pass, 1 if one fails, 2 if the policy cannot be used.

    JSON: ok, tests [name, file, line, column, passed, seconds,
    failures [file, line, column, message, details]],
    coverage {rules, conditions, unproved, unexercised}, or null.
    """
    from proxy.cli.policy import testing as command

    _run(
        lambda: command.run(
            paths,
            only=only,
            coverage=coverage,
            junit_file=junit,
            now=now,
            portable=portable,
            json=json,
        ),
        json=json,
    )


@app.command()
def query(
    paths: Paths,
    goal: Goal,
    *,
    facts: FactPaths = None,
    now: Now = None,
    portable: Portable = True,
    json: AsJson = False,
) -> None:
    """Ask a policy: list every binding of the variables in GOAL.

    A variable may have a type, as in 't: Tool'; then answers are of exactly that type. 'any Tool'
    stands for every tool there is or will be.

    Exit code 0 if there is an answer, 1 if there is none, 2 if the question cannot be asked.

    JSON: goal, answer (true or false), variables, bindings (one object for each answer). Values
    are JSON values; an entity is {"type", "id"}, every value of a type is {"any": TYPE}.
    """
    from proxy.cli.policy import query as command

    _run(
        lambda: command.run(paths, goal, facts=facts or [], now=now, portable=portable, json=json),
        json=json,
    )


@app.command()
def explain(
    paths: Paths,
    goal: Goal,
    *,
    facts: FactPaths = None,
    now: Now = None,
    depth: Annotated[int, typer.Option(min=1, help="How many levels of a proof to show.")] = 12,
    portable: Portable = True,
    json: AsJson = False,
) -> None:
    """Tell why GOAL holds, or what it lacks.

    Exit code 0 if it holds, 1 if it does not, 2 if the question cannot be asked.

    JSON: goal, answer (true or false),
    proofs [bindings, rules, steps [kind, claim, source, premises]],
    misses [rules, failed [kind, claim, conditions]].
    The premises of a step are indices of earlier steps; the last step is the goal.
    """
    from proxy.cli.policy import explain as command

    _run(
        lambda: command.run(
            paths, goal, facts=facts or [], now=now, depth=depth, portable=portable, json=json
        ),
        json=json,
    )


@app.command()
def fmt(
    paths: Annotated[
        list[Path],
        typer.Argument(
            metavar="PATH",
            help="Files, or directories of .polar files; - for stdin to stdout.",
            show_default=False,
            allow_dash=True,
        ),
    ],
    *,
    check: Annotated[
        bool, typer.Option("--check", help="Change nothing; list what would change.")
    ] = False,
    json: AsJson = False,
) -> None:
    """Lay out policy files in the one way, in place.

    Exit code 0, or 1 if --check finds files to change, or 2 if a file cannot be read or parsed.

    JSON: changed (files), unchanged (files), problems (as `check` writes them).
    """
    from proxy.cli.policy import fmt as command

    _run(lambda: command.run(paths, check=check, json=json), json=json)


@app.command()
def diff(
    old: Annotated[Path, typer.Argument(metavar="OLD", help="The policy as it was.")],
    new: Annotated[Path, typer.Argument(metavar="NEW", help="The policy as it would be.")],
    *,
    facts: FactPaths = None,
    fail_on: Annotated[
        str,
        typer.Option(
            metavar="WHAT", help="Exit with 1 on such changes: gained, lost or gained,lost."
        ),
    ] = "",
    now: Now = None,
    portable: Portable = True,
    json: AsJson = False,
) -> None:
    """Tell whose access changes from one policy to another.

    Asked are all actors and resources that the facts or the policies name, and one of each type
    that nobody names. A client of which the facts do not say for whom it acts is taken to act
    alone; other facts of single calls (claims, times, addresses) hold as --facts says. 'sometimes'
    is access that rules grant for some arguments of a call only; a change between two such
    conditions is not seen.

    Exit code 0, or 1 on a change that --fail-on names, or 2 if a file cannot be used.

    JSON: gained and lost (how many),
    changes [direction, actor, action, resource, before, after, rules].
    Actor and resource are {"type", "id"}, {"any": TYPE} or {"any_other": TYPE}: all that
    neither the facts nor the policies name. Before and after: never, sometimes, always.
    """
    from proxy.cli.policy import diff as command

    _run(
        lambda: command.run(
            old, new, facts=facts or [], fail_on=fail_on, now=now, portable=portable, json=json
        ),
        json=json,
    )


@app.command()
def case(
    decision_id: Annotated[
        str,
        typer.Argument(
            metavar="ID", help="The id of a decision, or 8 or more of its first letters."
        ),
    ],
    *,
    data_dir: Annotated[
        Path,
        typer.Option(
            "--data-dir", metavar="DIR", help="The data directory of a gateway, or a copy."
        ),
    ] = Path("northgate-data"),
    config: Annotated[
        Path | None,
        typer.Option(
            "--config",
            metavar="FILE",
            help="The gateway's settings, which say where its data and database are.",
        ),
    ] = None,
    json: AsJson = False,
) -> None:
    """Write a recorded decision as a test, to be pasted into a policy file.

    What an allow rests on is its setup; of a denial, what it had of the grant it came nearest to.
    Leases are written so that they do not end. The test passes under the policy of that moment: it
    was run before it is written. Of a decision that no policy took, or that does not come out as
    recorded, no test can be made.

    Exit code 0, 1 if there is no such decision, 2 if no test can be made of it.

    JSON: decision (null if there is none), policy, test (the text), setup, assertion, allowed.
    """
    import os

    from proxy.cli.policy import case as command

    _run(lambda: command.run(data_dir, config, decision_id, os.environ, json=json), json=json)
