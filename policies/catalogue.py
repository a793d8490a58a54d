"""What the upstreams really offer, beside what a policy names.

Servers come and go, so a difference is a warning.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from policies.demands import supplied_atoms
from policies.model import Entity
from policies.polar.clauses import Clause, Const, Ref, args_of
from policies.polar.possible import POSSIBLE, TESTS
from policies.polar.program import Program
from policies.polar.source import Problem, Severity, Span
from policies.polar.suggest import did_you_mean

Schema = Mapping[str, Any]
"""A JSON Schema, such as a tool's `inputSchema`."""


@dataclass(frozen=True, slots=True)
class Catalogue:
    """The servers, tools and prompts that are registered, by their ids.

    Tools come with their input schemas. Prompts come with a schema made of their arguments.
    """

    servers: frozenset[str] = frozenset()
    tools: Mapping[str, Schema] = field(default_factory=dict)
    prompts: Mapping[str, Schema] = field(default_factory=dict)

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> Catalogue:
        """Read `{"servers": [id], "tools": {id: schema}, "prompts": {id: [argument]}}`.

        Raise `ValueError` where the document is not of that form.
        """
        servers = document.get("servers", [])
        tools = document.get("tools", {})
        prompts = document.get("prompts", {})
        if not (
            isinstance(servers, list) and isinstance(tools, dict) and isinstance(prompts, dict)
        ):
            raise ValueError(  # noqa: TRY004  one error for every wrong document
                'expected {"servers": [id], "tools": {id: schema}, "prompts": {id: [..]}}'
            )
        arguments = {
            prompt: {
                "type": "object",
                "properties": {name: {} for name in names},
                "additionalProperties": False,
            }
            for prompt, names in prompts.items()
        }
        return cls(frozenset(servers), tools, arguments)

    def ids(self, type_: str) -> frozenset[str] | None:
        """Return the ids of *type_*, or None for a type that no catalogue lists."""
        listed = {"Server": self.servers, "Tool": self.tools, "Prompt": self.prompts}
        return frozenset(listed[type_]) if type_ in listed else None

    def schemas(self, on: Entity | frozenset[str]) -> dict[str, Schema]:
        """Return the schemas that a test on *on*, one resource or all of some types, may meet."""
        listed = {"Tool": self.tools, "Prompt": self.prompts}
        if isinstance(on, Entity):
            schema = listed.get(on.type, {}).get(on.id)
            return {} if schema is None else {on.id: schema}
        return {id_: schema for type_ in on for id_, schema in listed.get(type_, {}).items()}


def compare(program: Program, catalogue: Catalogue) -> list[Problem]:
    """Return a warning for each thing that *program* names and *catalogue* does not have."""
    found = {
        **dict.fromkeys(_unknown_ids(program, catalogue)),
        **dict.fromkeys(_unknown_keys(program, catalogue)),
    }
    return sorted(found, key=lambda problem: problem.span)


def _unknown_ids(program: Program, catalogue: Catalogue) -> Iterator[Problem]:
    for clause in _written(program):
        places = [(clause.rule.span if clause.rule else None, arg) for arg in clause.head]
        places += [(part.span, arg) for part in clause.parts for arg in args_of(part)]
        for span, arg in places:
            value = arg.value if isinstance(arg, Const) else None
            if not isinstance(value, Entity) or span is None:
                continue
            known = catalogue.ids(value.type)
            if known is not None and value.id not in known:
                message = f"no {value.type.lower()} `{value.id}` is registered."
                yield _warning(
                    f"unknown-{value.type.lower()}",
                    message,
                    span,
                    did_you_mean(value.id, known),
                    value.id,
                )


def _unknown_keys(program: Program, catalogue: Catalogue) -> Iterator[Problem]:
    for clause, atom in supplied_atoms(program.clauses):
        resource, key = atom.args[:2]
        if atom.predicate not in TESTS or not isinstance(key, Const):
            continue
        on = (
            resource.value
            if isinstance(resource, Const) and isinstance(resource.value, Entity)
            else clause.slots[resource.number].types
            if isinstance(resource, Ref)
            else frozenset()
        )
        schemas = catalogue.schemas(on)
        if schemas and not any(_has(schema, str(key.value)) for schema in schemas.values()):
            whose = on.id if isinstance(on, Entity) else "any registered tool or prompt"
            known = {name for schema in schemas.values() for name in schema.get("properties", {})}
            message = f"the input schema of {whose} has no argument `{key.value}`."
            hint = did_you_mean(str(key.value), known)
            yield _warning("unknown-argument", message, atom.span, hint, str(key.value))


def _written(program: Program) -> Iterator[Clause]:
    for predicate, clauses in program.clauses.items():
        if not predicate.startswith(POSSIBLE):
            yield from (clause for clause in clauses if clause.rule is not None)


def _has(schema: Schema, key: str) -> bool:
    """Tell whether a value that fits *schema* may have something at *key*, a name or a pointer."""
    if not key.startswith("/"):
        return _may_have(schema, key) is not None
    found: Schema | None = schema
    for part in key[1:].split("/"):
        found = (
            None if found is None else _may_have(found, part.replace("~1", "/").replace("~0", "~"))
        )
    return found is not None


def _may_have(schema: Schema, name: str) -> Schema | None:
    """Return the schema of the member *name*; an empty one where the schema leaves it open."""
    if any(word in schema for word in ("$ref", "allOf", "anyOf", "oneOf", "patternProperties")):
        return {}
    if name.isdigit() and schema.get("type") == "array":
        items = schema.get("items", {})
        return items if isinstance(items, Mapping) else {}
    properties = schema.get("properties", {})
    if name in properties:
        member = properties[name]
        return member if isinstance(member, Mapping) else {}
    return {} if "properties" not in schema else None


def _warning(code: str, message: str, span: Span, hint: str, text: str) -> Problem:
    return Problem(code, message, span, Severity.WARNING, hint, text)
