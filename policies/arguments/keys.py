"""Names of arguments: a top-level key exactly as written, or a JSON Pointer if it begins with `/`.

A pointer (RFC 6901) is followed strictly. In an object a segment is a key; in an array it is an
index, in ASCII digits without leading zeros, and `-` names nothing. A pointer never fans out over
an array. A top-level key that itself begins with `/` is named by a pointer, such as `/~1path`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Final
from unicodedata import normalize

from policies.arguments.text import literal_problem

ABSENT: Final = object()
"""What `find` returns where there is nothing, since null is something."""

_BAD_ESCAPE = re.compile("~(?![01])")
_INDEX = re.compile("0|[1-9][0-9]{0,14}")

# What the dotted capital becomes in lower case; peers that fold letter by letter drop the dot.
_DOTTED_I = "i\u0307"
_MAX_SHRINKAGE = 8


def key_problem(key: str) -> str | None:
    """Return a sentence for the author of a key that names nothing, else `None`."""
    problem = literal_problem("The key", key)
    if problem is None and key.startswith("/") and _BAD_ESCAPE.search(key):
        return "In a JSON Pointer `~` is written `~0`, and `/` inside a segment `~1`."
    return problem


@lru_cache(maxsize=4096)
def steps(key: str) -> tuple[str, ...] | None:
    """Return the keys and indices that *key* descends through; `None` if it has a problem."""
    if key_problem(key) is not None:
        return None
    if not key.startswith("/"):
        return (key,)
    segments = key[1:].split("/")
    return tuple(segment.replace("~1", "/").replace("~0", "~") for segment in segments)


def find(arguments: Mapping[str, object], key: str) -> object:
    """Return the value that *key* names, or `ABSENT`."""
    path = steps(key)
    if path is None:
        return ABSENT
    value: object = arguments
    for step in path:
        value = _child(value, step)
    return value


def ambiguous_keys(arguments: Mapping[str, object], keys: Iterable[str]) -> list[str]:
    """Return the argument keys, as written, that another program may take for a tested one.

    *keys* are the keys tested for this resource. An argument key is ambiguous if it is not a
    tested key (or the pointer segment tested at its place) but becomes one under any mixture of
    ignored case, NFKC, and NUL: dropped, or taken for the end. Where two tested keys fold onto
    each other both are ambiguous: a peer that folds would read either for the other.
    """
    found: dict[str, None] = {}
    for names, level in _levels(arguments, keys):
        tested, longest = _tested(frozenset(names))
        for key in level:
            for fold in _folds(key, longest):
                others = tested.get(fold)
                if others is not None and others != {key}:
                    found[key] = None
    return list(found)


@lru_cache(maxsize=4096)
def _tested(names: frozenset[str]) -> tuple[Mapping[str, set[str]], int]:
    """Return *names* by what they fold to, and how long a key that folds onto one can be."""
    tested: dict[str, set[str]] = {}
    for name in names:
        tested.setdefault(_folded(name), set()).add(name)
    return tested, _MAX_SHRINKAGE * max(map(len, tested))


def _child(value: object, step: str) -> object:
    if isinstance(value, Mapping):
        return value.get(step, ABSENT)
    if isinstance(value, (list, tuple)) and _INDEX.fullmatch(step) and int(step) < len(value):
        return value[int(step)]
    return ABSENT


def _levels(
    arguments: Mapping[str, object], keys: Iterable[str]
) -> Iterable[tuple[set[str], Mapping[str, object]]]:
    """Return each object on the way to a tested key, with the names that are tested in it."""
    levels: dict[tuple[str, ...], tuple[set[str], Mapping[str, object]]] = {}
    for key in keys:
        path = steps(key) or ()
        value: object = arguments
        for depth, step in enumerate(path):
            if isinstance(value, Mapping):
                levels.setdefault(path[:depth], (set(), value))[0].add(step)
            value = _child(value, step)
    return levels.values()


def _folds(key: str, longest: int) -> tuple[str, ...]:
    """Return what *key* folds to. Nothing over *longest* can: composing shortens, but not more."""
    if "\0" not in key:
        return (_folded(key),) if len(key) <= longest else ()
    readings = (key.replace("\0", ""), key.partition("\0")[0])
    return tuple(_folded(reading) for reading in readings if len(reading) <= longest)


def _folded(name: str) -> str:
    if name.isascii():
        return name.lower()
    # Upper case first: it alone joins the dotless i to the others.
    folded = normalize("NFKC", name).upper().casefold()
    return normalize("NFKC", folded).replace(_DOTTED_I, "i")
