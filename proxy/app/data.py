"""The data plane: the way of a call, put together."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from contextlib import AsyncExitStack, suppress
from dataclasses import replace
from functools import partial
from typing import Any, Final

from proxy.app.parts import CLOCKS, Parts
from proxy.asking import Asking
from proxy.call import Call
from proxy.config import Settings
from proxy.exchange import Exchange
from proxy.forward import Forwarding
from proxy.identity.endpoints import Endpoints
from proxy.identity.handles import Handles
from proxy.identity.planes import TokenPlane
from proxy.identity.principal import ActorType, Principal
from proxy.identity.sealing import Secret
from proxy.judgement import Judge
from proxy.listening import Subscribing
from proxy.news import News
from proxy.oauth.server import AuthorizationServer
from proxy.opening import Opening
from proxy.outbound import Outbound
from proxy.outlets import Outlets
from proxy.pipeline import Pipeline
from proxy.recording import Recording
from proxy.relay import Relay, Reports
from proxy.results import Results
from proxy.resuming import Resuming
from proxy.rounds import Rounds
from proxy.server import DataPlane
from proxy.standing import Standing
from proxy.tasks import Tasks
from proxy.views import Views
from proxy.wire.jsonrpc import Response
from storage.errors import StateError
from storage.tasks import TaskLedger

FORGETTING_SECONDS: Final = 600.0
"""Between two looks for tasks that have ended."""


def data_plane(
    stack: AsyncExitStack,
    parts: Parts,
    tokens: TokenPlane,
    oauth: AuthorizationServer,
    key: Secret,
) -> tuple[DataPlane, Pipeline, Outlets]:
    """Return what serves agents, the way of their calls, and its open streams.

    *key* seals what clients come back with.
    """
    settings, state, enforcing = parts.settings, parts.state, parts.enforcing
    judge = Judge(enforcing.point, parts.catalogues.refresh_soon)
    recording = Recording(
        enforcing.audit, parts.telling.observer, CLOCKS.monotonic, parts.shadows.decided
    )
    asking, handles, outlets = Asking(judge, recording), Handles(key), Outlets(CLOCKS.now)
    opening = Opening(handles)
    verbatim = frozenset(settings.catalogue.verbatim_names)
    exchange = _exchange(stack, parts, asking, handles, outlets)
    pipeline = Pipeline(
        parts.servers,
        state.standing,
        parts.catalogues,
        judge,
        recording,
        opening,
        Outbound(judge, asking),
        Subscribing(judge, recording, opening, verbatim),
        Resuming(opening, judge),
        exchange,
        enforcing.admissions,
        CLOCKS,
        parts.telling.traces,
        settings.limits.body_bytes,
        verbatim,
        settings.support_contact,
    )
    endpoints = Endpoints(
        settings.public_url,
        tokens.verifier,
        state.access.known,
        gateway_wide=settings.tokens.gateway_wide,
    )
    state.access.known.on_end = outlets.end
    nobody = _nobody(settings) if settings.mode == "development" else None
    observer = parts.telling.observer
    plane = DataPlane(pipeline, endpoints, tokens.jwks, observer, oauth=oauth, nobody=nobody)
    return plane, pipeline, outlets


def _exchange(
    stack: AsyncExitStack, parts: Parts, asking: Asking, handles: Handles, outlets: Outlets
) -> Exchange:
    """Return the way there and back; what it does beside calls ends with *stack*."""
    state, catalogues = parts.state, parts.catalogues
    renewed = partial(_renewed, state.standing)
    views = Views(asking.judge, renewed)
    tasks, rounds = Tasks(handles, state.tasks, CLOCKS.now), Rounds(asking, handles)
    verbatim = frozenset(parts.settings.catalogue.verbatim_names)

    def refuse(call: Call, response: Response) -> None:
        exchange.refuse(call, response)

    relay = Relay(
        Results(asking.judge, verbatim, catalogues.recognised, handles, rounds, tasks),
        News(asking.judge, tasks, rounds, verbatim, catalogues.changed),
        asking,
        renewed,
        Reports(parts.telling.observer.dropped, refuse),
    )
    exchange = Exchange(
        asking.recording,
        Forwarding(parts.settings.limits.call_seconds),
        relay,
        parts.enforcing.admissions,
        outlets,
        views,
        handles,
    )
    stack.push_async_callback(exchange.close)
    state.standing.on_change = views.changed
    keep_up(stack, views.follow())
    keep_up(stack, _forgetting(state.tasks))
    return exchange


def _renewed(standing: Standing, call: Call) -> Call:
    """Return *call* as it would be judged now."""
    now = int(CLOCKS.now())
    if call.grounds is standing.grounds and call.now == now:
        return call
    return replace(call, grounds=standing.grounds, now=now)


def keep_up(stack: AsyncExitStack, work: Coroutine[Any, Any, None]) -> None:
    """Do *work* until the gateway ends."""
    task = asyncio.get_running_loop().create_task(work)

    async def end() -> None:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task

    stack.push_async_callback(end)


async def _forgetting(tasks: TaskLedger) -> None:
    while True:
        # What cannot be forgotten now can be later, and nobody waits for it.
        with suppress(StateError):
            await tasks.forget_ended()
        await asyncio.sleep(FORGETTING_SECONDS)


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
