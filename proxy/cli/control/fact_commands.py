"""The commands about facts: what each takes and promises."""
# ruff: noqa: PLC0415  What a command does is imported when it runs, so that help comes at once.

from __future__ import annotations

from typing import Annotated

import typer

from proxy.cli.control.options import AsJson, CredentialsFile, Why, run

fact = typer.Typer(
    no_args_is_help=True, rich_markup_mode=None, help="State facts that the policy asks about."
)

_Predicate = Annotated[
    str, typer.Argument(metavar="PREDICATE", help="Such as has_tag, or one that a policy declares.")
]
_Words = Annotated[
    list[str],
    typer.Argument(
        metavar="ARGUMENT...",
        help="Such as tool:github__echo, client:ci, 100, true, or a text; "
        "'\"100\"' is the text 100.",
    ),
]


@fact.command(name="add")
def add_fact(
    predicate: _Predicate,
    words: _Words,
    *,
    why: Why = None,
    credentials: CredentialsFile = None,
    json: AsJson = False,
) -> None:
    """State a fact, from the next call on: northgate fact add has_tag tool:github__echo guarded.

    Exit code 0, also if it was stated before, or 1 if the gateway refuses, or 2 if it cannot be
    asked.

    JSON: predicate, args, version (of the facts).
    """
    from proxy.cli.control import facts

    run(
        credentials,
        lambda found: facts.add(found, predicate, words, why=why, json=json),
        json=json,
    )


@fact.command(name="delete")
def delete_fact(
    predicate: _Predicate,
    words: _Words,
    *,
    why: Why = None,
    credentials: CredentialsFile = None,
    json: AsJson = False,
) -> None:
    """Withdraw a fact, from the next call on, with the words that fact list shows.

    Exit code 0, or 1 if the gateway refuses, as for what is not stated or is written in the policy,
    or 2 if it cannot be asked.

    JSON: predicate, args, version (of the facts).
    """
    from proxy.cli.control import facts

    run(
        credentials,
        lambda found: facts.delete(found, predicate, words, why=why, json=json),
        json=json,
    )


@fact.command(name="list")
def list_facts(
    *,
    predicate: Annotated[
        str | None, typer.Option(metavar="NAME", help="Of this predicate alone.")
    ] = None,
    about: Annotated[
        str | None,
        typer.Option(metavar="WHAT", help="About this alone, such as client:ci or server:github."),
    ] = None,
    origin: Annotated[
        str | None,
        typer.Option(
            "--from",
            metavar="WORD",
            help="Stated this way: fact (by fact add), grant, identity, allow-list, registry and "
            "the like.",
        ),
    ] = None,
    credentials: CredentialsFile = None,
    json: AsJson = False,
) -> None:
    """List the facts that are stored now, the oldest first: by whom each was stated, and why.

    What policy files state is not here.

    Exit code 0, or 1 if the gateway refuses, or 2 if it cannot be asked.

    JSON: facts [id, predicate, args, origin, version, added_at, added_by, why].
    """
    from proxy.cli.control import facts

    wanted = {"predicate": predicate, "about": about, "origin": origin}
    run(credentials, lambda found: facts.list_them(found, wanted, json=json), json=json)
