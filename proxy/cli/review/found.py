"""What a review finds."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from policies.idle import RuleUse
from policies.model import Entity
from storage.history import Life


class State(StrEnum):
    """What the interval says of a grant, a tool, a prompt or a document."""

    USED = "used"
    REPLACEABLE = "replaceable"
    UNUSED = "unused"
    TOO_NEW = "too_new"


@dataclass(frozen=True, slots=True)
class GrantUse:
    """A fact of now, and how many decisions rested on it: the time of the last is as in records."""

    life: Life
    state: State
    decisions: int = 0
    last: str = ""


@dataclass(frozen=True, slots=True)
class ItemUse:
    """What a server offers, and who used it last, in all of the record."""

    life: Life
    state: State
    last: str = ""
    by: Entity | None = None

    @property
    def item(self) -> object:
        return self.life.fact.args[0]


@dataclass(frozen=True, slots=True)
class Review:
    """What an interval tells; of `unclear` decisions nobody can tell what they rested on.

    `unlooked` are kinds of refusal that were not looked into, since there were enough like them.
    """

    policy: str
    since: str
    until: str
    decisions: int
    unclear: int
    unlooked: int
    rules: list[RuleUse]
    grants: list[GrantUse]
    items: list[ItemUse]

    @property
    def has_unused(self) -> bool:
        states = {one.state for one in self.grants} | {one.state for one in self.items}
        return State.UNUSED in states or not all(rule.is_used for rule in self.rules)
