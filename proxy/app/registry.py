"""The servers that calls go to: those of the settings, and those that administrators registered."""

from __future__ import annotations

from contextlib import AsyncExitStack
from functools import partial

from proxy.admin.amending import Amendments
from proxy.admin.enforcement import Enforcement
from proxy.admin.items import Items
from proxy.admin.plane import Resource
from proxy.admin.servers import ServersAdmin
from proxy.admin.sight import Sight
from proxy.admin.toggles import Toggles
from proxy.app.parts import CLOCKS, Parts, State, Telling
from proxy.catalogues import Catalogues
from proxy.config import Settings
from proxy.config.tree import Upstream as UpstreamSettings
from proxy.judgement import Judge
from proxy.registering import Registry, Reports
from proxy.servers import Credential, Entry, Servers
from proxy.starting import Ready
from proxy.telemetry.events import Events
from proxy.upstream.addresses import Upstream
from proxy.upstream.http import Pool
from proxy.upstream.limits import Limits
from proxy.upstream.offers import Offers
from proxy.upstream.presented import Presented
from proxy.upstream.proof import prove
from proxy.upstream.server import Server
from proxy.upstream.terms import Terms
from storage.registrations import RegistrationLedger


def configured(servers: Servers, settings: Settings, ready: Ready) -> None:
    """Let calls go to the servers of the settings."""
    for name, upstream in ready.upstreams.items():
        terms = _terms(settings.upstreams[name])
        pool = _pool(settings, upstream)
        entry = Entry(terms.profile, "settings")
        servers.add(Server(name, pool, terms.presented.lines), entry)


async def registry_of(
    stack: AsyncExitStack,
    settings: Settings,
    ready: Ready,
    state: State,
    telling: Telling,
    servers: Servers,
    catalogues: Catalogues,
) -> Registry:
    """Return what changes *servers*, having let calls go to those that are registered.

    Raises `StateError`.
    """
    verbatim = frozenset(settings.catalogue.verbatim_names)

    async def proven(pool: Pool, credential: Credential, name: str) -> Offers:
        return await prove(
            pool, credential, name, deadline=settings.limits.call_seconds, verbatim=verbatim
        )

    registry = Registry(
        servers,
        catalogues,
        RegistrationLedger(state.database, CLOCKS.now),
        ready.master,
        partial(_pool, settings),
        proven,
        Reports(telling.reporting.catalogue_failed, partial(_overruled, telling.events)),
    )
    stack.push_async_callback(registry.close)
    await registry.recall()
    return registry


def server_resources(parts: Parts, registry: Registry) -> tuple[Resource, ...]:
    """Return the routes about servers and what they offer."""
    standing, audit, point = parts.state.standing, parts.enforcing.audit, parts.enforcing.point
    amendments, entries = Amendments(standing, audit), registry.servers.entries
    toggles = Toggles(amendments, parts.catalogues, entries)
    enforcement = Enforcement(amendments, entries, CLOCKS.now)
    judge = Judge(point, parts.catalogues.refresh_soon)
    sight = Sight(point, judge, standing, registry.servers, CLOCKS)
    return (
        ServersAdmin(registry, parts.catalogues, toggles, enforcement, sight, audit, CLOCKS),
        Items(parts.catalogues, toggles, sight),
        toggles,
        enforcement,
    )


def _pool(settings: Settings, upstream: Upstream) -> Pool:
    limits = settings.limits
    return Pool(
        upstream,
        limits=Limits(connect=limits.connect_seconds, stream_idle=limits.stream_idle_seconds),
    )


def _terms(settings: UpstreamSettings) -> Terms:
    return Terms(
        url=settings.url or "",
        network=settings.network,
        session_mode=settings.session_mode,
        description=settings.description or "",
        presented=Presented(settings.auth.bearer, settings.headers),
    )


def _overruled(events: Events, name: str) -> None:
    problem = "A server is registered under this name too; calls go to the one of the settings."
    events.settings_warning(setting=f"upstreams.{name}", problem=problem)
