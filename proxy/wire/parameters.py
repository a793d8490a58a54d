"""Arguments mirrored in `Mcp-Param-*` headers, as a tool's `x-mcp-header` annotations demand.

2026-07-28, Streamable HTTP, "Custom headers from tool parameters".
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

from proxy.wire.refusals import Fault, WireError

ANNOTATION: Final = "x-mcp-header"

_TOKEN: Final = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_DECIMAL: Final = re.compile(r"(-?[0-9]{1,20})(?:\.0+)?")
_TYPES: Final = frozenset({"string", "integer", "boolean"})

# Keywords of JSON Schema 2020-12 whose value is a schema, a list or a mapping of schemas.
# `default`, `enum`, `const` and `examples` hold data, and `$ref` is never followed.
_ONE: Final = frozenset({
    "additionalProperties", "contains", "contentSchema", "else", "if", "items", "not",
    "propertyNames", "then", "unevaluatedItems", "unevaluatedProperties",
})  # fmt: skip
_MANY: Final = frozenset({"allOf", "anyOf", "oneOf", "prefixItems"})
_NAMED: Final = frozenset({"$defs", "definitions", "dependentSchemas", "patternProperties"})

Path = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Mirrored:
    """One argument that has a header: where it is, its header without prefix, its declared type."""

    path: Path
    token: str
    type: str


def mirrored(input_schema: object) -> tuple[Mirrored, ...]:
    """Return the arguments of a tool that have headers.

    Raises `ValueError` if an annotation is not legal: off the chain of `properties`, no RFC 9110
    token, not a string, integer or boolean, or one token twice ignoring case. Clients drop such a
    tool, so it is neither listed nor called.
    """
    found: dict[str, Mirrored] = {}
    for path, schema in _positions(input_schema):
        if ANNOTATION not in schema:
            continue
        token, kind = schema[ANNOTATION], schema.get("type")
        if not path:
            raise ValueError(f"{ANNOTATION} is not reached through properties alone.")
        if not isinstance(token, str) or _TOKEN.fullmatch(token) is None:
            raise ValueError(f"{ANNOTATION} is not an RFC 9110 token.")
        if not isinstance(kind, str) or kind not in _TYPES:
            raise ValueError(f"{ANNOTATION} stands on a property that has no header form.")
        if token.lower() in found:
            raise ValueError(f"{ANNOTATION} is used twice.")
        found[token.lower()] = Mirrored(path, token, kind)
    return tuple(found.values())


def expected(rows: tuple[Mirrored, ...], arguments: Mapping[str, Any]) -> Mapping[str, str]:
    """Return the headers that *arguments* demand: token to decoded value."""
    rendered = {row.token: _rendered(_at(arguments, row.path)) for row in rows}
    return MappingProxyType({name: text for name, text in rendered.items() if text is not None})


def check(
    rows: tuple[Mirrored, ...],
    arguments: Mapping[str, Any],
    params: Mapping[str, str],
    *,
    id: str | int | None = None,  # noqa: A002 - the protocol's own word
) -> None:
    """Raise `WireError` unless each header is there exactly if its argument is, and says the same.

    *params* are those of `headers.Routing`. A header of no annotation is not looked at.
    """
    for row in rows:
        header = params.get(row.token.lower())
        value = _at(arguments, row.path)
        rendered = _rendered(value)
        if (header is None) != (rendered is None):
            raise WireError(Fault.HEADER_MISMATCH, id=id, detail=row.token[:64])
        if header is not None and header != rendered and not _same_number(row, header, value):
            raise WireError(Fault.HEADER_MISMATCH, id=id, detail=row.token[:64])


def _same_number(row: Mirrored, header: str, value: object) -> bool:
    # 42 and 42.0 are one integer to JSON Schema, and clients write either.
    decimal = _DECIMAL.fullmatch(header)
    if row.type != "integer" or decimal is None or isinstance(value, bool):
        return False
    return isinstance(value, (int, float)) and int(decimal[1]) == value


def _rendered(value: object) -> str | None:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() else repr(value)
    return str(value) if isinstance(value, (str, int)) else None


def _at(arguments: object, path: Path) -> object:
    for step in path:
        if not isinstance(arguments, Mapping):
            return None
        arguments = arguments.get(step)
    return arguments


def _positions(root: object) -> Iterator[tuple[Path | None, Mapping[str, Any]]]:
    """Yield each schema with the chain of `properties` to it, or `None` off that chain."""
    waiting: list[tuple[Path | None, object]] = [((), root)]
    while waiting:
        path, schema = waiting.pop()
        if not isinstance(schema, Mapping):
            continue
        yield path, schema
        for keyword, value in schema.items():
            if keyword == "properties" and isinstance(value, Mapping):
                waiting += [(None if path is None else (*path, k), v) for k, v in value.items()]
            elif keyword in _ONE:
                waiting.append((None, value))
            elif keyword in _MANY and isinstance(value, list):
                waiting += [(None, each) for each in value]
            elif keyword in _NAMED and isinstance(value, Mapping):
                waiting += [(None, each) for each in value.values()]
