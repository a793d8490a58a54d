"""One upstream server as calls meet it: how it is reached, and what it is known to offer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from policies.model import Entity
from proxy.upstream.http import Pool
from proxy.wire.methods import VERSIONS
from proxy.wire.parameters import Mirrored


@dataclass(frozen=True, slots=True)
class Catalogue:
    """What an upstream offers, as far as the way of a call has to know it.

    `tools` are the names of its tools, each with the arguments that have headers; `templates` are
    URI templates, and `resources` the URIs that it lists, which need not be all that it has.
    `versions` are the protocol versions that it speaks.
    """

    tools: Mapping[str, tuple[Mirrored, ...]] = field(default_factory=lambda: MappingProxyType({}))
    prompts: frozenset[str] = frozenset()
    templates: frozenset[str] = frozenset()
    resources: frozenset[str] = frozenset()
    versions: tuple[str, ...] = VERSIONS


class Server:
    """A registered upstream. `catalogue` is None until one was taken, now or in an earlier run.

    `pool` and `credential` may change together, between one request and the next.
    """

    __slots__ = ("catalogue", "credential", "entity", "name", "pool")

    def __init__(self, name: str, pool: Pool, credential: tuple[tuple[bytes, bytes], ...]) -> None:
        self.name = name
        self.entity = Entity("Server", name)
        self.pool = pool
        self.credential = credential
        self.catalogue: Catalogue | None = None

    def move(self, pool: Pool, credential: tuple[tuple[bytes, bytes], ...]) -> Pool:
        """Reach it by *pool* with *credential* from now on, and return the pool until now."""
        before, self.pool, self.credential = self.pool, pool, credential
        return before

    def offers(self, type_: str, subject: str) -> bool:
        """Tell whether a tool or prompt called *subject* is known, or a template written so.

        Of documents only templates are listed whole: a URI is judged by its id alone.
        """
        known = self.catalogue
        if known is None:
            return False
        if type_ == "Tool":
            return subject in known.tools
        return subject in (known.prompts if type_ == "Prompt" else known.templates)
