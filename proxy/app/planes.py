"""The two planes and their listeners."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import AsyncExitStack
from typing import Final

from proxy.admin.issuing import Issuing
from proxy.admin.plane import ControlPlane
from proxy.app.parts import CLOCKS, Enforcing, State, Telling
from proxy.catalogues import Catalogues
from proxy.config import Settings
from proxy.config.tree import AdminListener, DataListener
from proxy.exchange import Exchange
from proxy.forward import Forwarding
from proxy.identity.bootstrap import Bootstrap
from proxy.identity.endpoints import Endpoints
from proxy.identity.keyring import Plane
from proxy.identity.planes import TokenPlane
from proxy.identity.principal import ActorType, Principal
from proxy.judgement import Judge
from proxy.listener.limits import Limits as ListenerLimits
from proxy.listener.listener import Handler, Listener
from proxy.listener.names import Names
from proxy.pipeline import Pipeline
from proxy.relay import Relay
from proxy.results import Results
from proxy.server import DataPlane
from proxy.starting import Ready
from proxy.upstream.server import Server

_SPARE: Final = 256
_SPARE_FOR_HEALTH: Final = 200
"""Descriptors left for everything else; probes are still admitted where calls no longer are."""


def data_plane(
    settings: Settings,
    state: State,
    telling: Telling,
    enforcing: Enforcing,
    servers: Mapping[str, Server],
    catalogues: Catalogues,
    tokens: TokenPlane,
) -> DataPlane:
    verbatim = frozenset(settings.catalogue.verbatim_names)
    observer = telling.observer
    exchange = Exchange(
        enforcing.audit,
        Forwarding(settings.limits.call_seconds),
        Relay(Results(enforcing.point, verbatim, catalogues.recognised), observer.dropped),
        enforcing.admissions,
        observer,
        CLOCKS.monotonic,
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
        CLOCKS,
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


def control_plane(
    settings: Settings,
    ready: Ready,
    state: State,
    telling: Telling,
    enforcing: Enforcing,
    identity: tuple[TokenPlane, TokenPlane],
    ending: asyncio.Event,
) -> ControlPlane:
    planes = {tokens.plane: tokens for tokens in identity}
    issuers = {plane: tokens.issuer for plane, tokens in planes.items()}

    def revoke(plane: Plane, token_id: str, expires_at: int) -> None:
        planes[plane].refuse([(token_id, expires_at)])

    def readiness() -> list[str]:
        health = state.journal.health
        reasons = [] if health.available else [f"decisions cannot be recorded: {health.code}"]
        return [*reasons, *(["the gateway is stopping"] if ending.is_set() else [])]

    return ControlPlane(
        enforcing.point,
        state.standing,
        enforcing.audit,
        planes[Plane.CONTROL].verifier,
        enforcing.admissions,
        telling.observer,
        Issuing(issuers, state.tokens, enforcing.audit, telling.events),
        state.tokens,
        revoke,
        Bootstrap(ready.place.bootstrap),
        settings.public_url,
        settings.admin_url,
        settings.tokens.longest_life_seconds,
        CLOCKS,
        telling.metrics.exposition if settings.telemetry.metrics else None,
        readiness,
        settings.tokens.gateway_wide,
    )


async def listen(
    stack: AsyncExitStack,
    settings: Settings,
    telling: Telling,
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
    )
    address = await listener.start(where.listen.host, where.listen.port)
    stack.push_async_callback(listener.stop, limits.shutdown_seconds)
    return address
