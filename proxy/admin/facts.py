"""Facts: what else an admin may state, from a closed list."""

from __future__ import annotations

from json import dumps
from typing import Annotated, Any, Final

import orjson
from pydantic import Field, PlainValidator, WithJsonSchema

from policies.model import Entity, Fact, Value, type_name
from policies.polar.program import Program, items_of
from policies.polar.schema import FactError
from policies.polar.syntax import Declare
from policies.polar.values import key_of
from policies.vocabulary import STORED, SUPPLIED
from proxy.admin.amending import Amendments, Stated, document_of
from proxy.admin.errors import InvalidError, UnknownFactError, WrittenInPolicyError
from proxy.admin.identities import MANAGE_GRANTS, Why, author_of
from proxy.admin.outputs import FactDocument
from proxy.admin.routes import Route, Visit
from proxy.listener.answers import Answer

FACT: Final = "fact"
"""The origin of what is stated by itself."""

_MOST_CHARACTERS: Final = 2_400
"""Of a fact in ASCII; a little more is what every database can keep."""

_RESOURCES: Final = frozenset({"Server", "Tool", "Prompt", "Document", "Toolset"})
_STRING: Final = frozenset({"String"})

_OURS: Final = {
    "has_tag": (_RESOURCES, _STRING),
    # Not the gateway itself: who disables that shuts himself out with everybody else.
    "is_disabled": (_RESOURCES,),
    "has_relation": (frozenset({"Tool", "Prompt"}), _STRING, frozenset({"Toolset"})),
}
"""What may be stated whatever the policy is, with the types of the arguments."""

_EXAMPLE: Final = {
    "predicate": "has_tag",
    "args": [{"type": "Server", "id": "github"}, "reviewed"],
    "why": "reviewed by the security team",
}

_GRANTS: Final = frozenset({"has_role", "has_role_matching", "lease"})
_RELATION: Final = "has_relation"
_IN_TOOLSET: Final = "toolset"
_ENTITY: Final = {"type", "id"}


def _value(value: object) -> Value:
    if isinstance(value, dict) and value.keys() == _ENTITY:
        type_, id_ = value["type"], value["id"]
        if isinstance(type_, str) and isinstance(id_, str):
            return Entity(type_, id_)
    if isinstance(value, str | int):
        return value
    raise ValueError('Write a text, a whole number, true, false or {"type": ..., "id": ...}.')


_TEXT: Final = {"type": "string"}
_Argument = Annotated[
    Any,
    PlainValidator(_value),
    WithJsonSchema(
        {
            "anyOf": [
                *({"type": type_} for type_ in ("string", "integer", "boolean")),
                {
                    "type": "object",
                    "properties": {"type": _TEXT, "id": _TEXT},
                    "required": ["type", "id"],
                    "additionalProperties": False,
                },
            ]
        }
    ),
]


class Named(Why):
    """A fact to be stated or withdrawn."""

    predicate: str = Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,127}$")
    args: list[_Argument] = Field(min_length=1, max_length=16)

    @property
    def fact(self) -> Fact:
        return Fact(self.predicate, tuple(self.args))


class Facts:
    """The facts of the closed list."""

    def __init__(self, amendments: Amendments) -> None:
        self._amendments = amendments

    def routes(self) -> tuple[Route[Any], ...]:
        path, action = "/api/v0/facts", MANAGE_GRANTS
        return (
            Route(
                "POST",
                path,
                action,
                Named,
                self.state,
                summary="State a fact",
                example=_EXAMPLE,
                status=201,
                gives=FactDocument,
                also={200: FactDocument},
            ),
            Route(
                "DELETE",
                path,
                action,
                Named,
                self.withdraw,
                summary="Withdraw a fact, whoever stated it",
                example=_EXAMPLE,
                gives=FactDocument,
                fails=(UnknownFactError, WrittenInPolicyError),
            ),
        )

    async def state(self, visit: Visit, named: Named) -> Answer:
        fact = self._checked(named)
        return await self._amendments.alone(lambda: self._state(visit, fact, named.why))

    async def withdraw(self, visit: Visit, named: Named) -> Answer:
        fact = self._checked(named)
        return await self._amendments.alone(lambda: self._withdraw(visit, fact, named.why))

    async def _state(self, visit: Visit, fact: Fact, why: str) -> Answer:
        draft = self._amendments.draft(add=[Stated(FACT, fact)])
        version = self._amendments.facts.version
        if draft:
            author = author_of(visit)
            after = document_of(fact)
            await self._amendments.record(author, "fact.stated", why=why, after=after)
            version = await self._amendments.carry_out(draft, author, why)
        return Answer(201 if draft else 200, _answered(fact, version))

    async def _withdraw(self, visit: Visit, fact: Fact, why: str) -> Answer:
        place = self._amendments.is_written(fact)
        if place:
            raise WrittenInPolicyError(place=place)
        draft = self._amendments.draft(remove=self._amendments.everywhere([fact]))
        if not draft:
            raise UnknownFactError
        author = author_of(visit)
        before = document_of(fact)
        await self._amendments.record(author, "fact.withdrawn", why=why, before=before)
        version = await self._amendments.carry_out(draft, author, why)
        return Answer(200, _answered(fact, version))

    def _checked(self, named: Named) -> Fact:
        """Return the fact, or raise `InvalidError` with what is wrong with it."""
        program = self._amendments.standing.grounds.bundle.program
        problem = _predicate_problem(named.predicate, len(named.args), program)
        if problem is not None:
            raise InvalidError(problems=[{"field": "predicate", "problem": problem}])
        fact = named.fact
        problem = _types_problem(fact, program)
        try:
            program.schema.check(fact)
        except FactError as error:
            problem = problem or f"{error}"
        if problem is None and len(dumps(document_of(fact))) > _MOST_CHARACTERS:
            problem = "Together the arguments are too long."
        if problem is not None:
            raise InvalidError(problems=[{"field": "args", "problem": problem}])
        return fact


def _answered(fact: Fact, version: int) -> bytes:
    predicate, *args = document_of(fact)
    return orjson.dumps({"predicate": predicate, "args": args, "version": version})


def _predicate_problem(name: str, arity: int, program: Program) -> str | None:
    """Return why no admin states a fact of this predicate, or None."""
    if name in _GRANTS:
        return "This is a grant; use /api/v0/grants, or the roles of a user."
    if name == "is_suspended":
        return "Suspend the client, user or team itself."
    if name in _OURS:
        return None
    if key_of(name, arity) in program.clauses:
        return "Rules of the policy derive this, so it is not stored."
    if name in STORED or any(key.partition("/")[0] == name for key in SUPPLIED):
        return "The gateway alone states this."
    if not _declared(name, program):
        return f"No policy declares `{name}`; add `declare {name}(...);` to one."
    return None


def _types_problem(fact: Fact, program: Program) -> str | None:
    ours = _OURS.get(fact.predicate)
    forms = _declared(fact.predicate, program) if ours is None else [ours]
    types = [type_name(arg) for arg in fact.args]
    is_right = any(
        len(form) == len(types)
        and all(type_ in allowed for type_, allowed in zip(types, form, strict=True))
        for form in forms
    )
    if is_right and (fact.predicate != _RELATION or fact.args[1] == _IN_TOOLSET):
        return None
    if fact.predicate == _RELATION:
        return 'Of relations only has_relation(Tool or Prompt, "toolset", Toolset) is stated.'
    texts = (f"{fact.predicate}({', '.join('|'.join(sorted(one)) for one in f)})" for f in forms)
    return f"It has the form {' or '.join(texts)}."


def _declared(name: str, program: Program) -> list[tuple[frozenset[str], ...]]:
    """Return the types of the arguments of each declaration of a predicate."""
    below = program.types.below
    return [
        tuple(below[word.text] for word in one.types)
        for one in items_of(program.modules, Declare)
        if one.predicate == name
    ]
