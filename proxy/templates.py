"""Whether a template, or what it is completed with, leads anywhere that a caller may go."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import chain, islice
from typing import Any, Final

from policies.grounds import Grounds
from policies.model import Entity, Fact
from policies.pdp import DecisionPoint
from policies.polar.clauses import Const, args_of
from policies.polar.values import key_of
from proxy.call import Call
from proxy.question import document_id
from proxy.upstream.server import Server
from proxy.visibility import visible
from proxy.wire.names import UnnameableError
from proxy.wire.templates import Template, TemplateError

MOST_EXPANSIONS: Final = 1000
"""Documents that are looked at to find one that a template may stand for."""

_GRANTS: Final = (key_of("has_role", 3), key_of("lease", 4))
_GRANTED: Final = 2  # the place of what a grant is of


def possible_facts(call: Call, template: Entity, text: str) -> list[Fact]:
    """Return what the URI of some document may say that the template *text* stands for."""
    facts = [Fact("has_relation", (template, "server", call.entity))]
    parsed = _parsed(text)
    if parsed is None:
        return facts
    named = call.grounds.demands.named
    facts += [
        Fact("uri_under", (template, prefix))
        for prefix in sorted(named.get("uri_under", {}).get(1, ()))
        if parsed.may_lie_under(prefix)
    ]
    facts += [
        Fact("uri_matches", (template, glob))
        for glob in sorted(named.get("uri_matches", {}).get(1, ()))
        if parsed.may_lie_under(glob.partition("*")[0])
    ]
    return facts


def known_expansions(call: Call, server: Server, text: str) -> list[Entity]:
    """Return the documents that the template *text* may stand for, and that something is known of.

    They are those that somebody was given, that a rule names, or that the server lists.
    """
    parsed = _parsed(text)
    if parsed is None:
        return []
    found = (
        document
        for document in _known(call, server)
        if parsed.may_expand_to(document.id.partition("|")[2])
    )
    return list(islice(dict.fromkeys(found), MOST_EXPANSIONS))


async def visible_templates(
    point: DecisionPoint, call: Call, server: Server, templates: Sequence[Entity]
) -> set[Entity]:
    """Return those of *templates* that may stand for a document which the caller may see.

    Raises `UndecidedError`.
    """
    texts = {one: one.id.partition("|")[2] for one in templates}
    facts = [fact for one in templates for fact in possible_facts(call, one, texts[one])]
    seen = await visible(point, call, "Document", templates, facts)
    expansions = {
        one: known_expansions(call, server, texts[one]) for one in templates if one not in seen
    }
    documents = list(dict.fromkeys(chain.from_iterable(expansions.values())))
    if documents:
        found = await visible(point, call, "Document", documents)
        seen |= {one for one, known in expansions.items() if not found.isdisjoint(known)}
    return seen


def completed(server: str, text: str, params: Mapping[str, Any], value: str) -> Entity | None:
    """Return the document that the template *text* leads to if its argument is *value*.

    None if it cannot be told, because there are more arguments than the client has given.
    """
    parsed = _parsed(text)
    argument, context = params.get("argument"), params.get("context")
    name = argument.get("name") if type(argument) is dict else None
    given = context.get("arguments") if type(context) is dict else None
    if parsed is None or type(name) is not str:
        return None
    others = given if type(given) is dict else {}
    values = {key: one for key, one in others.items() if type(one) is str}
    uri = parsed.expanded({**values, name: value})
    try:
        return None if uri is None else document_id(server, uri)
    except UnnameableError:
        return None


def _known(call: Call, server: Server) -> Iterator[Entity]:
    prefix = f"{server.name}|"
    for resource in chain(_granted(call.grounds), _named(call.grounds)):
        if isinstance(resource, Entity) and resource.id.startswith(prefix):
            yield resource
    if server.catalogue is not None:
        for uri in sorted(server.catalogue.resources):
            yield Entity("Document", f"{server.name}|{uri}")


def _granted(grounds: Grounds) -> Iterator[object]:
    for key in _GRANTS:
        table = grounds.tables.get(key)
        yield from (row[_GRANTED] for row in table.rows) if table else ()


def _named(grounds: Grounds) -> Iterator[object]:
    for alternatives in grounds.bundle.program.clauses.values():
        for clause in alternatives:
            args = chain(clause.head, *map(args_of, clause.parts))
            yield from (one.value for one in args if isinstance(one, Const))


def _parsed(text: str) -> Template | None:
    try:
        return Template.parse(text)
    except TemplateError:
        return None
