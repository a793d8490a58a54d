"""What a gateway is made of below its listeners, in the order in which it is built."""

from __future__ import annotations

import asyncio
import math
import random
import time
from collections.abc import Iterable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from typing import Final

from policies.embedded import EmbeddedPoint
from policies.enforcement import observed
from policies.model import Entity, Fact
from policies.pdp import DecisionPoint
from proxy.admin.init import FIRST_ADMIN
from proxy.admin.issuing import HOLDER, Issuing
from proxy.admin.opaque import AccessTokens
from proxy.audit import Audit, Redaction
from proxy.catalogues import Catalogues, Pace, Reports
from proxy.config import Settings
from proxy.datadir import node_name
from proxy.freshness import Freshness, FreshPoint
from proxy.identity.bootstrap import Bootstrap
from proxy.identity.checkpointing import checkpoint_signer
from proxy.identity.keyring import Plane
from proxy.identity.marking import Marks, marking_key
from proxy.identity.opaque import OpaqueTokens
from proxy.identity.planes import TokenPlane
from proxy.identity.sealing import Secret
from proxy.limits import Admissions
from proxy.listener.refusals import Refusal
from proxy.pipeline import Clocks
from proxy.reporting import Reporting
from proxy.retention import Room
from proxy.servers import Servers
from proxy.shadow import Shadows
from proxy.shipping import Backlog
from proxy.standing import Standing
from proxy.starting import Ready, claim
from proxy.telemetry.events import Events
from proxy.telemetry.labels import Labels
from proxy.telemetry.metrics import Metrics, Sources
from proxy.telemetry.observing import Observing
from proxy.telemetry.traces import Traces
from proxy.upstream.conversation import converse
from proxy.upstream.offers import Offers, take_offers
from proxy.upstream.server import Server
from storage.credentials import CredentialLedger
from storage.definitions import DefinitionLedger
from storage.engine import Database, open_database
from storage.facts import Change, FactLedger
from storage.history import FactHistory
from storage.identities import IdentityLedger
from storage.journal import Journal
from storage.journal import Limits as JournalLimits
from storage.journal.ages import DAY
from storage.journal.removal import LeftChains
from storage.opaque import OpaqueLedger
from storage.secrets import SecretLedger
from storage.tasks import TaskLedger
from storage.tokens import TokenLedger

CATALOGUE_SECONDS: Final = 20.0
"""For one walk through all that an upstream offers."""

SILENT_SECONDS: Final = 6 * 3600.0
"""After which a record that is to be dated says that nothing happened."""

CLOCKS: Final = Clocks(time.time, time.monotonic)
_DEVELOPMENT: Final = Fact("has_role_matching", (Entity("Client", "development"), "caller", "**"))


@dataclass(frozen=True, slots=True)
class State:
    """What outlives the process, and what is known of it in memory."""

    database: Database
    secrets: SecretLedger
    facts: FactLedger
    history: FactHistory
    identities: IdentityLedger
    definitions: DefinitionLedger
    tokens: TokenLedger
    credentials: CredentialLedger
    marks: Marks
    access: AccessTokens
    standing: Standing
    tasks: TaskLedger
    journal: Journal
    left: LeftChains
    bootstrap: Bootstrap


@dataclass(frozen=True, slots=True)
class Telling:
    """Who is told what happens."""

    events: Events
    metrics: Metrics
    traces: Traces
    observer: Observing
    reporting: Reporting
    freshness: Freshness
    backlog: Backlog
    sinks: Mapping[str, Backlog]
    room: Room


@dataclass(frozen=True, slots=True)
class Enforcing:
    """What judges and records on either plane."""

    point: DecisionPoint
    audit: Audit
    admissions: Admissions


@dataclass(frozen=True, slots=True)
class Parts:
    """What both planes are made of."""

    settings: Settings
    state: State
    telling: Telling
    enforcing: Enforcing
    servers: Servers
    catalogues: Catalogues
    shadows: Shadows


async def open_state(stack: AsyncExitStack, settings: Settings, ready: Ready, worker: int) -> State:
    database = await open_database(settings.database.url.reveal().decode())
    stack.push_async_callback(database.close)
    secrets = SecretLedger(database, CLOCKS.now)
    await claim(secrets, settings.mode)
    limits = _journal_limits(settings)
    signer = await checkpoint_signer(secrets, ready.master)
    journal = await Journal.open(
        ready.place.journal, node_name(), worker, limits=limits, signer=signer
    )
    await stack.enter_async_context(journal)
    facts = FactLedger(database, CLOCKS.now)
    marks = Marks(await marking_key(secrets, ready.master))
    return State(
        database,
        secrets,
        facts,
        FactHistory(database),
        IdentityLedger(database, CLOCKS.now),
        DefinitionLedger(database, CLOCKS.now),
        TokenLedger(database, CLOCKS.now),
        CredentialLedger(database, CLOCKS.now),
        marks,
        await _access(stack, settings, OpaqueLedger(database, CLOCKS.now), marks),
        await Standing.opened(ready.bundle, facts, settings.pdp.deadline_ms / 1000),
        TaskLedger(database, CLOCKS.now),
        journal,
        LeftChains(ready.place.journal, limits, time.time_ns, signer),
        Bootstrap(secrets, ready.master),
    )


def _journal_limits(settings: Settings) -> JournalLimits:
    record = settings.record
    # What is written cannot be removed, so it is to be a small part of the whole.
    return JournalLimits(
        total_bytes=record.journal_bytes,
        segment_bytes=min(record.journal_bytes // 64, JournalLimits().segment_bytes),
        segment_seconds=DAY if record.keep_days else math.inf,
        silence=SILENT_SECONDS if record.keep_days else math.inf,
        deadline=record.deadline_ms / 1000,
    )


async def _access(
    stack: AsyncExitStack, settings: Settings, ledger: OpaqueLedger, marks: Marks
) -> AccessTokens:
    addresses = {Plane.DATA: settings.public_url, Plane.CONTROL: settings.admin_url}
    known = OpaqueTokens(ledger, marks, addresses, HOLDER, CLOCKS.now)
    await known.catch_up()
    stack.callback(known.close)
    return AccessTokens(ledger, known, marks, CLOCKS.now, settings.tokens.gateway_wide)


async def token_planes(
    settings: Settings, ready: Ready, state: State
) -> tuple[TokenPlane, TokenPlane]:
    """Return the tokens of the data and of the control plane, which share nothing."""
    opened = partial(
        TokenPlane.opened,
        secrets=state.secrets,
        master=ready.master,
        clock=CLOCKS.now,
        longest_life=settings.tokens.longest_life_seconds,
    )
    planes = (
        await opened(Plane.DATA, settings.public_url),
        await opened(Plane.CONTROL, settings.admin_url),
    )
    for tokens in planes:
        revoked = await state.tokens.revoked(tokens.plane.value, CLOCKS.now())
        tokens.refuse((one.jti, one.expires_at) for one in revoked)
    return planes


async def first_start(settings: Settings, state: State) -> Secret | None:
    """Make the first admin, once, and return the secret that he begins with."""
    # Whoever took the role away later meant it, so it is given in an empty state alone.
    is_first = state.standing.grounds.facts.version == 0
    if settings.mode == "development":
        await state.standing.change(
            Change((_DEVELOPMENT,), (), "development", "System:gateway", "development mode")
        )
    # Of several processes that start at once, one has the secret.
    secret = await state.bootstrap.begin_first() if is_first else None
    if secret is None:
        return None
    await state.standing.change(
        Change((FIRST_ADMIN,), (), "bootstrap", "System:gateway", "the first admin")
    )
    return secret


def issuing_of(
    state: State, telling: Telling, enforcing: Enforcing, identity: Iterable[TokenPlane]
) -> Issuing:
    issuers = {tokens.plane: tokens.issuer for tokens in identity}
    return Issuing(issuers, state.tokens, enforcing.audit, telling.events)


def observed_among(servers: Servers, standing: Standing) -> list[str]:
    """Return the names of those of *servers* that are observed just now."""
    found = observed(standing.grounds.facts, CLOCKS.now())
    return sorted(name for name in found if name in servers)


def telling_of(
    stack: AsyncExitStack, settings: Settings, state: State, servers: Servers, events: Events
) -> Telling:
    labels = Labels(servers, frozenset(map(str, Refusal)))
    ours, endpoint = version("northgate"), settings.telemetry.otlp_endpoint
    traces = Traces(labels, version=ours, otlp_endpoint=endpoint)
    stack.push_async_callback(asyncio.to_thread, traces.close)
    freshness, backlog = Freshness(settings.state.max_staleness_seconds), Backlog()
    sinks = {name: Backlog() for name in settings.record.sinks}
    room = Room()
    sources = Sources(
        journal=lambda: state.journal.health,
        fact_version=lambda: state.standing.grounds.facts.version,
        staleness=lambda: freshness.age,
        dropped_spans=lambda: traces.dropped,
        behind=lambda: backlog.records,
        lag=lambda: backlog.seconds,
        observed=lambda: len(observed_among(servers, state.standing)),
        sinks=sinks,
        size=lambda: room.size,
        limit=lambda: settings.record.journal_bytes,
        oldest=lambda: room.oldest,
    )
    metrics = Metrics(labels, sources, time.time_ns, version=ours, otlp_endpoint=endpoint)
    stack.push_async_callback(asyncio.to_thread, metrics.close)
    observer = Observing(metrics, events, CLOCKS.monotonic)
    reporting = Reporting(events, metrics, lambda: state.standing.grounds.bundle.version)
    reporting.policy_in_force(state.standing.grounds.bundle)
    return Telling(events, metrics, traces, observer, reporting, freshness, backlog, sinks, room)


def enforcing_of(settings: Settings, ready: Ready, state: State, telling: Telling) -> Enforcing:
    key = ready.master.key_for("record").reveal()
    redaction = Redaction(key, settings.record.arguments)
    undecided = telling.observer.undecided
    freshness = telling.freshness
    return Enforcing(
        FreshPoint(EmbeddedPoint(undecided), freshness, undecided),
        Audit(state.journal, redaction, telling.observer.unrecorded),
        Admissions(
            calls_per_second=settings.limits.calls_per_second,
            streams=settings.limits.streams_per_principal,
            clock=CLOCKS.monotonic,
        ),
    )


def catalogues_of(
    stack: AsyncExitStack, settings: Settings, state: State, telling: Telling
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
        CLOCKS.monotonic,
        trust=settings.catalogue.trust,
        pace=Pace(
            settings.catalogue.refresh_seconds, settings.catalogue.interval_seconds, random.random
        ),
    )
    stack.push_async_callback(catalogues.close)
    return catalogues
