"""The control plane, and the listeners of both."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Collection
from contextlib import AsyncExitStack
from typing import Final

from proxy.admin import errors
from proxy.admin.decisions import Decisions
from proxy.admin.invoking import Invoking
from proxy.admin.issuing import Issuing
from proxy.admin.keys import KeyChanges, Keys
from proxy.admin.plane import METHODS, ControlPlane, Resource
from proxy.admin.secrets import Secrets
from proxy.app.data import keep_up
from proxy.app.parts import CLOCKS, Parts, Telling
from proxy.app.registry import server_resources
from proxy.app.shadow import shadow_admin
from proxy.calling import Calling
from proxy.config import Settings
from proxy.config.tree import AdminListener, DataListener
from proxy.identity.keyring import Plane
from proxy.identity.planes import TokenPlane
from proxy.identity.schedule import DAY_SECONDS, Schedule
from proxy.listener.admission import METHODS as DATA_METHODS
from proxy.listener.limits import Limits as ListenerLimits
from proxy.listener.listener import Handler, Listener
from proxy.listener.names import Names
from proxy.listener.refusals import as_message
from proxy.outlets import Outlets
from proxy.pipeline import Pipeline
from proxy.registering import Registry
from proxy.workers.fellows import Exposition
from proxy.workers.worker import Worker
from storage.decisions import DecisionQueries

_SPARE: Final = 256
_SPARE_FOR_HEALTH: Final = 200
"""Descriptors left for everything else; probes are still admitted where calls no longer are."""


def control_plane(
    parts: Parts,
    identity: tuple[TokenPlane, TokenPlane],
    issuing: Issuing,
    resources: tuple[Resource, ...],
    outlets: Outlets,
    ending: asyncio.Event,
    exposition: Exposition,
) -> ControlPlane:
    """Return what serves admins. A token that is revoked ends its *outlets* at once."""
    settings, state, telling = parts.settings, parts.state, parts.telling
    enforcing, planes = parts.enforcing, {tokens.plane: tokens for tokens in identity}

    def revoke(plane: Plane, tokens: Collection[tuple[str, int]]) -> None:
        planes[plane].refuse(tokens)
        outlets.end(*(token_id for token_id, _ in tokens))

    def readiness() -> list[str]:
        health = state.journal.health
        reasons = [] if health.available else [f"decisions cannot be recorded: {health.code}"]
        if telling.freshness.is_over:
            reasons.append("the database is out of reach, and what is known of it is too old")
        return [*reasons, *(["the gateway is stopping"] if ending.is_set() else [])]

    return ControlPlane(
        enforcing.point,
        state.standing,
        enforcing.audit,
        planes[Plane.CONTROL].verifier,
        enforcing.admissions,
        telling.observer,
        issuing,
        state.tokens,
        revoke,
        state.bootstrap,
        settings.public_url,
        settings.admin_url,
        settings.tokens.longest_life_seconds,
        CLOCKS,
        exposition if settings.telemetry.metrics else None,
        readiness,
        parts.catalogues,
        state.identities,
        state.history,
        state.access,
        settings.tokens.gateway_wide,
        resources,
        parts.shadows.administered,
    )


def resources_of(
    parts: Parts, registry: Registry, changes: KeyChanges, pipeline: Pipeline
) -> tuple[Resource, ...]:
    """Return what is administered beside what the control plane builds itself."""
    state = parts.state
    return (
        Keys(changes),
        Decisions(DecisionQueries(state.database)),
        Secrets(state.credentials, state.marks, parts.enforcing.audit, CLOCKS.now),
        shadow_admin(parts),
        Invoking(Calling(pipeline, parts.settings.limits.call_seconds)),
        *server_resources(parts, registry),
    )


def key_changes(
    stack: AsyncExitStack, parts: Parts, identity: tuple[TokenPlane, TokenPlane]
) -> KeyChanges:
    """Return what changes keys, and follow the schedule until *stack* ends."""
    planes = {tokens.plane: tokens for tokens in identity}
    changes = KeyChanges(planes, parts.enforcing.audit, CLOCKS.now)
    schedule = Schedule(parts.settings.tokens.key_days * DAY_SECONDS)
    fault = parts.telling.reporting.fault("key schedule")
    keep_up(stack, changes.follow(schedule, fault, random.random))
    return changes


async def listen(
    stack: AsyncExitStack,
    settings: Settings,
    telling: Telling,
    worker: Worker,
    where: DataListener | AdminListener,
    url: str,
    handler: Handler,
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
            spare_descriptors=_SPARE if where is settings.data else _SPARE_FOR_HEALTH,
        ),
        Names(
            frozenset({url.partition("://")[2], *where.allowed_hosts}),
            frozenset({url, *where.allowed_origins}),
        ),
        lambda reason: telling.observer.refused(reason, ""),
        telling.reporting.fault(f"listener of {url}"),
        methods=DATA_METHODS if where is settings.data else METHODS,
        form=as_message if where is settings.data else errors.told,
    )
    address = await listener.start(
        where.listen.host, where.listen.port, reuse_port=not worker.is_alone
    )
    stack.push_async_callback(listener.stop, limits.shutdown_seconds)
    return address
