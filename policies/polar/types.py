"""Which types there are, which of them lie below which, and what each block declares."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from policies.polar.source import Problem, Span
from policies.polar.suggest import did_you_mean
from policies.polar.syntax import Block, Relation, Word

PRIMITIVES = ("String", "Integer", "Boolean")
ABSTRACT = ("Actor", "Resource")


@dataclass(frozen=True, slots=True)
class Types:
    """The types of a bundle.

    `blocks` maps each declared type to its block; the block of `global { }` stands under `""`.
    `below` maps each type, abstract ones too, to the concrete types it accepts.
    """

    blocks: dict[str, Block]
    below: dict[str, frozenset[str]]

    @property
    def every(self) -> frozenset[str]:
        """All concrete types, primitives included."""
        return self.below["Resource"] | frozenset(PRIMITIVES)

    def is_actor(self, name: str) -> bool:
        return self.below.get(name, frozenset()) <= self.below["Actor"]

    def lineage(self, name: str) -> Iterator[Block]:
        """Yield the block of *name*, then those it extends, nearest first, each once."""
        seen: set[str] = set()
        waiting = [name]
        while waiting:
            current = waiting.pop(0)
            if current in seen or current not in self.blocks:
                continue
            seen.add(current)
            yield self.blocks[current]
            waiting.extend(word.text for word in self.blocks[current].extends)

    def roles(self, name: str) -> dict[str, Word]:
        return _by_text(word for block in self.lineage(name) for word in block.roles or ())

    def permissions(self, name: str) -> dict[str, Word]:
        return _by_text(word for block in self.lineage(name) for word in block.permissions or ())

    def relations(self, name: str) -> dict[str, Relation]:
        found: dict[str, Relation] = {}
        for block in self.lineage(name):
            for relation in block.relations or ():
                found.setdefault(relation.name, relation)
        return found


def _by_text(words: Iterable[Word]) -> dict[str, Word]:
    found: dict[str, Word] = {}
    for word in words:
        found.setdefault(word.text, word)
    return found


def read_types(blocks: Sequence[Block], problems: list[Problem]) -> Types:
    """Return the types that *blocks* declare; append what is wrong to *problems*."""
    declared: dict[str, Block] = {}
    for block in blocks:
        _declare(block, declared, problems)
    names = [name for name in declared if name]
    known = (*PRIMITIVES, *ABSTRACT, *names)
    for name in names:
        _check_extends(name, declared, known, problems)
    types = Types(declared, _below(declared))
    for block in declared.values():
        _check_words(block, types, known, problems)
    return types


def _declare(block: Block, declared: dict[str, Block], problems: list[Problem]) -> None:
    if block.type in PRIMITIVES or block.type in ABSTRACT:
        message = f"`{block.type}` is a type of the language; give this block another name."
        problems.append(Problem("reserved-type", message, block.span, text=block.type))
    elif block.type in declared:
        name = f"`{block.type}`" if block.type else "`global`"
        message = (
            f"{name} is already declared at {declared[block.type].span}; "
            "put everything about it into one block."
        )
        problems.append(Problem("duplicate-block", message, block.span, text=block.type))
    else:
        declared[block.type] = block


def unknown_type(name: str, span: Span, known: Iterable[str]) -> Problem:
    message = (
        f"there is no type `{name}`; declare it with `actor {name} {{}}` or `resource {name} {{}}`."
    )
    return Problem("undeclared-type", message, span, hint=did_you_mean(name, known), text=name)


def _check_extends(
    name: str, declared: dict[str, Block], known: Sequence[str], problems: list[Problem]
) -> None:
    for word in declared[name].extends:
        if word.text not in declared:
            if word.text in PRIMITIVES or word.text in ABSTRACT:
                message = f"`{name}` cannot extend `{word.text}`, a type of the language."
                problems.append(Problem("bad-extends", message, word.span, text=word.text))
            else:
                problems.append(unknown_type(word.text, word.span, known))
        elif name in _ancestors(word.text, declared):
            message = f"`{name}` extends itself through `{word.text}`; remove one of the two."
            problems.append(Problem("bad-extends", message, word.span, text=word.text))
        elif declared[word.text].kind == "actor" and declared[name].kind == "resource":
            message = f"the resource `{name}` cannot extend the actor `{word.text}`."
            problems.append(Problem("bad-extends", message, word.span, text=word.text))


def _ancestors(name: str, declared: dict[str, Block]) -> set[str]:
    found: set[str] = set()
    waiting = [name]
    while waiting:
        current = waiting.pop()
        if current not in found and current in declared:
            found.add(current)
            waiting.extend(word.text for word in declared[current].extends)
    return found


def _below(declared: dict[str, Block]) -> dict[str, frozenset[str]]:
    names = [name for name in declared if name]
    below: dict[str, set[str]] = {name: {name} for name in (*PRIMITIVES, *names)}
    below["Actor"], below["Resource"] = set(), set()
    for name in names:
        for ancestor in _ancestors(name, declared):
            below[ancestor].add(name)
        below["Resource"].add(name)
        if declared[name].kind == "actor":
            below["Actor"].add(name)
    return {name: frozenset(types) for name, types in below.items()}


def _check_words(block: Block, types: Types, known: Sequence[str], problems: list[Problem]) -> None:
    seen: dict[str, Span] = {}
    words = [(word.text, word.span) for word in (*(block.roles or ()), *(block.permissions or ()))]
    words += [(relation.name, relation.span) for relation in block.relations or ()]
    for text, span in words:
        if text in seen:
            message = (
                f'"{text}" is already declared in this block at {seen[text]}; a word is one role, '
                "one permission or one relation."
            )
            problems.append(Problem("duplicate-declaration", message, span, text=text))
        seen.setdefault(text, span)
    problems.extend(
        unknown_type(relation.type, relation.span, known)
        for relation in block.relations or ()
        if relation.type not in types.below or relation.type in PRIMITIVES
    )
