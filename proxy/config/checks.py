"""What settings demand of each other. Each check judges only what is right in itself."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import urlsplit

from proxy.config.entries import KeyPath
from proxy.config.environment import folded
from proxy.config.problems import Problem, dotted
from proxy.config.shape import Leaf, leaves
from proxy.config.values import is_loopback
from proxy.upstream.presented import header_problem, names_problem


@dataclass
class Draft:
    """Values so far, by path. `wrong` are paths that were given, but not rightly."""

    values: dict[KeyPath, Any] = field(default_factory=dict, repr=False)
    places: dict[KeyPath, str] = field(default_factory=dict)
    wrong: set[KeyPath] = field(default_factory=set)
    upstreams: dict[str, str] = field(default_factory=dict)
    sinks: dict[str, str] = field(default_factory=dict)

    def get(self, key: str, *, upstream: str = "") -> Any:  # noqa: ANN401  any setting's value
        """Return the value of *key*, or its default."""
        leaf = _LEAVES[f"upstreams.NAME.{key}" if upstream else key]
        return self.values.get(_path(key, upstream), leaf.default)

    def is_given(self, key: str, upstream: str = "") -> bool:
        path = _path(key, upstream)
        return any(one[: len(path)] == path for one in (*self.values, *self.wrong))

    def are_right(self, *keys: str, upstream: str = "") -> bool:
        """Tell whether nothing is wrong with any of *keys*, so that they may be compared."""
        return all(_path(key, upstream) not in self.wrong for key in keys)

    def problem(
        self, key: str, message: str, *, upstream: str = "", cause: str | None = None
    ) -> Problem:
        """Return a problem at the place where *key* was given, else *cause*, else the upstream."""
        path = _path(key, upstream)
        below = next((one for one in self.places if one[: len(path)] == path), path)
        near = self.places.get(_path(cause, upstream)) if cause else None
        where = self.places.get(below) or near or self.upstreams.get(upstream) or "default"
        return Problem(dotted(path), message, where)


_LEAVES: Final[Mapping[str, Leaf]] = {leaf.key: leaf for leaf in leaves()}


def _path(key: str, upstream: str) -> KeyPath:
    around = ("upstreams", upstream) if upstream else ()
    return (*around, *key.split("."))


def contradictions(draft: Draft) -> Iterator[Problem]:
    """Yield every pair of settings that cannot both hold."""
    for check in _CHECKS:
        yield from check(draft)
    for name in draft.upstreams:
        yield from _upstream(draft, name)


def cautions(draft: Draft) -> Iterator[Problem]:
    """Yield what is allowed and probably not meant."""
    if draft.get("public_url") == draft.get("admin_url"):
        message = "It is the same as public_url. Give each listener a name of its own."
        yield draft.problem("admin_url", message, cause="public_url")
    for url, listen in (("public_url", "data.listen"), ("admin_url", "admin.listen")):
        usual = _LEAVES[listen].default.port
        if not draft.is_given(url) and draft.get(listen).port != usual:
            message = f"The port is not the one in {url}. Set {url}: tokens and clients use it."
            yield draft.problem(listen, message)
    for name in draft.upstreams:
        url = draft.get("url", upstream=name)
        is_secret = draft.is_given("auth.bearer", name) or draft.is_given("headers", name)
        if url and not is_safe(url) and is_secret:
            message = "What it is given travels in the clear. Use https."
            yield draft.problem("url", message, upstream=name)


def _development(draft: Draft) -> Iterator[Problem]:
    if not draft.are_right("mode") or draft.get("mode") != "development":
        return
    for key in ("data.listen", "admin.listen"):
        if draft.are_right(key) and not draft.get(key).is_loopback:
            message = "Development mode listens on loopback only. Use 127.0.0.1 or enterprise."
            yield draft.problem(key, message)
    if draft.is_given("data.trusted_proxies") and draft.get("data.trusted_proxies"):
        message = "Development mode believes no proxy. Remove it, or use enterprise."
        yield draft.problem("data.trusted_proxies", message)


def _oso_cloud(draft: Draft) -> Iterator[Problem]:
    if not draft.are_right("pdp.kind"):
        return
    is_remote = draft.get("pdp.kind") == "oso_cloud"
    for key in ("pdp.url", "pdp.api_key"):
        if is_remote and not draft.is_given(key):
            yield draft.problem(key, f"The kind `oso_cloud` needs {key}.", cause="pdp.kind")
        elif not is_remote and draft.is_given(key):
            yield draft.problem(
                key, "It belongs to the kind `oso_cloud`. Set pdp.kind, or remove it."
            )
    url = draft.get("pdp.url")
    if is_remote and isinstance(url, str) and not is_safe(url):
        yield draft.problem("pdp.url", "Use https; plain http is for loopback hosts only.")


def is_safe(url: str) -> bool:
    """Tell whether what is sent to *url* can be read by nobody on its way."""
    parts = urlsplit(url)
    return parts.scheme == "https" or is_loopback(parts.hostname or "")


def _periods(draft: Draft) -> Iterator[Problem]:
    for short, long in (
        ("limits.keep_alive_seconds", "limits.stream_idle_seconds"),
        ("limits.connect_seconds", "limits.call_seconds"),
    ):
        if draft.are_right(short, long) and draft.get(short) >= draft.get(long):
            at = short if draft.is_given(short) else long
            yield draft.problem(at, f"{short} has to be less than {long}.")


def _look_alikes(draft: Draft) -> Iterator[Problem]:
    seen: dict[str, str] = {}
    for name in draft.upstreams:
        other = seen.setdefault(folded(name), name)
        if other != name:
            message = f"Too like `{other}`: names differ in more than case, `-` and `_`."
            yield Problem(f"upstreams.{name}", message, draft.upstreams[name])


def _child_variables(draft: Draft) -> Iterator[Problem]:
    for path, where in draft.places.items():
        if path[0] == "upstreams" and path[2] == "env" and not _VARIABLE.fullmatch(path[3]):
            message = "A variable's name has no `=` and no control characters, and is not empty."
            yield Problem(dotted(path), message, where)


def _headers(draft: Draft) -> Iterator[Problem]:
    for name in draft.upstreams:
        around = ("upstreams", name, "headers")
        paths = [path for path in draft.places if path[:-1] == around]
        for path in paths:
            problem = header_problem(path[-1])
            if problem is not None:
                yield Problem(dotted(path), problem, draft.places[path])
        together = names_problem(path[-1] for path in paths)
        if together is not None:
            yield draft.problem("headers", together, upstream=name)


_VARIABLE: Final = re.compile(r"[^=\x00-\x1f\x7f]+")
_WEB: Final = ("url", "auth.bearer", "headers")
_PROCESS: Final = ("command", "args", "env")


def _upstream(draft: Draft, name: str) -> Iterator[Problem]:
    if not draft.are_right("transport", upstream=name):
        return
    transport = draft.get("transport", upstream=name)
    is_process = transport == "stdio"
    needed = "command" if is_process else "url"
    if not draft.is_given(needed, name):
        message = f"The transport `{transport}` needs {needed}."
        yield draft.problem(needed, message, upstream=name, cause="transport")
    for key in _WEB if is_process else _PROCESS:
        if draft.is_given(key, name):
            others = "`http` and `sse`" if is_process else "`stdio`"
            message = f"It belongs to {others}. Set transport, or remove it."
            yield draft.problem(key, message, upstream=name)


_CHECKS: Final[tuple[Callable[[Draft], Iterator[Problem]], ...]] = (
    _development,
    _oso_cloud,
    _periods,
    _look_alikes,
    _child_variables,
    _headers,
)
