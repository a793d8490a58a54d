"""Where the record goes beside the journal, what of it is kept, and for how long."""

from __future__ import annotations

from contextlib import AsyncExitStack

from proxy.app.data import keep_up
from proxy.app.parts import CLOCKS, Enforcing, State, Telling
from proxy.app.sinks import sinks_of
from proxy.config import Settings
from proxy.datadir import node_name
from proxy.keptpolicies import DIRECTORY, KeptPolicies
from proxy.retention import Bounds, Kept, Reports, Retention
from proxy.shipping import Reports as ShippingReports
from proxy.shipping import Shipper, Source, ToDatabase, shipping
from proxy.sinks.sink import sending
from proxy.starting import Ready
from storage.journal import Chain
from storage.shipping.expiry import Copies, Expiry
from storage.shipping.ledger import ShippingLedger


async def keep_record(
    stack: AsyncExitStack,
    settings: Settings,
    ready: Ready,
    state: State,
    telling: Telling,
    enforcing: Enforcing,
    worker: int,
) -> None:
    """Copy the record to wherever it belongs, and keep it within its bounds, until *stack* ends."""
    chain = Chain(node_name(), worker)
    source = Source(ready.place.journal, chain, lambda: state.journal.link.seq)
    shipper = _shipper(source, state, telling)
    await stack.enter_async_context(shipping(shipper))
    sinks = await stack.enter_async_context(sending(sinks_of(settings, ready, source, telling)))
    retention = Retention(
        Kept(
            state.journal,
            chain,
            state.left,
            Expiry(state.database),
            kept_policies(settings),
            lambda: (state.standing.grounds.bundle.version,),
            enforcing.audit,
        ),
        Bounds(settings.record.keep_days, settings.record.journal_bytes),
        (shipper.needs, sinks.needs),
        _reports(telling),
        CLOCKS.monotonic,
        CLOCKS.now,
    )
    telling.room.follow(retention)
    keep_up(stack, retention.follow())


def _shipper(source: Source, state: State, telling: Telling) -> Shipper:
    """Return what copies *source* to the database."""
    shipper = Shipper(
        ToDatabase(ShippingLedger(state.database, CLOCKS.now), source.directory),
        source,
        ShippingReports(
            lambda code, detail: telling.events.shipping_failed(code=code, detail=detail),
            lambda seconds: telling.events.shipping_recovered(seconds=seconds),
            telling.reporting.fault("copying the record"),
        ),
        CLOCKS.monotonic,
        CLOCKS.now,
    )
    telling.backlog.follow(shipper)
    return shipper


def kept_policies(settings: Settings) -> KeptPolicies:
    return KeptPolicies(settings.data_dir / DIRECTORY)


def _reports(telling: Telling) -> Reports:
    events = telling.events

    def released(chain: Chain, segments: int, size: int, why: str) -> None:
        name = f"{chain.node}.{chain.worker}"
        events.record_released(chain=name, segments=segments, size=size, why=why)

    def expired(found: Copies, before: str) -> None:
        events.record_expired(**found._asdict(), before=before)

    return Reports(
        released,
        expired,
        lambda seconds: events.retention_held(seconds=seconds),
        lambda code, detail: events.retention_failed(code=code, detail=detail),
        telling.reporting.fault("keeping the record within its bounds"),
    )
