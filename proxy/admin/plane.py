"""The way of every request to the control plane: identify, authorise, decode, handle, record."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import version
from typing import Any, Final, Protocol

from policies.pdp import DecisionPoint
from proxy.admin import errors
from proxy.admin.amending import Amendments
from proxy.admin.authority import Authority, Beside
from proxy.admin.clients import Clients
from proxy.admin.definitions import Definitions
from proxy.admin.errors import ApiError, NotRecordedError
from proxy.admin.fact_list import FactList
from proxy.admin.facts import Facts
from proxy.admin.grants import Grants
from proxy.admin.health import Health
from proxy.admin.holding import Holding
from proxy.admin.identities import Keeping
from proxy.admin.init import Init
from proxy.admin.inputs import read
from proxy.admin.issuing import Issuing
from proxy.admin.opaque import AccessTokens
from proxy.admin.openapi import OpenApi
from proxy.admin.resume_all import ResumeAll
from proxy.admin.revoking import Revoking
from proxy.admin.routes import Access, Route, Table, Visit
from proxy.admin.teams import Teams
from proxy.admin.tokens import Terms, Tokens
from proxy.admin.users import Users
from proxy.audit import Audit, UnrecordedError
from proxy.catalogues import Catalogues
from proxy.identity.bootstrap import Bootstrap
from proxy.identity.keyring import Plane
from proxy.identity.refusal import RefusedError
from proxy.identity.verify import Verifier
from proxy.limits import Admissions
from proxy.listener.answers import Answer
from proxy.listener.incoming import Incoming
from proxy.listener.refusals import BodyError
from proxy.observer import Observer
from proxy.pipeline import Clocks
from proxy.standing import Standing
from storage.errors import FactRefusedError, StateError, TextRefusedError
from storage.history import FactHistory
from storage.identities import IdentityLedger
from storage.tokens import TokenLedger

METHODS: Final = frozenset({"GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", "TRACE"})
"""What is answered here: the last three by saying what an address takes instead."""

FAILED: Final = "failed"
CANCELLED: Final = "cancelled"
"""How a request ended that got no answer: by a fault of ours, or because its sender left."""

_LEAST_ERROR: Final = 400


class Resource(Protocol):
    """Something that is administered, by routes of its own."""

    def routes(self) -> tuple[Route[Any], ...]: ...


@dataclass(frozen=True)
class ControlPlane:
    """Serves administrators, scrapers and probes on the control listener.

    `verifier` is the control plane's own, and knows no token of the data plane. `revoke` makes
    revocations effective in this process: plane, token ids, when the tokens end. `metrics` returns
    the text for scrapers and its content type, and None stands for no metrics; `readiness` returns
    the reasons why this gateway should get no calls. `longest_life` is in seconds. `resources` are
    served beside those that are built here.
    """

    point: DecisionPoint
    standing: Standing
    audit: Audit
    verifier: Verifier
    admissions: Admissions
    observer: Observer
    issuing: Issuing
    tokens: TokenLedger
    revoke: Callable[[Plane, Collection[tuple[str, int]]], None]
    bootstrap: Bootstrap
    public_url: str
    admin_url: str
    longest_life: int
    clocks: Clocks
    metrics: Callable[[], tuple[bytes, str]] | None
    readiness: Callable[[], list[str]]
    catalogues: Catalogues
    identities: IdentityLedger
    history: FactHistory
    access: AccessTokens
    gateway_wide: bool = True
    resources: tuple[Resource, ...] = ()
    beside: Beside = lambda *_: None

    async def serve(self, incoming: Incoming) -> Answer:
        """Answer one request."""
        answer = await _answered(self._serve(incoming))
        if incoming.method == "HEAD":
            return Answer(answer.status, b"", answer.headers)
        return answer

    @cached_property
    def table(self) -> Table:
        """Every route there is."""
        release = version("northgate")
        terms = Terms(
            self.public_url, self.admin_url, self.longest_life, gateway_wide=self.gateway_wide
        )
        resources: tuple[Resource, ...] = (
            Health(self.metrics, self.readiness, release),
            OpenApi(lambda: self.table.routes, self.admin_url, release),
            Init(
                self.bootstrap,
                self.issuing,
                terms,
                self.observer,
                self.clocks.monotonic,
                self.standing,
                self.audit,
            ),
            Tokens(self._authority, self.issuing, terms, self._revoking),
            Definitions(self.catalogues, self.audit),
            *self._kept(),
            *self.resources,
        )
        return Table(route for resource in resources for route in resource.routes())

    def _kept(self) -> tuple[Resource, ...]:
        amendments = Amendments(self.standing, self.audit)
        keeping = Keeping(self.identities, amendments, self._authority, self._revoking, self.access)
        return (
            Clients(keeping, self.catalogues),
            Users(keeping),
            Teams(keeping),
            Grants(amendments, self.history, self.clocks.now),
            Facts(amendments),
            FactList(amendments, self.history),
            Holding(self.standing, self.identities, self.history, self.catalogues, self.clocks.now),
            ResumeAll(amendments),
        )

    @property
    def _revoking(self) -> Revoking:
        return Revoking(self.issuing, self.revoke, self.access)

    @cached_property
    def _authority(self) -> Authority:
        return Authority(
            self.point,
            self.standing,
            self.audit,
            self.verifier,
            self.admissions,
            self.observer,
            self.clocks,
            self.admin_url,
            self.access.known,
            self.beside,
        )

    async def _serve(self, incoming: Incoming) -> Answer:
        route, names = self.table.find(incoming.method, incoming.path)
        visit = Visit(route.name, names, incoming.remote, self.clocks.monotonic())
        if route.access is Access.ANYBODY:
            return await _handled(route, visit, incoming)
        visit.identity = await self._authority.identify(incoming)
        action = None if isinstance(route.access, Access) else route.access
        await self._authority.admit(visit, action)
        if action is not None:
            await self._authority.require(visit, action)
        return await self._carried_out(route, visit, incoming)

    async def _carried_out(self, route: Route[Any], visit: Visit, incoming: Incoming) -> Answer:
        """Do what was allowed, and record for each decision behind it what became of it."""
        status: int | str = FAILED
        size = 0
        try:
            answer = await _answered(_handled(route, visit, incoming))
            status, size = answer.status, len(answer.body)
        except asyncio.CancelledError:
            status = CANCELLED
            raise
        finally:
            self._ended(visit, status, size)
        return answer

    def _ended(self, visit: Visit, status: int | str, size: int) -> None:
        seconds = self.clocks.monotonic() - visit.started
        is_error = isinstance(status, str) or status >= _LEAST_ERROR
        for decision_id in visit.decisions:
            self.audit.ended(decision_id, status, is_error=is_error, size=size, seconds=seconds)


async def _handled(route: Route[Any], visit: Visit, incoming: Incoming) -> Answer:
    return await route.handler(visit, await read(route, incoming))


async def _answered(work: Awaitable[Answer]) -> Answer:
    """Return what came of *work*, in words where nothing came of it."""
    try:
        return await work
    except ApiError as error:
        return error.answer()
    except RefusedError as refused:
        return errors.unidentified(refused)
    except BodyError as error:
        return errors.unreadable(error)
    except UnrecordedError:
        return NotRecordedError().answer()
    except (FactRefusedError, TextRefusedError) as error:
        return errors.unkept(error)
    except StateError as error:
        return errors.unavailable(error)
