"""The command `northgate replay`: what it takes and promises."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Literal

import typer

from proxy.cli.record.commands import AsJson, DataDirectory
from proxy.cli.replay.options import HERE, Config

Candidate = Annotated[
    Path,
    typer.Option(
        "--policies", metavar="DIR", help="The candidate: a directory of .polar files, or one."
    ),
]
Since = Annotated[
    str,
    typer.Option(metavar="WHEN", help="From then on: an age, as 90s, 5m, 2h, 7d, or RFC 3339."),
]
Until = Annotated[
    str | None, typer.Option(metavar="WHEN", help="Up to then; now, if it is left out.")
]
Facts = Annotated[
    Literal["then", "now"],
    typer.Option(help="Over the facts of each decision's moment, or over those of now."),
]
FailOn = Annotated[
    str,
    typer.Option(
        metavar="WHAT", help="Exit with 1 on any of: newly-allowed, newly-denied, cannot-tell."
    ),
]


def replay(  # noqa: PLR0913  one for each option
    *,
    policies: Candidate,
    since: Since = "7d",
    until: Until = None,
    facts: Facts = "then",
    fail_on: FailOn = "",
    data_dir: DataDirectory = HERE,
    config: Config = None,
    json: AsJson = False,
) -> None:
    """Tell what another policy would have made of the calls of the past.

    Each recorded decision of the interval is decided again under the candidate. What changes is
    shown by principal, tool and rule, newly allowed first: how often, and the id of an example,
    for `northgate why`. Rules are those of the candidate by which it is newly allowed, or those of
    then by which it was. What needs something nobody recorded, such as an argument that no policy
    tested then, is counted as cannot tell, never guessed. Refusals that no policy has to do with
    (too many calls, malformed messages) are counted as not judged.

    Nothing is locked or changed, and the gateway may be running. The facts are read from the
    database: that of --config, else northgate.db in --data-dir.

    Exit code 0, or 1 on a change that --fail-on names, or 2 if there is no decision in the
    interval, or the candidate, the record or the facts cannot be used.

    JSON: policy (of the candidate), since, until, decisions, newly_allowed, newly_denied,
    cannot_tell, unchanged, not_judged (how many),
    groups [difference, principal, action, resource, rules, lacking, count, examples (ids)].
    """
    from proxy.cli.policy.endings import ended  # noqa: PLC0415  help comes at once
    from proxy.cli.replay import run  # noqa: PLC0415

    wanted = run.Wanted(since, until, policies, facts, fail_on)
    work = lambda: run.run(data_dir, config, wanted, os.environ, json=json)  # noqa: E731
    raise typer.Exit(ended(work, json=json))
