"""A gateway from its first breath to its last."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from typing import Final

from policies.bundle import Bundle
from proxy.admin.issuing import Issuing
from proxy.app.data import data_plane
from proxy.app.keeping import keep_record, kept_policies
from proxy.app.oauth import authorization_server
from proxy.app.parts import (
    CLOCKS,
    Enforcing,
    Parts,
    State,
    Telling,
    catalogues_of,
    enforcing_of,
    first_start,
    issuing_of,
    observed_among,
    open_state,
    telling_of,
    token_planes,
)
from proxy.app.planes import control_plane, key_changes, listen, resources_of
from proxy.app.registry import configured, registry_of
from proxy.app.shadow import shadows_of
from proxy.catalogues import Catalogues
from proxy.config import Settings
from proxy.following import Following, Revoked
from proxy.identity.keyring import Keyring, Plane
from proxy.identity.planes import TokenPlane
from proxy.identity.sealing import DamagedError, MasterKeyError, Secret
from proxy.outlets import Outlets
from proxy.policyfiles import Follower
from proxy.registering import Registry
from proxy.servers import Servers
from proxy.standing import Standing
from proxy.starting import NotStartableError, Ready, prepare
from proxy.telemetry.events import Events
from proxy.workers.fellows import shared
from proxy.workers.worker import ALONE, Worker
from storage.errors import StateError
from storage.journal import JournalError
from storage.versions import WHATS
from storage.watching import watching

_GATEWAY: Final = {"type": "System", "id": "gateway"}
_WATCHER: Final = {"type": "System", "id": "watcher"}


@dataclass(frozen=True, slots=True)
class Gateway:
    """A gateway that answers.

    `data` and `control` are the addresses that its listeners have, `tokens` those of each plane.
    `secret` is the bootstrap secret of a first start, to be shown once; None at any other, and
    where another process has it.
    """

    settings: Settings
    data: tuple[str, int]
    control: tuple[str, int]
    standing: Standing
    issuing: Issuing
    tokens: Mapping[Plane, TokenPlane]
    secret: Secret | None


@asynccontextmanager
async def running(
    settings: Settings, environ: Mapping[str, str], events: Events, worker: Worker = ALONE
) -> AsyncIterator[Gateway]:
    """Run a gateway until the block ends; then calls at hand are given their time.

    *worker* is its place among those that share ports and data. Raises `NotStartableError` with
    every problem before anything listens.
    """
    ready = await asyncio.to_thread(prepare, settings, environ)
    async with AsyncExitStack() as stack:
        try:
            state = await open_state(stack, settings, ready, worker.number)
            await asyncio.to_thread(kept_policies(settings).keep, ready.bundle)
            identity = await token_planes(settings, ready, state)
            secret = await first_start(settings, state)
        except (StateError, JournalError, MasterKeyError, DamagedError, OSError) as error:
            raise NotStartableError([_sentence(error)]) from error
        servers = Servers(settings.limits.call_seconds)
        stack.callback(servers.close)
        telling = telling_of(stack, settings, state, servers, events)
        enforcing = enforcing_of(settings, ready, state, telling)
        await keep_record(stack, settings, ready, state, telling, enforcing, worker.number)
        configured(servers, settings, ready)
        catalogues = catalogues_of(stack, settings, state, telling)
        registry = await registry_of(stack, settings, ready, state, telling, servers, catalogues)
        await _refreshed(catalogues, servers)
        built = (settings, state, telling, enforcing, servers, catalogues)
        parts = Parts(*built, shadows_of(stack, settings, state, telling))
        issuing = issuing_of(state, telling, enforcing, identity)
        oauth, handles = authorization_server(parts, issuing), ready.master.key_for("handles")
        plane, pipeline, outlets = data_plane(stack, parts, identity[0], oauth, handles)
        await _follow_others(stack, parts, registry, identity, outlets)
        ending = asyncio.Event()
        exposition = await stack.enter_async_context(
            shared(worker, telling.metrics.exposition, telling.metrics.workers_left_out)
        )
        resources = resources_of(parts, registry, key_changes(stack, parts, identity), pipeline)
        control = control_plane(parts, identity, issuing, resources, outlets, ending, exposition)
        await _started(settings, ready, telling, enforcing)
        _warn_of_observed(parts)
        listening = partial(listen, stack, settings, telling, worker)
        admin_address = await listening(settings.admin, settings.admin_url, control.serve)
        data_address = await listening(settings.data, settings.public_url, plane.serve)
        _follow_policy(stack, settings, ready, state, telling, enforcing)
        # First of all at the end: whoever sends calls here is told to send them elsewhere.
        stack.callback(ending.set)
        tokens = {one.plane: one for one in identity}
        yield Gateway(
            settings, data_address, admin_address, state.standing, issuing, tokens, secret
        )


async def _refreshed(catalogues: Catalogues, servers: Servers) -> None:
    """Know what was offered the last time, and ask again beside everything else."""
    await catalogues.recall(servers)
    for server in servers.values():
        catalogues.refresh_soon(server)


async def _follow_others(
    stack: AsyncExitStack,
    parts: Parts,
    registry: Registry,
    identity: tuple[TokenPlane, ...],
    outlets: Outlets,
) -> None:
    """Keep in step with other processes on the same state, from its very beginning."""
    state = parts.state
    revoked = Revoked(state.tokens, identity, outlets, CLOCKS.now)
    following = Following(
        {
            "secrets": partial(_reload, identity),
            "servers": registry.catch_up,
            "facts": state.standing.catch_up,
            "tokens": revoked.catch_up,
            "credentials": state.access.known.catch_up,
            "definitions": parts.catalogues.catch_up,
            "shadow": parts.shadows.catch_up,
        },
        CLOCKS.monotonic,
        parts.telling.reporting.fault("following other processes"),
    )
    for tokens in identity:
        tokens.on_change = partial(_end_streams, outlets)
    task = asyncio.get_running_loop().create_task(following.follow())
    stack.push_async_callback(partial(_ended, task))
    watch = await stack.enter_async_context(watching(state.database, following.changed))
    parts.telling.freshness.follow(lambda: watch.behind, lambda: following.behind)
    for what in WHATS:
        following.changed(what)  # it may have changed since it was read


async def _reload(identity: tuple[TokenPlane, ...]) -> None:
    # Where the keys of one plane cannot be opened, those of the other are followed all the same.
    await asyncio.gather(*(tokens.reload() for tokens in identity))


def _end_streams(outlets: Outlets, keyring: Keyring) -> None:
    outlets.end_signed_by(keyring.revoked)


async def _started(
    settings: Settings, ready: Ready, telling: Telling, enforcing: Enforcing
) -> None:
    bundle = ready.bundle
    telling.events.policy_loaded(
        policy=bundle.version,
        files=len(bundle.sources),
        rules=len(bundle.program.rules),
        seconds=ready.seconds,
    )
    after = {
        "version": version("northgate"),
        "mode": settings.mode,
        "policy": ready.bundle.version,
        "servers": sorted(ready.upstreams),
    }
    await enforcing.audit.changed(_GATEWAY, "started", after=after)


def _warn_of_observed(parts: Parts) -> None:
    names = observed_among(parts.servers, parts.state.standing)
    if names:
        parts.telling.events.servers_observed(servers=names)


def _follow_policy(
    stack: AsyncExitStack,
    settings: Settings,
    ready: Ready,
    state: State,
    telling: Telling,
    enforcing: Enforcing,
) -> None:
    standing, reporting = state.standing, telling.reporting

    async def adopt(bundle: Bundle) -> None:
        before = standing.grounds.bundle.version
        # Records will cite it, so it is there before the first does.
        await asyncio.to_thread(kept_policies(settings).keep, bundle)
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
