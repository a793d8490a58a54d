"""Settings from `NORTHGATE_*` variables: `NORTHGATE_PDP__DEADLINE_MS` is `pdp.deadline_ms`."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping

from policies.polar.suggest import did_you_mean
from proxy.config.entries import Given, KeyPath
from proxy.config.problems import Problem, dotted
from proxy.config.shape import PREFIX, Leaf, Table, leaves, shape
from proxy.identity.sealing import MASTER_KEY_VARIABLE

READ_ELSEWHERE = frozenset({MASTER_KEY_VARIABLE})
"""Variables with our prefix that are no settings."""

_INTEGER = re.compile(r"[+-]?[0-9]{1,18}")
_BOOLEANS = {"true": True, "false": False}


def read_variables(environ: Mapping[str, str], upstreams: Iterable[str]) -> Given:
    """Return what the variables give.

    *upstreams* are the names that the file has: `NORTHGATE_UPSTREAMS__MY_SERVER__URL` means the
    one that reads so when case is ignored and `-` is `_`, or else a new one, `my-server`.
    """
    given = Given()
    known = {folded(name): name for name in upstreams}
    for variable in sorted(environ):
        if variable.startswith(PREFIX) and variable not in READ_ELSEWHERE:
            _take_variable(given, variable, environ[variable], known)
    return given


def folded(name: str) -> str:
    """Return what is left of an upstream's name in a variable."""
    return name.lower().replace("-", "_")


def _take_variable(given: Given, variable: str, text: str, upstreams: Mapping[str, str]) -> None:
    path, node = _find(variable.removeprefix(PREFIX).split("__"), upstreams)
    if not isinstance(node, Leaf):
        hint = did_you_mean(variable, (leaf.variable for leaf in leaves()))
        message = f"There is no such setting. {hint}".rstrip()
        where = variable if variable.isprintable() else ascii(variable)
        given.problems.append(Problem("", message, where))
        return
    if not given.name(path, variable):
        return
    twin = next((one.where for one in given.entries if one.path == path), None)
    if twin is not None:
        given.problems.append(
            Problem(dotted(path), f"{twin} is the same setting. Remove one.", variable)
        )
        return
    given.take(typed(text, node), node, path, lambda _: variable)


def _find(parts: list[str], upstreams: Mapping[str, str]) -> tuple[KeyPath, Table | Leaf | None]:
    node: Table | Leaf | None = shape()
    path: KeyPath = ()
    while parts and isinstance(node, Table):
        part, *parts = parts
        if isinstance(node.each, Leaf):
            # A child's variable keeps its case and may have `__` in it.
            part, parts = "__".join([part, *parts]), []
        elif node.each is not None:
            named = part.lower().replace("_", "-")
            part = upstreams.get(folded(part), named) if path == ("upstreams",) else named
        else:
            part = part.lower() if part == part.upper() else ""
        path = (*path, part)
        node = node.parts.get(part, node.each if part else None)
    return path, None if parts else node


def typed(text: str, leaf: Leaf) -> object:
    """Return *text* as the type of *leaf*, or as it is, to be refused, if it does not read so."""
    if leaf.plain is int:
        return int(text) if _INTEGER.fullmatch(text) else text
    if leaf.plain is bool:
        return _BOOLEANS.get(text.lower(), text)
    if isinstance(leaf.default, tuple):
        try:
            return json.loads(text)
        except (ValueError, RecursionError):
            return text
    return text
