"""Which facts a policy accepts: a signature for each way it declares or uses a predicate."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from policies.model import Entity, Fact, type_name
from policies.polar.clauses import Atom, Clause, Clock, Const, Ref
from policies.polar.suggest import did_you_mean
from policies.polar.syntax import Declare
from policies.polar.types import Types
from policies.polar.values import MAX_INTEGER, MIN_INTEGER, key_of, kind

MAX_BYTES = 384


class FactError(ValueError):
    """A fact that the policy does not accept; the message says which declaration it breaks."""


@dataclass(frozen=True, slots=True)
class Signature:
    """The types each argument may have, and the declaration or use that says so."""

    types: tuple[frozenset[str], ...]
    text: str
    place: str

    def accepts(self, types: Sequence[str]) -> bool:
        return all(type_ in allowed for type_, allowed in zip(types, self.types, strict=True))


Supplied = Mapping[str, tuple[str, ...]]
"""Facts that only the caller supplies, by predicate (`name/arity`): `|`-separated types."""

NOTHING_SUPPLIED: Supplied = {}


@dataclass(frozen=True, slots=True)
class Schema:
    """The facts that may be stored or supplied, by predicate (`name/arity`).

    `declared` are the predicates that a block, a declaration or the gateway names, beyond use.
    """

    signatures: dict[str, list[Signature]] = field(default_factory=dict)
    declared: set[str] = field(default_factory=set)
    _accepted: dict[tuple[str, tuple[str, ...]], str] = field(default_factory=dict, repr=False)

    def add(self, name: str, signature: Signature) -> None:
        known = self.signatures.setdefault(key_of(name, len(signature.types)), [])
        if signature.types not in (other.types for other in known):
            known.append(signature)

    def check(self, fact: Fact) -> str:
        """Return the table (`name/arity`) of *fact*; raise `FactError` if it is not accepted."""
        _check_values(fact)
        table = self._table(fact)
        if table is None:
            raise FactError(f"{fact} is not a fact of this policy: {self._expected(fact)}")
        return table

    def table_of(self, fact: Fact) -> str | None:
        """Return the table of *fact*; None if no rule could meet a fact of these types.

        Raise `FactError` for one that a rule could meet and that has a value which none can hold.
        """
        table = self._table(fact)
        if table is not None:
            _check_values(fact)
        return table

    def _table(self, fact: Fact) -> str | None:
        types = tuple(map(type_name, fact.args))
        table = self._accepted.get((fact.predicate, types))
        if table is None:
            name = key_of(fact.predicate, len(fact.args))
            known = self.signatures.get(name, [])
            if any(signature.accepts(types) for signature in known):
                table = self._accepted[fact.predicate, types] = name
        return table

    def _expected(self, fact: Fact) -> str:
        known = self.signatures.get(key_of(fact.predicate, len(fact.args)))
        if known:
            forms = "; ".join(f"`{known_.text}` ({known_.place})" for known_ in known)
            return f"it must have one of the forms {forms}."
        arities = [key for key in self.signatures if key.startswith(f"{fact.predicate}/")]
        if arities:
            counts = " or ".join(sorted(key.rpartition("/")[2] for key in arities))
            return f"`{fact.predicate}` takes {counts} arguments, not {len(fact.args)}."
        names = [key.partition("/")[0] for key in self.signatures]
        hint = did_you_mean(fact.predicate, names)
        return " ".join(filter(None, ["no rule uses or declares that predicate.", hint]))


def _is_ordinary(value: object) -> bool:
    """Tell at little cost that *value* is right, as nearly all are."""
    text = value.id if value.__class__ is Entity else value
    return text.__class__ is str and 0 < len(text) <= MAX_BYTES and text.isascii()


def _check_values(fact: Fact) -> None:
    for value in fact.args:
        if not _is_ordinary(value):
            _check_value(fact, value)


def _check_value(fact: Fact, value: object) -> None:
    name = fact.predicate
    match value:
        case bool():
            return
        case int():
            if not MIN_INTEGER <= value <= MAX_INTEGER:
                raise FactError(f"{name}: {value} does not fit into 64 bits.")
        case str() | Entity():
            text = value if isinstance(value, str) else value.id
            if not text:
                raise FactError(f"{name}: a text or an id must not be empty.")
            if any("\ud800" <= character <= "\udfff" for character in text):
                raise FactError(f"{name}: a text must be valid Unicode.")
            if len(text.encode()) > MAX_BYTES:
                raise FactError(f"{name}: a text or an id has at most {MAX_BYTES} bytes.")
        case _:
            raise FactError(f"{name}: {value!r} is no text, integer, Boolean or entity.")


def read_schema(
    types: Types, declares: Iterable[Declare], clauses: Iterable[Clause], supplied: Supplied
) -> Schema:
    """Return what the blocks, declarations and rules of a policy accept."""
    schema = Schema()
    for name in types.blocks:
        _add_block(schema, types, name)
    for declare in declares:
        names = [word.text for word in declare.types]
        _add(schema, types, declare.predicate, names, str(declare.span))
    closed = _add_supplied(schema, types, supplied)
    schema.declared.update(schema.signatures)
    for clause in clauses:
        for part in clause.parts:
            if isinstance(part, Atom) and part.predicate not in closed:
                _add_use(schema, types, clause, part)
    return schema


def _add(schema: Schema, types: Types, predicate: str, names: Sequence[str], place: str) -> None:
    if not types.below.keys() >= set(names):
        return  # told where the type is named
    allowed = tuple(types.below[name] for name in names)
    schema.add(predicate, Signature(allowed, f"{predicate}({', '.join(names)})", place))


def _add_block(schema: Schema, types: Types, name: str) -> None:
    place = str(types.blocks[name].span)
    resource = [name] if name else []
    if types.roles(name):
        _add(schema, types, "has_role", ["Actor", "String", *resource], place)
    if types.permissions(name):
        _add(schema, types, "has_permission", ["Actor", "String", *resource], place)
    for relation in types.relations(name).values():
        _add(schema, types, "has_relation", [name, "String", relation.type], str(relation.span))


def _add_supplied(schema: Schema, types: Types, supplied: Supplied) -> set[str]:
    closed = set()
    for key, forms in supplied.items():
        name = key.partition("/")[0]
        allowed = [
            frozenset().union(*(types.below.get(type_, frozenset()) for type_ in form.split("|")))
            for form in forms
        ]
        if all(allowed):
            text = f"{name}({', '.join(forms)})"
            schema.add(name, Signature(tuple(allowed), text, "supplied by the gateway"))
            closed.add(key)
    return closed


def _add_use(schema: Schema, types: Types, clause: Clause, atom: Atom) -> None:
    allowed = []
    for arg in atom.args:
        match arg:
            case Ref(number):
                allowed.append(clause.slots[number].types)
            case Const(value):
                allowed.append(frozenset({kind(value)}))
            case Clock():
                allowed.append(frozenset({"Integer"}))
    name = atom.predicate.partition("/")[0]
    text = f"{name}({', '.join(named(set_, types) for set_ in allowed)})"
    schema.add(name, Signature(tuple(allowed), text, str(atom.span)))


def named(allowed: frozenset[str], types: Types) -> str:
    """Return the name of the type that accepts just *allowed*, or its members."""
    if allowed == types.every:
        return "_"
    for name, below in types.below.items():
        if below == allowed:
            return name
    return "|".join(sorted(allowed))
