"""The commands `northgate record ...`: what each takes and promises."""
# ruff: noqa: PLC0415  What a command does is imported when it runs, so that help comes at once.

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from policies.model import Reason, Verdict
from proxy.cli.record.asked import Asked, KindName

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
    str | None, typer.Option("--principal", metavar="ID", help="Whose: ci, or Client:ci.")
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
    limit: Limit = 50,
    json: AsJson = False,
) -> None:
    """List records, the newest last. Nothing is locked, and the gateway may be running.

    Of several filters each must be met. A decision is shown with its outcome; where an allowed
    call has none, what became of it is unknown.

    Exit code 0, also if nothing was found, 2 if there is no journal, or it is damaged.

    JSON: a line for each record with record (as the journal has it) and outcome (of a decision,
    null if none was recorded).
    """
    from proxy.cli.record import listing

    asked = Asked(kind, since, until, principal, server, tool, action, verdict, reason, rule)
    # Each line of the output is a record: what went wrong is told on stderr alone.
    _run(lambda: listing.run(data_dir, asked, limit=limit, json=json), json=False)


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
    is damaged.

    JSON: record (as the journal has it) and outcome (of a decision, null if none was recorded).
    Where ID fits several: errors, and candidates (ids, at most 20).
    """
    from proxy.cli.record import showing

    _run(lambda: showing.run(data_dir, record_id, json=json), json=json)
