"""What is asked about who may do something, and the form of the answer."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, Field

from policies.model import Entity, Step
from policies.review import Access, Other
from proxy.admin.authority import GATEWAY
from proxy.admin.errors import InvalidError
from proxy.admin.outputs import EntityDocument
from proxy.admin.routes import Input, Output
from proxy.admin.wording import resource_of
from proxy.wire.names import SEPARATOR, check_server

_GATEWAY: Final = "gateway"
_TYPES: Final = {
    "call": "tool",
    "get": "prompt",
    "read": "document",
    "subscribe": "document",
    "connect": "server",
    "sample": "server",
    "elicit": "server",
    "list_roots": "server",
    "set_log_level": "server",
}
"""What an action is done on, where no type is said."""

_PREFIXES: Final = ("server", "tool", "prompt", "document")
_LONGEST: Final = 512


def _checked_server(text: str) -> str:
    return check_server(text)


class WhoCanWish(Input):
    """Who may do `action` on `resource`.

    The resource is `tool:github__search` or the like, `gateway`, or the name alone where the action
    tells the type; `server` is that of a tool, prompt or document whose name does not say it. With
    `explain` proofs are told, and who stated each fact they rest on.
    """

    action: str = Field(min_length=1, max_length=128)
    resource: str = Field(min_length=1, max_length=_LONGEST)
    server: Annotated[str, AfterValidator(_checked_server)] | None = None
    explain: bool = False

    def entity(self) -> Entity:
        """Return the resource, or raise `InvalidError`."""
        if self.resource == _GATEWAY:
            return GATEWAY
        try:
            found = resource_of(self._whole())
        except ValueError as error:
            told = {"field": "resource", "problem": str(error)}
            raise InvalidError(problems=[told]) from None
        if isinstance(found, Entity):
            return found
        problem = "Ask about one resource; a pattern is none."
        raise InvalidError(problems=[{"field": "resource", "problem": problem}])

    def _whole(self) -> str:
        """Return the resource with its type and its server, as far as they are known."""
        prefix, colon, name = self.resource.partition(":")
        if not colon or prefix not in (*_PREFIXES, "toolset", "matching"):
            prefix, name = _TYPES.get(self.action, ""), self.resource
        if not prefix:
            raise ValueError(
                "Write the type too, such as tool:github__search: the action alone does not tell."
            )
        if self.server is not None and prefix in ("tool", "prompt"):
            name = f"{self.server}{SEPARATOR}{name}"
        elif self.server is not None and prefix == "document":
            name = f"{self.server}|{name}"
        return f"{prefix}:{name}"


class SubjectDocument(Output):
    """An identity; `id` is null for every other of the type, whom no fact and no rule names."""

    type: str
    id: str | None


class StepDocument(Output):
    """A line of a proof; `premises` are indices of earlier ones."""

    kind: str
    predicate: str
    args: list[str | int | bool | EntityDocument]
    source: str
    premises: list[int]


class GivingFact(Output):
    """A stored fact that a proof rests on, with who stated it, when (in Unix seconds) and why."""

    predicate: str
    args: list[str | int | bool | EntityDocument]
    origin: str
    added_at: int
    added_by: str
    why: str


class HolderDocument(Output):
    """Somebody who may.

    `acts_for` is null for who acts alone, else those on whose behalf it may. `access` is
    `sometimes` where it depends on the call: each of `ways` is enough, with all its conditions.
    `until` is the Unix second at which it ends by itself.
    """

    principal: SubjectDocument
    acts_for: list[SubjectDocument] | None
    access: Literal["always", "sometimes"]
    ways: list[list[str]]
    until: int | None
    rules: list[str]
    proofs: list[list[StepDocument]] | None
    facts: list[GivingFact] | None


class WhoCanDocument(Output):
    """`asked` is how many identities were asked about; `version` is that of the facts."""

    action: str
    resource: EntityDocument
    policy: str
    version: int
    now: int
    asked: int
    principals: list[HolderDocument]


def subject_document(subject: Entity | Other) -> dict[str, Any]:
    return {"type": subject.type, "id": subject.id if isinstance(subject, Entity) else None}


def step_document(step: Step) -> dict[str, Any]:
    return {
        "kind": step.kind.value,
        "predicate": step.claim.predicate,
        "args": [_plain(arg) for arg in step.claim.args],
        "source": step.source,
        "premises": list(step.premises),
    }


def access_word(access: Access) -> str:
    return "always" if access is Access.ALWAYS else "sometimes"


def _plain(value: object) -> object:
    if isinstance(value, Entity):
        return {"type": value.type, "id": value.id}
    return value if isinstance(value, str | int) else str(value)
