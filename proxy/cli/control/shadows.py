"""`northgate policy shadow ...` and `northgate policy promote`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import groupby
from pathlib import Path
from typing import Any, Final

from rich.text import Text

from policies.bundle import BundleError, FailedTestsError, load, read_sources
from policies.polar.source import PolicyError, Problem
from proxy.cli.control.api import Api, given
from proxy.cli.control.asking import agreed
from proxy.cli.control.credentials import Credentials
from proxy.cli.control.endings import Code, CommandError
from proxy.cli.control.rows import moment, row
from proxy.cli.policy import console
from proxy.cli.policy.inputs import placeless, texts
from proxy.cli.policy.problems import print_problems

_PATH: Final = "/api/v0/shadow"
_MOST_ROWS: Final = 20
_REFUSED: Final = "candidate-refused"
_DIFFERENCES: Final = ("newly-allowed", "newly-denied", "cannot-tell")
_OTHERWISE: Final = "Say yes, or use --yes where nobody can be asked."


def start(credentials: Credentials, directory: Path, why: str | None, *, json: bool) -> None:
    """Let the gateway try the policy in *directory*."""
    files = _candidate(directory)
    document = given({"files": files, "why": why})
    try:
        answer = Api.of(credentials).call("POST", _PATH, document=document, patient=True)
    except CommandError as error:
        if error.code == _REFUSED:
            error.exit_code = Code.NO
        raise
    if json:
        console.print_json(answer)
        return
    out = console.out()
    out.print(console.visible(f"The candidate {answer['version']} is tried."))
    out.print(console.visible(f"In force is {answer['in_force']}."))
    out.print("Next: northgate policy shadow status")


def status(credentials: Credentials, fail_on: str, *, json: bool) -> None:
    """Print what the candidate comes to. Raises `CommandError` on what *fail_on* names."""
    failing = _failing(fail_on)
    found = Api.of(credentials).call("GET", _PATH, patient=True)
    if json:
        console.print_json(found)
    else:
        _print(found)
    some = [name for name in failing if found[name.replace("-", "_")]]
    if some:
        message = f"The candidate differs: {', '.join(some)}."
        hint = "northgate why ID tells how a decision came about."
        raise CommandError("differs", message, hint, exit_code=Code.NO)


def stop(credentials: Credentials, *, json: bool) -> None:
    found = Api.of(credentials).call("DELETE", _PATH, patient=True)
    if json:
        console.print_json(found)
        return
    _print(found)
    console.out().print("It is not tried any more.")


def promote(
    credentials: Credentials,
    version: str | None,
    least: int,
    why: str | None,
    *,
    yes: bool,
    json: bool,
) -> None:
    """Make the candidate *version* the policy in force; show it and ask first, if that is None."""
    api = Api.of(credentials)
    if version is None:
        found = api.call("GET", _PATH, patient=True)
        version = str(found["version"])
        if not yes:
            _print(found, to_stderr=True)
            agreed("Promote it?", "not-promoted", "Nothing was changed.", _OTHERWISE)
    document = given({"version": version, "least": least, "why": why})
    answer = api.call("POST", f"{_PATH}/promote", document=document, patient=True)
    if json:
        console.print_json(answer)
        return
    out = console.out()
    out.print(console.visible(f"In force is {answer['version']}."))
    out.print(console.visible(f"Before, it was {answer['before']}."))


def _candidate(directory: Path) -> dict[str, str]:
    """Return the files of *directory*, which make up a policy as far as can be told from here."""
    try:
        sources = read_sources([directory])
    except BundleError as error:
        raise CommandError("unusable-input", " ".join(error.problems)) from None
    problems: tuple[Problem, ...]
    try:
        # Whether it has to be portable too, the gateway knows.
        return dict(load(sources, portable=False).sources)
    except PolicyError as error:
        problems = error.problems
    except FailedTestsError as error:
        problems = tuple(placeless("failed-test", one) for one in error.problems)
    except BundleError as error:
        problems = tuple(placeless("allows-nothing", one) for one in error.problems)
    print_problems(console.err(), problems, texts(sources))
    message = f"{directory}: this is no policy that could be in force."
    hint = f"northgate policy check {directory}, and northgate policy test, tell more."
    raise CommandError(_REFUSED, message, hint, exit_code=Code.NO)


def _failing(text: str) -> list[str]:
    names = [one.strip() for one in text.split(",") if one.strip()]
    unknown = [one for one in names if one not in _DIFFERENCES]
    if unknown:
        message = f"--fail-on does not know {', '.join(unknown)}."
        raise CommandError("bad-option", message, f"Choose among: {', '.join(_DIFFERENCES)}.")
    return names


def _print(found: Mapping[str, Any], *, to_stderr: bool = False) -> None:
    out = console.err() if to_stderr else console.out()
    since = moment(int(found["since"]))
    out.print(console.visible(f"Candidate {found['version']}, since {since}, by {found['by']}"))
    for difference, groups in groupby(found["groups"], key=lambda one: one["difference"]):
        out.print(Text(difference.replace("-", " ").capitalize(), "bold"))
        alike = list(groups)
        console.print_columns(out, list(_rows(alike[:_MOST_ROWS])))
        if alike[_MOST_ROWS:]:
            count = sum(one["count"] for one in alike[_MOST_ROWS:])
            out.print(f"  ... and {console.counted(count, 'decision')} more: see --json")
    names = ("newly_allowed", "newly_denied", "cannot_tell", "unchanged", "not_judged", "skipped")
    parts = [f"{found[name]:,} {name.replace('_', ' ')}" for name in names]
    out.print(f"{console.counted(found['compared'], 'decision')} compared: {', '.join(parts)}")


def _rows(groups: list[dict[str, Any]]) -> Iterator[list[Text]]:
    for one in groups:
        who, what = one["principal"], one["resource"]
        yield row(
            f"  {one['count']:>7,}",
            f"{who['type']}:{who['id']}",
            f"{one['action']} {what['type']}:{what['id']}",
            one["lacking"] or ", ".join(one["rules"]),
            f"as {one['examples'][0]}",
        )
