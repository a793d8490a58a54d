"""`northgate token ...`: tokens issued, listed and revoked."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from rich.text import Text

from proxy.cli.control.api import Api, given, segment
from proxy.cli.control.asking import agreed
from proxy.cli.control.credentials import Credentials
from proxy.cli.control.endings import CommandError
from proxy.cli.control.rows import moment, row
from proxy.cli.policy import console

_TTL: Final = re.compile(r"([0-9]{1,9})([smhd]?)")
_OTHERWISE: Final = "Say yes, or use --yes where nobody can be asked."
_SECONDS: Final = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86_400}


def issue(
    credentials: Credentials,
    name: str,
    *,
    is_user: bool,
    ttl: str | None,
    audience: str | None,
    scope: list[str],
    json: bool,
) -> None:
    """Print a new token, alone on stdout, so that a shell can take it from there."""
    path = f"/api/v0/{'users' if is_user else 'clients'}/{segment(name)}/tokens"
    wish: dict[str, Any] = {"scope": scope} if scope else {}
    if ttl is not None:
        wish["ttl_seconds"] = seconds(ttl)
    if audience is not None:
        wish["audience"] = audience
    answer = Api.of(credentials).call("POST", path, document=wish)
    if json:
        console.print_json(answer)
        return
    console.out().print(answer["token"])
    about = f"Token {answer['token_id']} of {answer['subject']}, for {answer['audience']}"
    console.err().print(console.visible(f"{about}, until {moment(answer['expires_at'])}."))


def list_them(credentials: Credentials, *, subject: str | None, limit: int, json: bool) -> None:
    """Print the newest tokens, never their text."""
    parameters = {"limit": str(limit)} | ({} if subject is None else {"subject": subject})
    answer = Api.of(credentials).call("GET", "/api/v0/tokens", parameters=parameters)
    if json:
        console.print_json(answer)
        return
    head = ("ID", "SUBJECT", "PLANE", "AUDIENCE", "ISSUED", "EXPIRES", "BY", "REVOKED")
    rows = [row(*head, style="bold"), *(_token(one) for one in answer["tokens"])]
    console.print_columns(console.out(), rows)
    if answer["next"] is not None:
        console.err().print("There are more; see --limit and --subject.")


def revoke(credentials: Credentials, token_id: str, *, json: bool) -> None:
    """Revoke one token, and say since when it is."""
    answer = Api.of(credentials).call("DELETE", f"/api/v0/tokens/{segment(token_id)}")
    if json:
        console.print_json(answer)
        return
    since = moment(answer["revoked_at"])
    text = f"Token {answer['token_id']} of {answer['subject']} is revoked since {since}."
    console.out().print(console.visible(text))


def revoke_some(
    credentials: Credentials,
    wanted: Mapping[str, str | None],
    *,
    why: str | None,
    yes: bool,
    json: bool,
) -> None:
    """Revoke all tokens of a subject, or before a moment, after somebody agreed unless *yes*."""
    api, document = Api.of(credentials), given(wanted) | given({"why": why})
    if not yes:
        whose = wanted["subject"] or "everybody"
        question = f"Revoke the tokens of {whose}, yours among them if they are such?"
        agreed(question, "not-revoked", "Nothing was revoked.", _OTHERWISE)
    answer = api.call("POST", "/api/v0/tokens/revoke", document=document)
    if json:
        console.print_json(answer)
        return
    console.out().print(f"Revoked: {console.counted(answer['revoked'], 'token')}.")


def seconds(text: str) -> int:
    """Return the seconds in a time such as 90, 30m, 12h or 7d. Raises `CommandError`."""
    found = _TTL.fullmatch(text)
    if found is None:
        message = f"This is no time to live: {text}"
        raise CommandError("bad-ttl", message, "Write seconds, or such as 30m, 12h or 7d.")
    return int(found[1]) * _SECONDS[found[2]]


def _token(token: dict[str, Any]) -> list[Text]:
    revoked = token["revoked_at"]
    return row(
        token["token_id"],
        token["subject"],
        token["plane"],
        token["audience"],
        moment(token["issued_at"]),
        moment(token["expires_at"]),
        token["issued_by"],
        "" if revoked is None else f"{moment(revoked)} by {token['revoked_by']}",
    )
