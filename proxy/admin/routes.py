"""Routes: what may be asked of the control plane, by whom, and with what."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Any, Final, Generic, TypeVar

from pydantic import BaseModel, ConfigDict

from proxy.admin.errors import ApiError, NothingHereError, WrongMethodError
from proxy.identity.principal import Principal
from proxy.identity.refusal import Reason, RefusedError
from proxy.listener.answers import Answer

_WITH_BODY: Final = frozenset({"POST", "PUT", "PATCH"})
_PLACE: Final = re.compile(r"\{([a-z_]+)\}")
SEGMENT: Final = "[A-Za-z0-9._-]{1,128}"
"""What an open segment holds."""


class Input(BaseModel):
    """What a route takes: closed, and typed strictly."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, strict=True, hide_input_in_errors=True, validate_default=True
    )


class Nothing(Input):
    """The input of a route that takes none."""


class Output(BaseModel):
    """What a route gives: closed, so that nothing is given that is not described."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Access(Enum):
    """Who may use a route that the policy is not asked about."""

    ANYBODY = auto()
    IDENTIFIED = auto()


@dataclass(slots=True)
class Visit:
    """One request on its way: by which route, who sent it, from where.

    `names` are the segments that the route left open. `started` is the monotonic second it
    arrived. `decisions` are the ids of the records that allowed what is being done.
    """

    route: str
    names: Mapping[str, str]
    address: str
    started: float
    identity: Principal | None = None
    decisions: list[str] = field(default_factory=list)

    @property
    def principal(self) -> Principal:
        """Who sent it. Raises `RefusedError` where nobody was asked to say so."""
        if self.identity is None:
            raise RefusedError(Reason.CREDENTIAL_ABSENT)
        return self.identity


Taken = TypeVar("Taken", bound=Input)


@dataclass(frozen=True, slots=True)
class Route(Generic[Taken]):
    """One thing that may be asked.

    `access` is who may use it, or the action on the gateway that the policy must allow. POST, PUT
    and PATCH bring their input as a JSON body, GET as parameters, DELETE as either, and one that is
    `mixed` as both. Validators of `takes` are given `context`.

    What follows is for who reads about the interface: `summary` in a few words, the `status` of
    what went well, what it `gives` and as which `media` type, what it gives `also` with what other
    statuses, how it `fails` besides what all routes of its kind do, and an `example` of its input.
    """

    method: str
    path: str
    access: Access | str
    takes: type[Taken]
    handler: Callable[[Visit, Taken], Awaitable[Answer]]
    context: object = None
    summary: str = ""
    status: int = 200
    gives: type[BaseModel] | None = None
    fails: tuple[type[ApiError], ...] = ()
    mixed: bool = False
    also: Mapping[int, type[BaseModel]] = field(default_factory=dict)
    example: Mapping[str, Any] | None = None
    media: str = "application/json"

    @property
    def name(self) -> str:
        """The route as records name it, whatever stands in its open segments."""
        return f"{self.method} {self.path}"

    @property
    def takes_body(self) -> bool:
        """Tell whether input can come as a body."""
        return self.method in _WITH_BODY or (self.method == "DELETE" and self.takes is not Nothing)

    @property
    def open_segments(self) -> list[str]:
        """The names of the segments that are left open, in their order."""
        return _PLACE.findall(self.path)


class Table:
    """All routes. Raises `ValueError` for two of the same method and path."""

    def __init__(self, routes: Iterable[Route[Any]]) -> None:
        self.routes = tuple(routes)
        self._by_path: dict[str, dict[str, Route[Any]]] = {}
        for route in self.routes:
            methods = self._by_path.setdefault(route.path, {})
            if route.method in methods:
                raise ValueError(f"{route.name} is there twice.")
            methods[route.method] = route
        self._patterns = {path: _pattern(path) for path in self._by_path}

    def find(self, method: str, path: str) -> tuple[Route[Any], dict[str, str]]:
        """Return the route of a request and what its open segments hold.

        One path may be that of several routes, where one has a word and another an open segment.
        Raises `NothingHereError` and `WrongMethodError`.
        """
        others: set[str] = set()
        for template, methods in self._by_path.items():
            found = self._patterns[template].fullmatch(path)
            if found is not None and method in methods:
                return methods[method], found.groupdict()
            others |= methods.keys() if found is not None else set()
        if others:
            raise WrongMethodError(((b"Allow", ", ".join(sorted(others)).encode()),))
        raise NothingHereError


def _pattern(path: str) -> re.Pattern[str]:
    pieces = _PLACE.split(path)
    # Fixed text and names of open segments take turns.
    return re.compile(
        "".join(
            f"(?P<{piece}>{SEGMENT})" if is_open else re.escape(piece)
            for piece, is_open in zip(pieces, (False, True) * len(pieces), strict=False)
        )
    )
