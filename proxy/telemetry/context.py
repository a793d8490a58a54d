"""The trace context that a request carries (W3C Trace Context, W3C Baggage).

What is not well-formed is left out, as if it had not been sent.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

TRACEPARENT: Final = "traceparent"
TRACESTATE: Final = "tracestate"
BAGGAGE: Final = "baggage"
_FIELDS: Final = (TRACEPARENT, TRACESTATE, BAGGAGE)

_MOST_STATE_CHARACTERS: Final = 512
_MOST_STATE_MEMBERS: Final = 32
_MOST_BAGGAGE_CHARACTERS: Final = 8192
_MOST_BAGGAGE_MEMBERS: Final = 64

_IDS: Final = r"-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}"
# A later version may have more fields, behind a hyphen. Version ff is forbidden.
_PARENT: Final = re.compile(rf"00{_IDS}|(?!00|ff)[0-9a-f]{{2}}{_IDS}(?:-[!-~]{{0,128}})?")

_STATE_KEY: Final = (
    r"(?:[a-z0-9][a-z0-9_*/-]{0,240}@[a-z][a-z0-9_*/-]{0,13}|[a-z][a-z0-9_*/-]{0,255})"
)
_STATE_VALUE: Final = r"[ -+\--<>-~]{0,255}[!-+\--<>-~]"
_STATE_MEMBER: Final = re.compile(rf"[ \t]*(?:{_STATE_KEY}={_STATE_VALUE})?[ \t]*")

_WORD: Final = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_BAGGAGE_VALUE: Final = r"[!#-+\--:<-\[\]-~]*"
_BAGGAGE_PROPERTY: Final = rf"[ \t]*;[ \t]*{_WORD}(?:[ \t]*=[ \t]*{_BAGGAGE_VALUE})?"
_BAGGAGE_MEMBER: Final = re.compile(
    rf"[ \t]*{_WORD}[ \t]*=[ \t]*{_BAGGAGE_VALUE}(?:{_BAGGAGE_PROPERTY})*[ \t]*"
)


@dataclass(frozen=True, slots=True)
class TraceContext:
    """What is well-formed of a request's trace context; an empty text for what is not there."""

    traceparent: str = ""
    tracestate: str = ""
    baggage: str = ""


def carried(meta: Mapping[str, Any], traceparent: str = "", tracestate: str = "") -> TraceContext:
    """Return the context in `params._meta`, else that of the HTTP headers of the same names.

    Baggage is read from the body alone: it is passed on, and nothing copies a client's headers.
    """
    baggage = _sound(BAGGAGE, meta.get(BAGGAGE))
    parent = _sound(TRACEPARENT, meta.get(TRACEPARENT))
    state = meta.get(TRACESTATE)
    if not parent:
        parent, state = _sound(TRACEPARENT, traceparent), tracestate
    return TraceContext(parent, _sound(TRACESTATE, state) if parent else "", baggage)


def without_malformed(meta: dict[str, Any]) -> dict[str, Any]:
    """Return *meta* as it is or, if one of its trace fields is malformed, a copy without that."""
    malformed = [name for name in _FIELDS if name in meta and not _sound(name, meta[name])]
    if not malformed:
        return meta
    return {name: value for name, value in meta.items() if name not in malformed}


def _sound(name: str, value: object) -> str:
    """Return *value* if it is what the field *name* may hold, else an empty text."""
    if not isinstance(value, str):
        return ""
    return value if _CHECKS[name](value) else ""


def _is_parent(value: str) -> bool:
    return _PARENT.fullmatch(value) is not None


def _is_state(value: str) -> bool:
    return _is_list(value, _STATE_MEMBER, _MOST_STATE_CHARACTERS, _MOST_STATE_MEMBERS)


def _is_baggage(value: str) -> bool:
    return _is_list(value, _BAGGAGE_MEMBER, _MOST_BAGGAGE_CHARACTERS, _MOST_BAGGAGE_MEMBERS)


def _is_list(value: str, member: re.Pattern[str], characters: int, members: int) -> bool:
    if len(value) > characters:
        return False
    found = value.split(",")
    return len(found) <= members and all(map(member.fullmatch, found))


_CHECKS: Final = {TRACEPARENT: _is_parent, TRACESTATE: _is_state, BAGGAGE: _is_baggage}
