"""What a candidate does otherwise than the policy in force: how often, in groups that are alike."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from policies.model import Entity
from policies.replay import Compared, Difference

MOST_GROUPS: Final = 1000
"""What diverges beyond them is counted, and not told apart."""

EXAMPLES: Final = 3

TOLD: Final = (Difference.NEWLY_ALLOWED, Difference.NEWLY_DENIED, Difference.CANNOT_TELL)
"""The differences that are told one by one, the one that opens something first."""


@dataclass(slots=True)
class Group:
    """Decisions of one principal on one thing that diverge alike: how many, and some ids."""

    count: int = 0
    examples: list[str] = field(default_factory=list)

    def add(self, count: int, examples: Iterable[str]) -> None:
        self.count += count
        self.examples += [one for one in examples if one not in self.examples]
        del self.examples[EXAMPLES:]


class Divergences:
    """Counts what is compared. `skipped` decisions were not, for there were too many at once."""

    def __init__(self) -> None:
        self.counts: Counter[Difference] = Counter()
        self.groups: dict[Compared, Group] = {}
        self.skipped = 0
        self.others = 0

    @property
    def compared(self) -> int:
        return self.counts.total()

    def add(self, compared: Compared, decision_id: str) -> None:
        self.counts[compared.difference] += 1
        if compared.difference in TOLD:
            self._put(compared, 1, [decision_id])

    def include(self, text: str) -> None:
        """Add what another process has `written`. Raise `ValueError` for what none writes."""
        try:
            document = json.loads(text)
            counts = {Difference(name): int(count) for name, count in document["counts"].items()}
            groups = [
                (_compared(one), int(one["count"]), list(map(str, one["examples"])))
                for one in document["groups"]
            ]
            others, skipped = int(document["others"]), int(document["skipped"])
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"counts of another release: {error}") from error
        self.counts.update(counts)
        self.others += others
        self.skipped += skipped
        for compared, count, examples in groups:
            self._put(compared, count, examples)

    def written(self) -> str:
        return json.dumps(
            {
                "counts": {one.value: count for one, count in self.counts.items()},
                "others": self.others,
                "skipped": self.skipped,
                "groups": self.documents(),
            }
        )

    def documents(self) -> list[dict[str, Any]]:
        """Return the groups: newly allowed first, those of one principal together, by number."""
        of_actor: Counter[tuple[Difference, Entity | None]] = Counter()
        for one, group in self.groups.items():
            of_actor[one.difference, one.actor] += group.count

        def place(item: tuple[Compared, Group]) -> tuple[object, ...]:
            one, group = item
            principal = (-of_actor[one.difference, one.actor], str(one.actor))
            rest = (-group.count, str(one.resource), one.action, one.rules, one.lacking)
            return (TOLD.index(one.difference), *principal, *rest)

        return [_document(*item) for item in sorted(self.groups.items(), key=place)]

    def _put(self, compared: Compared, count: int, examples: list[str]) -> None:
        group = self.groups.get(compared)
        if group is None:
            if len(self.groups) >= MOST_GROUPS:
                self.others += count
                return
            group = self.groups[compared] = Group()
        group.add(count, examples)


def _document(compared: Compared, group: Group) -> dict[str, Any]:
    return {
        "difference": compared.difference.value,
        "principal": _named(compared.actor),
        "action": compared.action,
        "resource": _named(compared.resource),
        "rules": list(compared.rules),
        "lacking": compared.lacking or None,
        "count": group.count,
        "examples": group.examples,
    }


def _named(entity: Entity | None) -> dict[str, str] | None:
    return None if entity is None else {"type": entity.type, "id": entity.id}


def _compared(document: Mapping[str, Any]) -> Compared:
    actor, resource = document["principal"], document["resource"]
    return Compared(
        Difference(document["difference"]),
        Entity(actor["type"], actor["id"]),
        str(document["action"]),
        Entity(resource["type"], resource["id"]),
        tuple(map(str, document["rules"])),
        str(document["lacking"] or ""),
    )
