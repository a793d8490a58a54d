"""The commands about a candidate policy: what each takes and promises."""
# ruff: noqa: PLC0415  What a command does is imported when it runs, so that help comes at once.

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from proxy.cli.control.options import AsJson, CredentialsFile, Why, Yes, run

shadow = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode=None,
    help="Try a policy beside the one in force: it is asked what calls ask, and decides nothing.",
)


@shadow.command(name="start")
def start_shadow(
    directory: Annotated[
        Path,
        typer.Argument(
            metavar="DIR",
            help="The candidate: a directory of .polar files, or one.",
            show_default=False,
        ),
    ],
    *,
    why: Why = None,
    credentials: CredentialsFile = None,
    json: AsJson = False,
) -> None:
    """Let the running gateway ask the policy in DIR about each decision as well.

    It is checked, and its own tests are run, before it starts. Answers to calls stay those of the
    policy in force. All workers and replicas take part, and a restart does not end it.

    Exit code 0, or 1 if the candidate has errors or the gateway refuses, or 2 if it cannot be asked
    or a file cannot be read.

    JSON: version, since (seconds since the epoch), by, in_force (the version that decides).
    """
    from proxy.cli.control.shadows import start

    run(credentials, lambda found: start(found, directory, why, json=json), json=json)


@shadow.command(name="status")
def shadow_status(
    *,
    fail_on: Annotated[
        str,
        typer.Option(
            "--fail-on",
            metavar="WHAT",
            help="Exit with 1 on any of: newly-allowed, newly-denied, cannot-tell.",
        ),
    ] = "",
    credentials: CredentialsFile = None,
    json: AsJson = False,
) -> None:
    """Show what the candidate decides otherwise: whose calls, on what, by which rules.

    Newly allowed comes first. Rules are those of the candidate by which it is newly allowed, or
    those of the policy in force by which it was. Other workers and replicas are some seconds
    behind. What is skipped found no room, for there were too many decisions at once.

    Exit code 0, or 1 on a difference that --fail-on names or if no candidate is tried, or 2 if the
    gateway cannot be asked.

    JSON: version, since (seconds since the epoch), by, in_force, compared, skipped,
    newly_allowed, newly_denied, cannot_tell, unchanged, not_judged, others (how many),
    groups [difference, principal, action, resource, rules, lacking, count, examples (ids)].
    """
    from proxy.cli.control.shadows import status

    run(credentials, lambda found: status(found, fail_on, json=json), json=json)


@shadow.command(name="stop")
def stop_shadow(*, credentials: CredentialsFile = None, json: AsJson = False) -> None:
    """Stop asking the candidate, and show what it came to: nobody can tell afterwards.

    Exit code 0, or 1 if no candidate is tried or the gateway refuses, or 2 if it cannot be asked.

    JSON: as of status.
    """
    from proxy.cli.control.shadows import stop

    run(credentials, lambda found: stop(found, json=json), json=json)


def promote(
    version: Annotated[
        str | None,
        typer.Argument(
            metavar="VERSION",
            help="The version that status showed; else it is shown and asked for.",
        ),
    ] = None,
    *,
    least: Annotated[
        int,
        typer.Option(
            "--at-least", metavar="N", min=0, help="Refuse if fewer decisions were compared."
        ),
    ] = 0,
    why: Why = None,
    yes: Yes = False,
    credentials: CredentialsFile = None,
    json: AsJson = False,
) -> None:
    """Make the candidate the policy in force: its files take the place of those there are.

    It is written into the policy directory of the gateway that is asked, all of it or nothing, and
    decides when this ends. A gateway with a policy directory of its own is not concerned.

    Exit code 0, or 1 if the gateway refuses, as for another version than VERSION or a policy
    directory that it may not write, or 2 if it cannot be asked.

    JSON: version, before.
    """
    from proxy.cli.control.shadows import promote as command

    run(
        credentials,
        lambda found: command(found, version, least, why, yes=yes, json=json),
        json=json,
    )
