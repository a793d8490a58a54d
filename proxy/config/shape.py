"""The tree of settings as its readers walk it: tables, names chosen by the operator, leaves."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from types import NoneType
from typing import Annotated, Any, Literal, get_args, get_origin, get_type_hints

from pydantic import BaseModel, Strict, TypeAdapter
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from proxy.config.tree import Settings
from proxy.config.values import Kind
from proxy.identity.sealing import Secret

PREFIX = "NORTHGATE_"
ANY = "NAME"
"""Stands in a key for a name that the operator chooses."""


@dataclass(frozen=True)
class Leaf:
    """One setting. `wanted` completes "This has to be"; `shown` is its default as text."""

    path: tuple[str, ...]
    plain: Any
    wanted: str
    shown: str
    default: Any
    description: str
    adapter: TypeAdapter[Any] = field(repr=False)

    @property
    def key(self) -> str:
        return ".".join(self.path)

    @property
    def variable(self) -> str:
        return PREFIX + "__".join(part.upper() for part in self.path)

    @property
    def is_secret(self) -> bool:
        return self.plain is Secret

    @property
    def choices(self) -> tuple[str, ...]:
        return get_args(self.plain) if get_origin(self.plain) is Literal else ()


@dataclass(frozen=True)
class Table:
    """What may stand under a key: the names of `parts`, or, if there is an `each`, any name."""

    parts: Mapping[str, Table | Leaf]
    each: Table | Leaf | None = None


@cache
def shape() -> Table:
    """Return the whole tree."""
    return _table(Settings, ())


def leaves(node: Table | Leaf | None = None) -> Iterator[Leaf]:
    """Yield every setting below *node*, in the order of the reference."""
    node = node or shape()
    if isinstance(node, Leaf):
        yield node
        return
    for part in [*node.parts.values(), *([node.each] if node.each else [])]:
        yield from leaves(part)


def _table(model: type[BaseModel], path: tuple[str, ...]) -> Table:
    hints = get_type_hints(model, include_extras=True)
    fields = {name: one for name, one in model.model_fields.items() if name != "warnings"}
    return Table({name: _node(hints[name], one, (*path, name)) for name, one in fields.items()})


def _node(hint: Any, info: FieldInfo, path: tuple[str, ...]) -> Table | Leaf:  # noqa: ANN401  a type form
    plain, _ = _unwrapped(hint)
    if isinstance(plain, type) and issubclass(plain, BaseModel):
        return _table(plain, path)
    if get_origin(plain) is Mapping:
        return Table({}, _node(get_args(plain)[1], info, (*path, ANY)))
    extra = info.json_schema_extra
    shown = extra.get("shown") if isinstance(extra, dict) else None
    in_mapping = path[-1] == ANY
    return Leaf(
        path=path,
        plain=plain,
        wanted=_wanted(hint, info),
        shown=str(shown) if shown else _shown(None if in_mapping else info.default),
        default=PydanticUndefined if in_mapping else info.default,
        description=info.description or "",
        adapter=TypeAdapter(_strictly(hint, plain, info)),
    )


def _strictly(hint: Any, plain: Any, info: FieldInfo) -> Any:  # noqa: ANN401  a type form
    """Return *hint* with its bounds, and without pydantic's readiness to convert."""
    if plain in (int, bool):
        return Annotated[(hint, Strict(), *info.metadata)]
    return Annotated[hint, Strict()] if get_origin(plain) is tuple else hint


def _unwrapped(hint: Any) -> tuple[Any, tuple[Any, ...]]:  # noqa: ANN401  a type form
    """Return *hint* without `None` and `Annotated`, and what was annotated."""
    if get_origin(hint) is Annotated:
        return hint.__origin__, hint.__metadata__
    kinds = [one for one in get_args(hint) if one is not NoneType]
    return _unwrapped(kinds[0]) if NoneType in get_args(hint) else (hint, ())


def _wanted(hint: Any, info: FieldInfo) -> str:  # noqa: ANN401  a type form
    plain, notes = _unwrapped(hint)
    named = next((note.text for note in notes if isinstance(note, Kind)), None)
    if named:
        return str(named)
    if plain is bool:
        return "true or false"
    if get_origin(plain) is tuple:
        return f"a list of {_wanted(get_args(plain)[0], info)}"
    if get_origin(plain) is Literal:
        *others, last = (f"`{choice}`" for choice in get_args(plain))
        return f"{', '.join(others)} or {last}"
    bounds = {type(note).__name__: note for note in info.metadata}
    return f"an integer from {bounds['Ge'].ge} to {bounds['Le'].le}"


def _shown(default: Any) -> str:  # noqa: ANN401  any setting's default
    match default:
        case None | ():
            return ""
        case bool():
            return str(default).lower()
        case _ if default is PydanticUndefined:
            return ""
    return str(default)
