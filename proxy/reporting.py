"""Events about what happens beside the calls: catalogues, policies, faults."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from policies.bundle import Bundle, BundleError, FailedTestsError
from policies.polar.source import PolicyError
from policies.replay import Compared, Difference
from proxy.telemetry.events import Events
from proxy.telemetry.metrics import Metrics
from proxy.upstream.conversation import RefusedRequestError
from proxy.upstream.failures import UpstreamError
from proxy.upstream.offers import Offers, OffersError

_MOST_NAMED: Final = 20
_ALIKE: Final = frozenset({Difference.UNCHANGED, Difference.NOT_JUDGED})


class Reporting:
    """Tells of them. *policy* is the version in force, for events about another."""

    def __init__(self, events: Events, metrics: Metrics, policy: Callable[[], str]) -> None:
        self._events = events
        self._metrics = metrics
        self._policy = policy
        self._items: dict[str, int] = {}

    def catalogue_taken(self, server: str, offers: Offers, seconds: float) -> None:
        before = self._items.get(server, 0)
        self._items[server] = len(offers.items)
        self._events.catalogue_refreshed(
            server=server,
            items=len(offers.items),
            changed=abs(len(offers.items) - before),
            dropped=[f"{kind} {name}: {why}" for kind, name, why in offers.dropped[:_MOST_NAMED]],
            seconds=seconds,
        )

    def catalogue_failed(self, server: str, error: Exception) -> None:
        match error:
            case UpstreamError() | OffersError() | RefusedRequestError():
                code, detail = str(error.code), error.detail
            case _:
                code, detail = type(error).__name__, str(error)
        self._events.catalogue_failed(server=server, code=code, detail=detail)

    def policy_in_force(self, bundle: Bundle) -> None:
        self._metrics.policy_in_force(bundle.version, _rules(bundle))

    def policy_refused(self, error: Exception) -> None:
        self._metrics.policy_not_taken()
        self._events.policy_refused(in_force=self._policy(), problems=problems_of(error))

    def shadow_begun(self, candidate: Bundle, in_force: Bundle, by: str) -> None:
        self._metrics.shadow_begun(_rules(candidate), _rules(in_force))
        self._events.shadow_started(candidate=candidate.version, in_force=in_force.version, by=by)

    def shadow_compared(self, compared: Compared) -> None:
        self._metrics.shadow_compared()
        if compared.difference not in _ALIKE:
            self._metrics.shadow_diverged(compared.difference, compared.rules)

    def shadow_skipped(self) -> None:
        self._metrics.shadow_skipped()

    def shadow_ended(self, candidate: str) -> None:
        self._events.shadow_stopped(candidate=candidate)

    def shadow_refused(self, candidate: str, error: Exception) -> None:
        self._events.shadow_refused(candidate=candidate, problems=problems_of(error))

    def fault(self, where: str) -> Callable[[BaseException], None]:
        """Return what tells of a fault of ours in *where*."""

        def tell(error: BaseException) -> None:
            self._events.internal_error(where=where, error=error)

        return tell


def _rules(bundle: Bundle) -> set[str]:
    return {str(rule.span) for rule in bundle.program.rules}


def problems_of(error: Exception) -> list[str]:
    """Return what is wrong with a policy, a sentence each."""
    match error:
        case PolicyError():
            return [str(problem) for problem in error.problems]
        case BundleError() | FailedTestsError():
            return list(error.problems)
    return [f"{type(error).__name__}: {error}"]
