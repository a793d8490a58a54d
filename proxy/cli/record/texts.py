"""Parts of records as people read them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from policies.model import Entity, written


def local(time: str) -> datetime | None:
    """Return *time* of a record on the clock of this machine; None if it is no time."""
    try:
        return datetime.fromisoformat(time).astimezone()
    except (ValueError, OverflowError):
        return None


def local_second(time: str) -> str:
    """Return *time* of a record as a listing shows it."""
    found = local(time)
    return time if found is None else found.strftime("%Y-%m-%d %H:%M:%S")


def short_name(who: object) -> str:
    """Return whom a record is about as `Type:id`, the form in which filters take it."""
    match who:
        case {"type": str(type_), "id": str(id_), **more}:
            user = more.get("acts_for")
            return f"{type_}:{id_}" + (f" for {user}" if user else "")
    return as_text(who)


def value_text(value: object) -> str:
    """Return *value* of a fact as policy text writes it; of some there is only a digest."""
    match value:
        case {"type": str(type_), "id": str(id_), **more} if not more:
            return str(Entity(type_, id_))
        case {"digest": str(digest), **more} if not more:
            return f"<digest {digest}>"
        case str() | int():
            return written(value)
    return compact(value)


def fact_text(row: object) -> str:
    """Return the fact that *row* is, if it is `[predicate, argument, ...]`."""
    match row:
        case [str(predicate), *args]:
            return f"{predicate}({', '.join(map(value_text, args))})"
    return compact(row)


def outcome_text(payload: Mapping[str, Any]) -> str:
    """Return what became of a call: what *payload* says, whatever that is."""
    rest = dict(payload)
    parts = [as_text(rest.pop("status", "no status"))]
    if isinstance(rest.get("is_error"), bool):
        parts.append("an error" if rest.pop("is_error") else "no error")
    if isinstance(rest.get("bytes"), int):
        parts.append(f"{rest.pop('bytes'):,} bytes")
    if isinstance(rest.get("ms"), int | float):
        parts.append(f"{rest.pop('ms'):g} ms")
    parts += [f"{key} {as_text(value)}" for key, value in rest.items()]
    return ", ".join(parts)


def is_observed(payload: Mapping[str, Any]) -> bool:
    """Tell whether a denial was not enforced, so that what was asked was done all the same."""
    return payload.get("enforced") is False


def was_done(payload: Mapping[str, Any]) -> bool:
    """Tell whether what a decision is on was done, so that it has an outcome or an unknown one."""
    return payload.get("verdict") == "allow" or is_observed(payload)


def as_text(value: object) -> str:
    """Return *value* itself if it is text, else as JSON; nothing for null."""
    if value is None:
        return ""
    return value if isinstance(value, str) else compact(value)


def compact(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)
