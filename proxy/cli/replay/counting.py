"""What a replay comes to: how many decisions change, in groups that change alike."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from policies.replay import Compared, Difference

EXAMPLES: Final = 3

SHOWN: Final = (Difference.NEWLY_ALLOWED, Difference.NEWLY_DENIED, Difference.CANNOT_TELL)
"""The differences that are told one by one, the one that opens something first."""


@dataclass(slots=True)
class Group:
    """Decisions of one principal on one thing that change alike: how many, and some ids."""

    compared: Compared
    count: int = 0
    examples: list[str] = field(default_factory=list)


class Tally:
    """Counts what is compared."""

    def __init__(self) -> None:
        self._groups: dict[int, Group] = {}

    def add(self, compared: Compared, decision_id: str) -> None:
        # What is equal is mostly the same object, and is put together at the end.
        group = self._groups.get(id(compared))
        if group is None:
            group = self._groups[id(compared)] = Group(compared)
        group.count += 1
        if len(group.examples) < EXAMPLES:
            group.examples.append(decision_id)

    @property
    def counts(self) -> Counter[Difference]:
        found: Counter[Difference] = Counter()
        for group in self._groups.values():
            found[group.compared.difference] += group.count
        return found

    def groups(self, difference: Difference) -> list[Group]:
        """Return the groups with *difference*, those of one principal together, by number."""
        merged: dict[Compared, Group] = {}
        for group in self._of(difference):
            whole = merged.setdefault(group.compared, Group(group.compared))
            whole.count += group.count
            whole.examples = sorted({*whole.examples, *group.examples})[:EXAMPLES]
        of_actor: Counter[object] = Counter()
        for group in merged.values():
            of_actor[group.compared.actor] += group.count
        return sorted(
            merged.values(),
            key=lambda group: (
                -of_actor[group.compared.actor],
                str(group.compared.actor),
                -group.count,
                str(group.compared.resource),
                group.compared.action,
                group.compared.rules,
            ),
        )

    def _of(self, difference: Difference) -> Iterator[Group]:
        return (one for one in self._groups.values() if one.compared.difference is difference)
