"""The composition root: everything is built and wired here, and nowhere else."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from types import MappingProxyType
from typing import Final

from policies.bundle import Bundle
from policies.embedded import EmbeddedPoint
from policies.model import Entity, Fact
from policies.pdp import DecisionPoint
from proxy.audit import Audit, Redaction
from proxy.catalogues import Catalogues, Reports
from proxy.config import Settings
from proxy.datadir import node_name
from proxy.exchange import Exchange
from proxy.forward import Forwarding
from proxy.identity.bootstrap import Bootstrap
from proxy.identity.endpoints import Endpoints
from proxy.identity.keyring import Plane
from proxy.identity.planes import TokenPlane
from proxy.identity.principal import ActorType, Principal
from proxy.identity.sealing import Secret
from proxy.judgement import Judge
from proxy.limits import Admissions
from proxy.listener.limits import Limits as ListenerLimits
from proxy.listener.listener import Handler, Listener
from proxy.listener.names import Names
from proxy.listener.refusals import Refusal
from proxy.pipeline import Clocks, Pipeline
from proxy.policyfiles import Follower
from proxy.relay import Relay
from proxy.reporting import Reporting
from proxy.results import Results
from proxy.server import DataPlane
from proxy.standing import Standing
from proxy.starting import NotStartableError, Ready, prepare
from proxy.telemetry.events import Events
from proxy.telemetry.labels import Labels
from proxy.telemetry.metrics import Metrics, Sources
from proxy.telemetry.observing import Observing
from proxy.telemetry.traces import Traces
from proxy.upstream.conversation import converse
from proxy.upstream.http import Pool
from proxy.upstream.limits import Limits as PoolLimits
from proxy.upstream.offers import Offers, take_offers
from proxy.upstream.server import Server
from storage.definitions import DefinitionLedger
from storage.engine import open_database
from storage.errors import StateError
from storage.facts import Change, FactLedger
from storage.journal import Journal, JournalError
from storage.journal import Limits as JournalLimits
from storage.tokens import TokenLedger

CATALOGUE_SECONDS: Final = 20.0
"""For one walk through all that an upstream offers."""

_CLOCKS: Final = Clocks(time.time, time.monotonic)
_GATEWAY: Final = {"type": "System", "id": "gateway"}
_WATCHER: Final = {"type": "System", "id": "watcher"}
_FIRST_ADMIN: Final = Fact("has_role", (Entity("User", "admin"), "admin"))
_DEVELOPMENT: Final = Fact("has_role_matching", (Entity("Client", "development"), "caller", "**"))


@dataclass(frozen=True, slots=True)
class Gateway:
    """A gateway that answers.

    `data` and `control` are the addresses that its listeners have. `secret` is the bootstrap
    secret of a first start, to be shown once; None at any other.
    """

    settings: Settings
    data: tuple[str, int]
    control: tuple[str, int]
    standing: Standing
    secret: Secret | None


@dataclass(frozen=True, slots=True)
class _State:
    """What outlives the process, and what is known of it in memory."""

    facts: FactLedger
    definitions: DefinitionLedger
    tokens: TokenLedger
    standing: Standing
    journal: Journal


@dataclass(frozen=True, slots=True)
class _Telling:
    """Who is told what happens."""

    events: Events
    metrics: Metrics
    traces: Traces
    observer: Observing
    reporting: Reporting


@dataclass(frozen=True, slots=True)
class _Enforcing:
    """What judges and records on either plane."""

    point: DecisionPoint
    audit: Audit
    admissions: Admissions


@asynccontextmanager
async def running(
    settings: Settings, environ: Mapping[str, str], events: Events
) -> AsyncIterator[Gateway]:
    """Run a gateway until the block ends; then calls at hand are given their time.

    Raises `NotStartableError` with every problem before anything listens.
    """
    ready = await asyncio.to_thread(prepare, settings, environ)
    async with AsyncExitStack() as stack:
        try:
            state = await _state(stack, settings, ready)
            identity = _identity(settings, ready)
            secret = await _first_start(settings, ready, state)
            for tokens in identity:
                revoked = await state.tokens.revoked(tokens.plane.value, _CLOCKS.now())
                tokens.refuse((one.jti, one.expires_at) for one in revoked)
        except (StateError, JournalError, OSError) as error:
            raise NotStartableError([_sentence(error)]) from error
        telling = _telling(stack, settings, state, events)
        enforcing = _enforcing(settings, ready, state, telling)
        servers = _servers(stack, settings, ready)
        catalogues = _catalogues(stack, settings, state, telling)
        await catalogues.recall(servers)
        for server in servers.values():
            catalogues.refresh_soon(server)
        plane = _data_plane(settings, state, telling, enforcing, servers, catalogues, identity[0])
        await _started(settings, ready, enforcing)
        data = await _listen(stack, settings, telling, plane.serve)
        _follow_policy(stack, settings, ready, state, telling, enforcing)
        yield Gateway(settings, data, data, state.standing, secret)


async def _state(stack: AsyncExitStack, settings: Settings, ready: Ready) -> _State:
    database = await open_database(settings.database.url.reveal().decode())
    stack.push_async_callback(database.close)
    limits = JournalLimits(
        total_bytes=settings.record.journal_bytes, deadline=settings.record.deadline_ms / 1000
    )
    journal = await Journal.open(ready.place.journal, node_name(), 0, limits=limits)
    await stack.enter_async_context(journal)
    facts = FactLedger(database, _CLOCKS.now)
    return _State(
        facts,
        DefinitionLedger(database, _CLOCKS.now),
        TokenLedger(database, _CLOCKS.now),
        await Standing.opened(ready.bundle, facts),
        journal,
    )


def _identity(settings: Settings, ready: Ready) -> tuple[TokenPlane, TokenPlane]:
    """Return the tokens of the data and of the control plane, which share nothing."""
    return tuple(  # type: ignore[return-value]
        TokenPlane(
            plane,
            url,
            ready.place.keyring(plane.value),
            ready.master,
            _CLOCKS.now,
            longest_life=settings.tokens.longest_life_seconds,
        )
        for plane, url in (
            (Plane.DATA, settings.public_url),
            (Plane.CONTROL, settings.admin_url),
        )
    )


async def _first_start(settings: Settings, ready: Ready, state: _State) -> Secret | None:
    """Make the first admin, once, and return the secret that he begins with."""
    bootstrap = Bootstrap(ready.place.bootstrap)
    if settings.mode == "development":
        await state.standing.change(
            Change((_DEVELOPMENT,), (), "development", "System:gateway", "development mode")
        )
    made = await state.standing.change(
        Change((_FIRST_ADMIN,), (), "bootstrap", "System:gateway", "the first admin")
    )
    return bootstrap.begin() if made.added else None


def _telling(stack: AsyncExitStack, settings: Settings, state: _State, events: Events) -> _Telling:
    labels = Labels(frozenset(settings.upstreams), frozenset(map(str, Refusal)))
    ours, endpoint = version("northgate"), settings.telemetry.otlp_endpoint
    traces = Traces(labels, version=ours, otlp_endpoint=endpoint)
    stack.push_async_callback(asyncio.to_thread, traces.close)
    sources = Sources(
        journal=lambda: state.journal.health,
        fact_version=lambda: state.standing.grounds.facts.version,
        dropped_spans=lambda: traces.dropped,
    )
    metrics = Metrics(labels, sources, time.time_ns, version=ours, otlp_endpoint=endpoint)
    stack.push_async_callback(asyncio.to_thread, metrics.close)
    observer = Observing(metrics, events, _CLOCKS.monotonic)
    reporting = Reporting(events, metrics, lambda: state.standing.grounds.bundle.version)
    reporting.policy_in_force(state.standing.grounds.bundle)
    return _Telling(events, metrics, traces, observer, reporting)


def _enforcing(settings: Settings, ready: Ready, state: _State, telling: _Telling) -> _Enforcing:
    key = ready.master.key_for("record").reveal()
    redaction = Redaction(key, settings.record.arguments)
    return _Enforcing(
        EmbeddedPoint(telling.observer.undecided),
        Audit(state.journal, redaction, telling.observer.unrecorded),
        Admissions(
            calls_per_second=settings.limits.calls_per_second,
            streams=settings.limits.streams_per_principal,
            clock=_CLOCKS.monotonic,
        ),
    )


def _servers(stack: AsyncExitStack, settings: Settings, ready: Ready) -> Mapping[str, Server]:
    limits = PoolLimits(
        connect=settings.limits.connect_seconds, stream_idle=settings.limits.stream_idle_seconds
    )
    servers = {}
    for name, upstream in ready.upstreams.items():
        pool = Pool(upstream, limits=limits)
        stack.callback(pool.close)
        bearer = settings.upstreams[name].auth.bearer
        credential = () if bearer is None else ((b"Authorization", b"Bearer " + bearer.reveal()),)
        servers[name] = Server(name, pool, credential)
    return MappingProxyType(servers)


def _catalogues(
    stack: AsyncExitStack, settings: Settings, state: _State, telling: _Telling
) -> Catalogues:
    verbatim = frozenset(settings.catalogue.verbatim_names)

    async def take(server: Server) -> Offers:
        async with converse(
            server.pool, server.credential, deadline=CATALOGUE_SECONDS
        ) as conversation:
            return await take_offers(conversation, server.name, verbatim=verbatim)

    catalogues = Catalogues(
        state.standing,
        state.definitions,
        take,
        Reports(telling.reporting.catalogue_taken, telling.reporting.catalogue_failed),
        _CLOCKS.monotonic,
        trust=settings.catalogue.trust,
        refresh_seconds=settings.catalogue.refresh_seconds,
    )
    stack.push_async_callback(catalogues.close)
    return catalogues


def _data_plane(
    settings: Settings,
    state: _State,
    telling: _Telling,
    enforcing: _Enforcing,
    servers: Mapping[str, Server],
    catalogues: Catalogues,
    tokens: TokenPlane,
) -> DataPlane:
    verbatim = frozenset(settings.catalogue.verbatim_names)
    observer = telling.observer
    exchange = Exchange(
        enforcing.audit,
        Forwarding(settings.limits.call_seconds),
        Relay(Results(enforcing.point, verbatim), observer.dropped),
        enforcing.admissions,
        observer,
        _CLOCKS.monotonic,
    )
    pipeline = Pipeline(
        servers,
        state.standing,
        catalogues,
        Judge(enforcing.point, catalogues.refresh_soon),
        enforcing.audit,
        exchange,
        enforcing.admissions,
        observer,
        _CLOCKS,
        telling.traces,
        settings.limits.body_bytes,
        verbatim,
        settings.support_contact,
    )
    endpoints = Endpoints(
        settings.public_url, tokens.verifier, gateway_wide=settings.tokens.gateway_wide
    )
    nobody = _nobody(settings) if settings.mode == "development" else None
    return DataPlane(pipeline, endpoints, tokens.jwks, observer, nobody=nobody)


def _nobody(settings: Settings) -> Principal:
    """Return who calls a gateway in development mode without a token."""
    return Principal(
        type=ActorType.CLIENT,
        id="development",
        issuer=settings.public_url,
        subject="client:development",
        client_id="development",
        token_id="none",  # noqa: S106  there is none
        expires_at=2**53,
        audience=settings.public_url,
    )


async def _listen(
    stack: AsyncExitStack, settings: Settings, telling: _Telling, handler: Handler
) -> tuple[str, int]:
    limits = settings.limits
    listener = Listener(
        handler,
        ListenerLimits(
            body_bytes=limits.body_bytes,
            header_bytes=limits.header_bytes,
            header_seconds=limits.header_seconds,
            body_seconds=limits.body_seconds,
            keep_alive_seconds=limits.keep_alive_seconds,
        ),
        Names(
            frozenset({settings.public_url.partition("://")[2], *settings.data.allowed_hosts}),
            frozenset({settings.public_url, *settings.data.allowed_origins}),
        ),
        lambda reason: telling.observer.refused(reason, ""),
        telling.reporting.fault("data listener"),
    )
    address = await listener.start(settings.data.listen.host, settings.data.listen.port)
    stack.push_async_callback(listener.stop, limits.shutdown_seconds)
    return address


async def _started(settings: Settings, ready: Ready, enforcing: _Enforcing) -> None:
    after = {
        "version": version("northgate"),
        "mode": settings.mode,
        "policy": ready.bundle.version,
        "servers": sorted(ready.upstreams),
    }
    await enforcing.audit.changed(_GATEWAY, "started", after=after)


def _follow_policy(
    stack: AsyncExitStack,
    settings: Settings,
    ready: Ready,
    state: _State,
    telling: _Telling,
    enforcing: _Enforcing,
) -> None:
    standing, reporting = state.standing, telling.reporting

    async def adopt(bundle: Bundle) -> None:
        before = standing.grounds.bundle.version
        await enforcing.audit.changed(_WATCHER, "policy", before=before, after=bundle.version)
        await standing.adopt(bundle)
        reporting.policy_in_force(bundle)
        telling.events.policy_changed(before=before, after=bundle.version, by="System:watcher")

    follower = Follower(
        ready.bundle, adopt, reporting.policy_refused, portable=settings.policy.portable
    )
    task = asyncio.get_running_loop().create_task(follower.follow(settings.policy.path))
    stack.push_async_callback(partial(_ended, task))


async def _ended(task: asyncio.Task[None]) -> None:
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


def _sentence(error: Exception) -> str:
    public = getattr(error, "public", "")
    return f"{public} ({error})" if public else f"{type(error).__name__}: {error}"
