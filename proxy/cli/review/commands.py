"""The commands that review access by the record: what each takes and promises."""
# ruff: noqa: PLC0415  What a command does is imported when it runs, so that help comes at once.

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from proxy.cli.record.commands import AsJson, DataDirectory
from proxy.cli.replay.options import HERE, Config

Since = Annotated[
    str,
    typer.Option(metavar="WHEN", help="From then on: an age, as 12h, 30d or 4w, or RFC 3339."),
]


def review(
    *,
    since: Since = "90d",
    fail_on: Annotated[
        str,
        typer.Option(
            metavar="WHAT", help="Exit with 1 on any unused grant, rule or offer: unused."
        ),
    ] = "",
    data_dir: DataDirectory = HERE,
    config: Config = None,
    json: AsJson = False,
) -> None:
    """Tell which grants, rules and tools nobody needed, by the decisions that were recorded.

    Each allowed decision is proven again by the policy and facts of its moment. A grant that is in
    no proof is unused, and one is replaceable without which another proof is always there. Grants
    and offers that are younger than the interval are too new to tell. Of the policy in force, rules
    that decided nothing are shown, alternatives that no proof took, and conditions on which no
    refusal rested alone.

    Nothing is locked or changed, and the gateway may be running.

    Exit code 0, or 1 if --fail-on unused finds something, or 2 if there is no decision in the
    interval, or the record, the policy or the facts cannot be used.

    JSON: policy, since, until, decisions, unclear, refusals_not_looked_into,
    rules [file, line, column, rule, used, alternatives_unused, conditions_idle],
    grants [predicate, args, state (used, replaceable, unused, too_new), decisions, last, origin,
    by, at, why], items [item, state, last, by].
    """
    from proxy.cli.policy.endings import ended
    from proxy.cli.review import reviewing

    work = lambda: reviewing.run(data_dir, config, since, fail_on, os.environ, json=json)  # noqa: E731
    raise typer.Exit(ended(work, json=json))


def narrow(
    *,
    since: Since = "90d",
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="FILE", help="Write the facts to change as JSON lines."),
    ] = None,
    data_dir: DataDirectory = HERE,
    config: Config = None,
    json: AsJson = False,
) -> None:
    """Propose fewer and smaller grants that would have denied nothing that was seen.

    What was allowed in the interval is asked again over the facts of now. Grants that nothing needs
    are to end; one on a server, a toolset or a pattern gives way to grants on what it was used for,
    and one to call to one to view. The proposal is replayed over all of it, and what would deny
    anything is withdrawn. Grants younger than the interval and roles held everywhere are left
    alone. On stdout are the commands to run; nothing is changed by this one.

    Exit code 0, or 2 if there is no decision in the interval, or the record, the policy or the
    facts cannot be used.

    JSON: policy, fact_version, since, until, decisions (that were allowed), questions (different
    ones), newly_denied, denied_already, cannot_tell, withdrawn, commands,
    facts [change (add or remove), predicate, args].
    """
    from proxy.cli.policy.endings import ended
    from proxy.cli.review import narrowing

    work = lambda: narrowing.run(data_dir, config, since, out, os.environ, json=json)  # noqa: E731
    raise typer.Exit(ended(work, json=json))
