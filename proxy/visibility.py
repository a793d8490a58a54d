"""Which of many things a caller may learn the existence of."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from policies.model import Entity, Fact
from policies.pdp import DecisionPoint
from proxy.call import Call
from proxy.question import USES


async def visible(
    point: DecisionPoint,
    call: Call,
    type_: str,
    entities: Sequence[Entity],
    facts: Iterable[Fact] | None = None,
) -> set[Entity]:
    """Return those of *entities*, all of *type_*, that may be listed or used by the caller.

    *facts* are what holds of them, by default what their ids say. Raises `UndecidedError`.
    """
    if facts is None:
        facts = _facts(call, entities) if type_ == "Document" else ()
    request = call.request(USES[type_], call.entity, tuple(facts))
    return set(await point.visible(request, entities, call.grounds))


def _facts(call: Call, documents: Iterable[Entity]) -> Iterable[Fact]:
    for document in documents:
        yield from call.document_facts(document, document.id.partition("|")[2])
