"""The candidate policy beside the one in force, put together."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AsyncExitStack
from functools import partial

from policies import bundle
from policies.bundle import Bundle
from proxy.admin.shadow import ShadowAdmin
from proxy.app.data import keep_up
from proxy.app.parts import CLOCKS, Parts, State, Telling
from proxy.config import Settings
from proxy.promoting import Promoting
from proxy.shadow import Shadows, Tools
from storage.shadows import ShadowLedger


def shadows_of(
    stack: AsyncExitStack, settings: Settings, state: State, telling: Telling
) -> Shadows:
    """Return what compares with the candidate, until *stack* ends."""
    tools = Tools(
        ShadowLedger(state.database, CLOCKS.now),
        partial(_load, settings, tested=False),
        lambda: state.standing.grounds,
        telling.reporting,
        CLOCKS.monotonic,
        settings.pdp.deadline_ms / 1000,
    )
    shadows = Shadows(tools)
    keep_up(stack, shadows.run())
    return shadows


def shadow_admin(parts: Parts) -> ShadowAdmin:
    """Return the routes about it."""
    settings, standing = parts.settings, parts.state.standing
    promoting = Promoting(settings.policy.path, lambda: standing.grounds.bundle.version)
    load = partial(_load, settings, tested=True)
    return ShadowAdmin(
        parts.shadows, promoting, parts.enforcing.audit, load, lambda: standing.grounds
    )


def _load(settings: Settings, sources: Mapping[str, str], *, tested: bool) -> Bundle:
    return bundle.load(sources, portable=settings.policy.portable, tested=tested)
