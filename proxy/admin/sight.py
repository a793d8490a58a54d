"""What of the servers a caller of the control plane may learn, as on the data plane."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from policies.grounds import Grounds
from policies.model import Entity, Verdict
from policies.pdp import DecisionPoint, UndecidedError
from proxy.admin.authority import GATEWAY
from proxy.admin.errors import ApiError
from proxy.admin.routes import Visit
from proxy.call import Call
from proxy.judgement import Judge
from proxy.pipeline import Clocks
from proxy.standing import Standing
from proxy.upstream.server import Server

MANAGE_SERVERS: Final = "manage_servers"


class UnjudgedError(ApiError):
    status = 503
    code = "unjudged"
    public = "What you may see could not be judged, so nothing is shown; try again shortly."


@dataclass(frozen=True, slots=True)
class Eyes:
    """What one caller sees, on the grounds of one moment. Whoever manages servers sees all."""

    manages: bool
    visit: Visit
    grounds: Grounds
    sight: Sight

    async def servers(self, names: Sequence[str]) -> list[str]:
        """Return those of *names* whose servers may be known. Raises `UnjudgedError`."""
        if self.manages:
            return list(names)
        return [name for name in names if await self._may_connect(name)]

    async def items(self, server: str, type_: str, entities: Sequence[Entity]) -> list[Entity]:
        """Return those of *entities*, of one type and server, that may be known, in their order.

        Raises `UnjudgedError`.
        """
        if self.manages:
            return list(entities)
        if not await self._may_connect(server):
            return []
        try:
            seen = await self.sight.judge.shown(self._call(server), type_, entities)
        except UndecidedError:
            raise UnjudgedError from None
        return [one for one in entities if one in seen]

    async def _may_connect(self, name: str) -> bool:
        judgement = await self.sight.judge.connect(self._call(name))
        if judgement.decision.verdict is Verdict.UNDECIDED:
            raise UnjudgedError
        return judgement.allowed

    def _call(self, name: str) -> Call:
        return self.sight.call(self.visit, name, self.grounds)


@dataclass(frozen=True, slots=True)
class Sight:
    """Asks the policy what callers may know of *servers*. Nothing is done, so nothing recorded."""

    point: DecisionPoint
    judge: Judge
    standing: Standing
    servers: Mapping[str, Server]
    clocks: Clocks

    async def of(self, visit: Visit) -> Eyes:
        """Return the eyes of whoever asks. Raises `UnjudgedError`."""
        grounds = self.standing.grounds
        question = self.call(visit, "", grounds).request(MANAGE_SERVERS, GATEWAY)
        decision = await self.point.decide(question, grounds)
        if decision.verdict is Verdict.UNDECIDED:
            raise UnjudgedError
        return Eyes(decision.allowed, visit, grounds, self)

    def call(self, visit: Visit, name: str, grounds: Grounds) -> Call:
        return Call(
            visit.principal,
            name,
            self.servers.get(name),
            grounds,
            visit.address,
            now=int(self.clocks.now()),
            started=visit.started,
        )
