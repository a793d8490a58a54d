"""Records of the journal as rows of the database."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from hashlib import sha256
from typing import Any, Final

import orjson

from storage.journal import Kind, Record
from storage.journal.frame import VERSION

MOST_INDEXED: Final = 512
"""Bytes of a text that an index holds: PostgreSQL takes no row of an index of more than 2,700."""

_KEPT: Final = 400
_SHORT: Final = MOST_INDEXED // 4
_LARGEST: Final = 2**63 - 1
_NOBODY: Final[Mapping[str, Any]] = {}

Row = dict[str, object]


def rows_of(record: Record) -> Iterator[tuple[str, Row]]:
    """Yield each row of *record*, and the table it belongs to."""
    return _MAKERS[record.kind](record)


def indexed(text: str) -> str:
    """Return *text* as a column that is searched has it: one that is too long with its hash."""
    text = text.replace("\0", "\N{REPLACEMENT CHARACTER}")
    if len(text) <= _SHORT:
        return text
    content = text.encode()
    if len(content) <= MOST_INDEXED:
        return text
    return f"{content[:_KEPT].decode(errors='ignore')}~{sha256(content).hexdigest()}"


def document(record: Record) -> dict[str, Any]:
    """Return *record* as its line has it, key by key."""
    return {
        "v": VERSION,
        "kind": record.kind.value,
        "id": record.id,
        "time": record.time,
        "node": record.chain.node,
        "worker": record.chain.worker,
        "seq": record.seq,
        "prev": record.prev,
        **record.payload,
    }


def _decision(record: Record) -> Iterator[tuple[str, Row]]:
    payload, place = record.payload, _place(record)
    principal, resource = _object(payload.get("principal")), _object(payload.get("resource"))
    yield (
        "decisions",
        {
            **place,
            "principal_type": _word(principal.get("type")),
            "principal_id": _word(principal.get("id")),
            "issuer": _word(principal.get("issuer")),
            "client": _word(principal.get("client")),
            "token_id": _word(principal.get("token_id")),
            "acts_for": _word(principal.get("acts_for")),
            "server": _word(payload.get("server")),
            "method": _word(payload.get("method")),
            "action": _word(payload.get("action")),
            "resource_type": _word(resource.get("type")),
            "resource_id": _word(resource.get("id")),
            "verdict": _word(payload.get("verdict")),
            "reason": _word(payload.get("reason")),
            "enforced": payload.get("enforced") is not False,
            "policy": _word(payload.get("policy")),
            "fact_version": _whole(payload.get("fact_version")),
            "body": _json(document(record)),
        },
    )
    rules = payload.get("rules")
    for rule in rules if isinstance(rules, list) else ():
        yield (
            "decision_rules",
            {
                "rule": _word(rule),
                "recorded_at": place["recorded_at"],
                "decision": place["id"],
            },
        )


def _outcome(record: Record) -> Iterator[tuple[str, Row]]:
    payload = record.payload
    is_error, ms = payload.get("is_error"), payload.get("ms")
    yield (
        "outcomes",
        {
            "decision": _word(payload.get("decision")),
            "id": _word(record.id),
            "recorded_at": _moment(record.time),
            "status": _word(payload.get("status")),
            "is_error": is_error if isinstance(is_error, bool) else None,
            "bytes": _whole(payload.get("bytes")),
            "ms": float(ms) if isinstance(ms, int | float) else None,
            "body": _json(document(record)),
        },
    )


def _change(record: Record) -> Iterator[tuple[str, Row]]:
    payload = record.payload
    who = _object(payload.get("who"))
    yield (
        "changes",
        {
            **_place(record),
            "who_type": _word(who.get("type")),
            "who_id": _word(who.get("id")),
            "what": _word(payload.get("what")),
            "why": _word(payload.get("why")),
            "body": _json(document(record)),
        },
    )


def _checkpoint(record: Record) -> Iterator[tuple[str, Row]]:
    # Its body is its line to the byte, as a signature of it needs: both are made alike.
    yield "checkpoints", {**_place(record), "body": _json(document(record))}


_MAKERS: Final[Mapping[Kind, Callable[[Record], Iterator[tuple[str, Row]]]]] = {
    Kind.DECISION: _decision,
    Kind.OUTCOME: _outcome,
    Kind.CHANGE: _change,
    Kind.CHECKPOINT: _checkpoint,
}


def _place(record: Record) -> Row:
    return {
        "id": _word(record.id),
        "recorded_at": _moment(record.time),
        "node": record.chain.node,
        "worker": record.chain.worker,
        "seq": record.seq,
    }


def _moment(time: str) -> float:
    # Whether a line is as it was written is told by its hash, and not here: what makes no sense
    # in it must not keep all that follows from being copied.
    try:
        return datetime.fromisoformat(time).timestamp()
    except (TypeError, ValueError):
        return 0.0


def _word(value: object) -> str:
    if value is None:
        return ""
    if type(value) is str and len(value) <= _SHORT and "\0" not in value:
        return value
    return indexed(value if isinstance(value, str) else _json(value))


def _whole(value: object) -> int | None:
    return value if type(value) is int and abs(value) <= _LARGEST else None


def _object(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else _NOBODY


def _json(value: object) -> str:
    return orjson.dumps(value).decode()
