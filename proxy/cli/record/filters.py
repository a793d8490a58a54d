"""Which records a listing wants."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from proxy.cli.policy.inputs import InputError
from proxy.cli.record.asked import Asked
from proxy.cli.record.texts import is_observed
from proxy.wire.names import SEPARATOR
from storage.journal import Kind, Record

Payload = Mapping[str, Any]
Check = Callable[[Payload], bool]

_AGE: Final = re.compile(r"([0-9]{1,9})([smhdw])")
_UNITS: Final = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_OF_DECISIONS: Final = (
    *("server", "tool", "action", "verdict", "reason", "observed", "rule"),
    *("acts_for", "resource"),
)
_WITH_PRINCIPAL: Final = ("decision", "change")


def wanted(asked: Asked, now: datetime) -> Callable[[Record], bool]:
    """Return whether a record is one of those *asked* for.

    Raise `InputError` for a time that is none, and for a filter that no record of the kind can
    meet.
    """
    _refuse_pointless(asked)
    since = beginning(asked, now)
    until = "" if asked.until is None else moment("--until", asked.until, now)
    kind, checks = Kind(asked.kind), tuple(_checks(asked))

    def check(record: Record) -> bool:
        return (
            record.kind is kind
            and record.time >= since
            and (not until or record.time < until)
            and all(one(record.payload) for one in checks)
        )

    return check


def beginning(asked: Asked, now: datetime) -> str:
    """Return the time since when records are *asked* for, "" for all. Raises as `moment`."""
    return "" if asked.since is None else moment("--since", asked.since, now)


def moment(option: str, text: str, now: datetime) -> str:
    """Return the time that *text* is, as records write it; *option* is what an error names.

    An age counts back from *now*. Raise `InputError` if it is no time.
    """
    age = _AGE.fullmatch(text)
    try:
        if age is not None:
            found = now - timedelta(**{_UNITS[age[2]]: int(age[1])})
        else:
            found = datetime.fromisoformat(text.upper())
        if found.tzinfo is not None:
            utc = found.astimezone(UTC).replace(tzinfo=None)
            return f"{utc.isoformat(timespec='microseconds')}Z"
    except (ValueError, OverflowError):
        pass
    raise InputError.saying(
        f"{option} {text}: this is no time; write an age, such as 2h or 7d, or a date, time and "
        "offset, such as 2026-01-31T08:00:00Z."
    )


def _refuse_pointless(asked: Asked) -> None:
    names = [name for name in _OF_DECISIONS if getattr(asked, name) is not None]
    if asked.kind != "decision" and names:
        options = ", ".join(f"--{name.replace('_', '-')}" for name in names)
        raise InputError.saying(f"{options}: only decisions have this; leave out --kind.")
    if asked.kind not in _WITH_PRINCIPAL and asked.principal is not None:
        raise InputError.saying(f"--principal: no record of kind {asked.kind} says who it was.")


def _checks(asked: Asked) -> Iterator[Check]:
    for key in ("server", "action", "verdict", "reason"):
        value = getattr(asked, key)
        if value is not None:
            yield _equal(key, value)
    if asked.principal is not None:
        yield _asked_by(asked.principal)
    if asked.acts_for is not None:
        yield _on_behalf_of(asked.acts_for)
    if asked.resource is not None:
        yield _on(asked.resource)
    if asked.tool is not None:
        yield _of_tool(asked.tool)
    if asked.observed:
        yield is_observed
    if asked.rule is not None:
        yield _decided_by(asked.rule)


def _equal(key: str, value: str) -> Check:
    return lambda payload: bool(payload.get(key) == value)


def _asked_by(name: str) -> Check:
    def check(payload: Payload) -> bool:
        who = payload.get("principal", payload.get("who"))
        if not isinstance(who, dict):
            return False
        return who.get("id") == name or _is_named(who, name)

    return check


def _on_behalf_of(user: str) -> Check:
    def check(payload: Payload) -> bool:
        who = payload.get("principal")
        return isinstance(who, dict) and who.get("acts_for") == user

    return check


def _on(name: str) -> Check:
    def check(payload: Payload) -> bool:
        resource = payload.get("resource")
        return isinstance(resource, dict) and _is_named(resource, name)

    return check


def _is_named(entity: Payload, name: str) -> bool:
    """Tell whether *name* is that of *entity*: `Client:ci`, or `client:ci` as the API has it."""
    type_, separator, id_ = name.partition(":")
    known = entity.get("type")
    is_type = isinstance(known, str) and known.casefold() == type_.casefold()
    return bool(separator) and is_type and entity.get("id") == id_


def _of_tool(name: str) -> Check:
    def check(payload: Payload) -> bool:
        match payload.get("resource"):
            case {"type": "Tool", "id": id_}:
                return id_ in (name, f"{payload.get('server')}{SEPARATOR}{name}")
        return False

    return check


def _decided_by(rule: str) -> Check:
    def check(payload: Payload) -> bool:
        rules = payload.get("rules")
        return isinstance(rules, list) and rule in rules

    return check
