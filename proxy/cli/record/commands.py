"""The commands `northgate record ...`: what each takes and promises."""
# ruff: noqa: PLC0415  What a command does is imported when it runs, so that help comes at once.

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from policies.model import Reason, Verdict
from proxy.cli.record.asked import Asked, FormName, KindName

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode=None,
    help="Read the record of what was decided.",
)

DataDirectory = Annotated[
    Path,
    typer.Option("--data-dir", metavar="DIR", help="The data directory of a gateway, or a copy."),
]
AsJson = Annotated[bool, typer.Option("--json", help="Write JSON.")]
Kind = Annotated[KindName, typer.Option(help="What the records are about.")]
Since = Annotated[
    str | None,
    typer.Option(metavar="WHEN", help="No older ones: an age, as 90s, 5m, 2h, 7d, or RFC 3339."),
]
Until = Annotated[str | None, typer.Option(metavar="WHEN", help="Older ones only.")]
WhoAsked = Annotated[
    str | None, typer.Option("--principal", metavar="ID", help="Whose: ci, or client:ci.")
]
OnServer = Annotated[str | None, typer.Option("--server", metavar="NAME", help="On this server.")]
OfTool = Annotated[
    str | None,
    typer.Option("--tool", metavar="NAME", help="Of this tool: server__tool, or its own name."),
]
Action = Annotated[str | None, typer.Option(metavar="NAME", help="Such as call, list or read.")]
WhichVerdict = Annotated[Verdict | None, typer.Option("--verdict", help="With this verdict.")]
WhichReason = Annotated[Reason | None, typer.Option("--reason", help="For this reason.")]
Rule = Annotated[
    str | None, typer.Option(metavar="FILE:LINE", help="That this rule of the policy decided.")
]
Observed = Annotated[
    bool | None,
    typer.Option("--observed", help="Denied where servers are observed, and made all the same."),
]
ActsFor = Annotated[
    str | None, typer.Option("--acts-for", metavar="USER", help="On behalf of this user.")
]
OnResource = Annotated[
    str | None,
    typer.Option("--resource", metavar="TYPE:ID", help="On this: tool:github__echo, server:git."),
]
Limit = Annotated[int, typer.Option(min=1, metavar="N", help="No more than the last N.")]

_HERE = Path("northgate-data")


def _run(work: Callable[[], int], *, json: bool) -> None:
    from proxy.cli.policy.endings import ended

    raise typer.Exit(ended(work, json=json))


@app.command(name="list")
def list_records(  # noqa: PLR0913  one for each option
    *,
    data_dir: DataDirectory = _HERE,
    kind: Kind = "decision",
    since: Since = None,
    until: Until = None,
    principal: WhoAsked = None,
    server: OnServer = None,
    tool: OfTool = None,
    action: Action = None,
    verdict: WhichVerdict = None,
    reason: WhichReason = None,
    rule: Rule = None,
    observed: Observed = None,
    acts_for: ActsFor = None,
    resource: OnResource = None,
    limit: Limit = 50,
    json: AsJson = False,
) -> None:
    """List records, the newest last. Nothing is locked, and the gateway may be running.

    Of several filters each must be met. A decision is shown with its outcome; where a call
    that was made has none, what became of it is unknown.

    Exit code 0, also if nothing was found, 2 if there is no journal, or it is damaged. With
    --since, files that are older are not read, and not complained of: `northgate record verify`
    is for that.

    JSON: a line for each record with record (as the journal has it) and outcome (of a decision,
    null if none was recorded).
    """
    from proxy.cli.record import listing

    asked = Asked(
        kind, since, until, principal, server, tool, action,
        verdict, reason, rule, observed, acts_for, resource,
    )  # fmt: skip
    # Each line of the output is a record: what went wrong is told on stderr alone.
    _run(lambda: listing.run(data_dir, asked, limit=limit, json=json), json=False)


@app.command()
def tail(  # noqa: PLR0913  one for each option
    *,
    data_dir: DataDirectory = _HERE,
    kind: Kind = "decision",
    since: Since = None,
    until: Until = None,
    principal: WhoAsked = None,
    server: OnServer = None,
    tool: OfTool = None,
    action: Action = None,
    verdict: WhichVerdict = None,
    reason: WhichReason = None,
    rule: Rule = None,
    observed: Observed = None,
    acts_for: ActsFor = None,
    resource: OnResource = None,
    lines: Annotated[
        int, typer.Option("--lines", "-n", min=0, metavar="N", help="Begin with the last N.")
    ] = 10,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Go on with what is recorded, until Ctrl-C.")
    ] = False,
    json: AsJson = False,
) -> None:
    """Show the last records, and with -f each new one as soon as it is there.

    Of several filters each must be met. What became of a call is not known yet when its decision
    is shown: its outcome follows as a line of its own, which names the decision.

    Exit code 0, also if nothing was found or Ctrl-C ended it, 2 if there is no journal, or it is
    damaged. With --since, files that are older are not read, and not complained of.

    JSON: a line for each record, as the journal has it.
    """
    from proxy.cli.record import tailing

    asked = Asked(
        kind, since, until, principal, server, tool, action,
        verdict, reason, rule, observed, acts_for, resource,
    )  # fmt: skip
    _run(lambda: tailing.run(data_dir, asked, lines, follow=follow, json=json), json=False)


@app.command()
def export(  # noqa: PLR0913  one for each option
    *,
    data_dir: DataDirectory = _HERE,
    kind: Kind = "decision",
    since: Since = None,
    until: Until = None,
    principal: WhoAsked = None,
    server: OnServer = None,
    tool: OfTool = None,
    action: Action = None,
    verdict: WhichVerdict = None,
    reason: WhichReason = None,
    rule: Rule = None,
    observed: Observed = None,
    acts_for: ActsFor = None,
    resource: OnResource = None,
    form: Annotated[
        FormName, typer.Option("--format", help="Comma-separated values, or JSON lines.")
    ] = "jsonl",
) -> None:
    """Write all records that are asked for to stdout, the oldest first.

    Of several filters each must be met. A jsonl line has record (as the journal has it) and
    outcome (of a decision, null if none was recorded). csv has one line of names and then one for
    each record; structures in it are JSON, and text that a spreadsheet would take for a formula
    begins with an apostrophe. Keys for which csv has no column are told on stderr.

    Nothing is locked or changed, and the gateway may be running. How far it is, is shown on a
    terminal.

    Exit code 0, also if nothing was found, 2 if there is no journal, or it is damaged: what was
    written until then is not all. With --since, files that are older are not read, and not
    complained of.
    """
    from proxy.cli.record import exporting

    asked = Asked(
        kind, since, until, principal, server, tool, action,
        verdict, reason, rule, observed, acts_for, resource,
    )  # fmt: skip
    _run(lambda: exporting.run(data_dir, asked, form), json=False)


@app.command()
def verify(
    directory: Annotated[
        Path | None,
        typer.Argument(metavar="[DIR]", help="The files of a journal; else those of --data-dir."),
    ] = None,
    *,
    data_dir: DataDirectory = _HERE,
    anchor: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="What `northgate record anchor` wrote."),
    ] = None,
    json: AsJson = False,
) -> None:
    """Prove that the record is whole, or name the first break of each chain.

    Every process of a gateway writes a chain: each record names the hash of the one before, and
    a signed checkpoint follows every second of activity. All up to the last checkpoint is proven;
    the records after it are counted as unsigned. The keys that the checkpoints name are believed,
    and an end that was cut off may go unnoticed, unless an anchor is given that was kept elsewhere.

    A break is edited, cut, swapped, inserted or missing, at the line of the file that is named; or
    forged: a checkpoint there was not signed for what stands before it, so that a record between
    the last one proven and this was altered and the chain made to fit.

    Nothing is locked or changed, and the gateway may be running. A copy of a running one may lack
    a file that was begun while it was made.

    Exit code 0 if it is whole, 1 if it is broken, 2 if there is no journal, or it or the anchor
    cannot be read.

    JSON: whole, anchored (whether an anchor was given), keys (of the last checkpoints) and chains,
    each with node, worker, segments, records, proven (seq, time, key of the last checkpoint, or
    null), unsigned, leftover and torn (bytes that were never acknowledged) and broken (class,
    file, line, seq, or null).
    """
    from proxy.cli.record import verifying

    _run(lambda: verifying.run(data_dir, directory, anchor, json=json), json=json)


@app.command()
def anchor(
    *,
    data_dir: DataDirectory = _HERE,
    from_database: Annotated[
        bool, typer.Option("--from-database", help="Take the checkpoints that were copied there.")
    ] = False,
    config: Annotated[
        Path | None,
        typer.Option("--config", metavar="FILE", help="The gateway's settings; name its database."),
    ] = None,
) -> None:
    """Write to stdout what proves the record later: its keys and last checkpoints, as JSON.

    Keep it where who can change the record cannot: `northgate record verify --anchor FILE` then
    names whatever was changed or removed since, also at the end. It holds no secret.

    With --from-database nothing of the record is read or believed: the last checkpoints are those
    that the gateway copied to its database, of --config, else northgate.db in --data-dir. They
    prove a journal that was cut, or altered, on the gateway's machine alone.

    Exit code 0, 1 if the record is broken, 2 if there is no journal, no checkpoint in it or in the
    database, or one cannot be read.
    """
    from proxy.cli.record import anchoring

    _run(lambda: anchoring.run(data_dir, config, from_database=from_database), json=False)


@app.command()
def show(
    record_id: Annotated[
        str,
        typer.Argument(metavar="ID", help="The id of a record, or 8 or more of its first letters."),
    ],
    *,
    data_dir: DataDirectory = _HERE,
    json: AsJson = False,
) -> None:
    """Show everything that one record holds, and its outcome.

    Exit code 0, 1 if there is no such record, 2 if ID fits several, or there is no journal, or it
    is damaged where the record would be: files that cannot hold it are not read.

    JSON: record (as the journal has it) and outcome (of a decision, null if none was recorded).
    Where ID fits several: errors, and candidates (ids, at most 20).
    """
    from proxy.cli.record import showing

    _run(lambda: showing.run(data_dir, record_id, json=json), json=json)
