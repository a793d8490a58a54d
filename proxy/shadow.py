"""A candidate policy beside the one in force: it is asked what was decided, and decides nothing.

Calls hand over what was decided on them and go on. A task of its own compares, one decision after
another, and lets all else go first: what waits is bounded, and what finds no room is counted.
"""

from __future__ import annotations

import asyncio
import os
from collections import deque
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import orjson

from policies.bundle import Bundle
from policies.facts import FactSet
from policies.grounds import Grounds
from policies.model import AccessRequest, Decision, Entity, Fact
from policies.polar.runtime import Limits
from policies.replay import Compared, Difference
from policies.shadow import Asked, Candidate
from policies.supplied import Caller
from proxy.call import Call
from proxy.divergences import Divergences
from proxy.identity.principal import Principal
from proxy.judgement import Judgement
from proxy.reporting import Reporting
from storage.errors import StateError
from storage.shadows import Shadow, ShadowLedger

MOST_WAITING: Final = 1000
MOST_WAITING_BYTES: Final = 8 * 1024**2
"""Of arguments."""

QUESTION_SECONDS: Final = 0.02
"""For one question to the candidate, unless those in force get less: calls wait while it runs."""

_AT_EASE_SECONDS: Final = 0.001
_PAUSE: Final = 4
"""What takes longer than the seconds before is followed by a pause so many times as long."""

COUNT_SECONDS: Final = 2.0
"""Between two times that a process tells the others what it counted."""


class Waiting(NamedTuple):
    """A decision to be compared; its arguments as bytes, so that their size is known."""

    decision_id: str
    principal: Principal
    address: str
    server: str
    action: str
    resource: Entity
    arguments: bytes | None
    facts: tuple[Fact, ...]
    now: int
    decision: Decision
    stored: FactSet
    is_there: bool

    @property
    def size(self) -> int:
        return len(self.arguments or b"")

    def asked(self) -> Asked:
        principal = self.principal
        return Asked(
            Caller(principal.actor, principal.acts_for, principal.claims, self.address),
            self.server,
            self.action,
            self.resource,
            None if self.arguments is None else orjson.loads(self.arguments),
            self.facts,
            self.now,
            self.decision,
            self.stored,
            self.is_there,
        )


class Trial:
    """One candidate at work in this process."""

    def __init__(self, shadow: Shadow, candidate: Candidate, reporting: Reporting) -> None:
        self.shadow = shadow
        self.found = Divergences()
        self.is_due = asyncio.Event()
        self._candidate = candidate
        self._reporting = reporting
        self._waiting: deque[Waiting] = deque()
        self._bytes = 0

    def take(self, one: Waiting) -> None:
        """Let *one* wait for its turn, if there is room."""
        size = self._bytes + one.size
        if len(self._waiting) >= MOST_WAITING or size > MOST_WAITING_BYTES:
            self.skip()
            return
        self._bytes = size
        self._waiting.append(one)
        self.is_due.set()

    def skip(self) -> None:
        self.found.skipped += 1
        self._reporting.shadow_skipped()

    def compare_one(self) -> bool:
        """Compare what has waited longest. Tell whether there was anything."""
        if not self._waiting:
            self.is_due.clear()
            return False
        one = self._waiting.popleft()
        self._bytes -= one.size
        compared = self._compared(one)
        self.found.add(compared, one.decision_id)
        self._reporting.shadow_compared(compared)
        return True

    def _compared(self, one: Waiting) -> Compared:
        try:
            return self._candidate.compare(one.asked())
        # Whatever the candidate fails of, the calls have nothing to do with it.
        except Exception as error:  # noqa: BLE001
            lacking = f"an answer: {type(error).__name__}"
            actor, what = one.principal.actor, Difference.CANNOT_TELL
            return Compared(what, actor, one.action, one.resource, (), lacking)


@dataclass(frozen=True, slots=True)
class Tools:
    """What a shadow works with. *load* makes a bundle of files, without running its tests."""

    ledger: ShadowLedger
    load: Callable[[Mapping[str, str]], Bundle]
    in_force: Callable[[], Grounds]
    reporting: Reporting
    monotonic: Callable[[], float]
    seconds: float


class Shadows:
    """The candidate of all processes, as this one has it. Nothing here fails or delays a call."""

    def __init__(self, tools: Tools) -> None:
        self._tools = tools
        self._process = os.urandom(16).hex()
        self._trial: Trial | None = None
        self._wanted: Shadow | None = None
        self._changed = asyncio.Event()
        self._is_on = asyncio.Event()
        self._written: tuple[str, int] | None = None

    @property
    def ledger(self) -> ShadowLedger:
        return self._tools.ledger

    def is_trying(self, shadow: Shadow) -> bool:
        return self._trial is not None and self._trial.shadow.run == shadow.run

    # What calls do.

    def decided(self, decision_id: str, call: Call, judgement: Judgement) -> None:
        """Take note of what was decided on *call*."""
        trial = self._trial
        if trial is None:
            return
        question = judgement.question
        arguments = question.arguments
        try:
            waiting = Waiting(
                decision_id,
                call.principal,
                call.address,
                call.server_name,
                question.action,
                question.resource,
                None if arguments is None else orjson.dumps(arguments),
                question.facts,
                call.now,
                judgement.decision,
                call.grounds.facts,
                question.nameable and call.server is not None,
            )
        except TypeError:  # arguments that no JSON holds
            trial.skip()
            return
        trial.take(waiting)

    def administered(
        self,
        decision_id: str,
        principal: Principal,
        address: str,
        question: AccessRequest,
        decision: Decision,
        stored: FactSet,
    ) -> None:
        """Take note of what was decided on a request to the control plane."""
        if self._trial is None:
            return
        resource, now = question.resource, question.now
        about = (decision_id, principal, address, "", question.action, resource, None, (), now)
        self._trial.take(Waiting(*about, decision, stored, is_there=True))

    # What happens beside them.

    async def catch_up(self) -> None:
        """See which policy is tried now; it is loaded beside. Raises `StateError`."""
        self._wanted = await self.ledger.current()
        self._changed.set()

    def adopt(self, shadow: Shadow | None, bundle: Bundle | None) -> None:
        """Try *bundle*, which *shadow* is about, from now on; None for no longer."""
        before = self._trial
        self._wanted = shadow
        if shadow is None or bundle is None:
            self._trial = None
            self._is_on.clear()
        elif before is None or before.shadow.run != shadow.run:
            limits = Limits(seconds=min(QUESTION_SECONDS, self._tools.seconds))
            reporting = self._tools.reporting
            self._trial = Trial(shadow, Candidate(bundle, limits), reporting)
            self._is_on.set()
            reporting.shadow_begun(bundle, self._tools.in_force().bundle, shadow.by)
        if before is not None and before is not self._trial:
            before.is_due.set()
            self._tools.reporting.shadow_ended(before.shadow.version)
        self._changed.set()

    async def run(self) -> None:
        """Compare, and keep in step with other processes, until cancelled."""
        async with asyncio.TaskGroup() as group:
            for work in (self._following, self._comparing, self._counting):
                group.create_task(self._kept_up(work))

    async def _kept_up(self, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        tell = self._tools.reporting.fault("shadow")
        while True:
            try:
                await work()
            except StateError:
                pass  # an outage, which others tell of
            except Exception as error:  # noqa: BLE001  a fault here ends nothing else
                tell(error)
            await asyncio.sleep(COUNT_SECONDS)

    async def _following(self) -> None:
        while True:
            await self._changed.wait()
            self._changed.clear()
            wanted = self._wanted
            if wanted is None:
                self.adopt(None, None)
            elif self._trial is None or self._trial.shadow.run != wanted.run:
                await self._load(wanted)
            await asyncio.sleep(0)

    async def _load(self, wanted: Shadow) -> None:
        try:
            bundle = await asyncio.to_thread(self._tools.load, wanted.sources)
        except Exception as error:  # noqa: BLE001  whatever it is, this release cannot use it
            self._tools.reporting.shadow_refused(wanted.version, error)
            await self.ledger.end(wanted.run)
            return
        if self._wanted is wanted:
            self.adopt(wanted, bundle)

    async def _comparing(self) -> None:
        monotonic = self._tools.monotonic
        while True:
            trial = self._trial
            if trial is None:
                await self._is_on.wait()
                continue
            await trial.is_due.wait()
            while trial is self._trial:
                began = monotonic()
                if not trial.compare_one():
                    break
                took = monotonic() - began
                # A candidate that is slow leaves most of the time to the calls.
                await asyncio.sleep(_PAUSE * took if took > _AT_EASE_SECONDS else 0)

    async def _counting(self) -> None:
        try:
            while True:
                await asyncio.sleep(COUNT_SECONDS)
                await self.count()
        except asyncio.CancelledError:
            await self.count()  # nobody else will tell of the last of it
            raise

    async def count(self) -> None:
        """Tell the other processes what was counted here. Raises `StateError`."""
        trial = self._trial
        if trial is None:
            return
        run, state = trial.shadow.run, trial.found.compared + trial.found.skipped
        if self._written != (run, state):
            await self.ledger.count(run, self._process, trial.found.written())
            self._written = (run, state)

    async def found(self, shadow: Shadow) -> Divergences:
        """Return what all processes found by *shadow*. Raises `StateError`."""
        await self.count()
        whole = Divergences()
        for text in (await self.ledger.counts(shadow.run)).values():
            whole.include(text)
        return whole
