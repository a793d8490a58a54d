"""What is shown: a list that the policy filters, and calls with the decisions about them.

Each step says beforehand what is to come of it, and is held against that.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from mcp import Client

from policies.grounds import Grounds
from policies.model import Reason, Verdict
from proxy.cli.quickstart.agent import TROUBLE, Told, call, connected, first_of, tool_names
from proxy.cli.quickstart.evidence import Evidence, RecordReader, evidence

STEP_SECONDS: Final = 30.0

_DENIED: Final = 40301
_UNKNOWN: Final = -32602


@dataclass(frozen=True, slots=True)
class Expected:
    """What has to come of a call: the decision, and the code of the error or None for a result.

    `condition` is the predicate of what a denial has to name as lacking.
    """

    verdict: Verdict
    reason: Reason
    code: int | None = None
    condition: str = ""


@dataclass(frozen=True, slots=True)
class Call:
    title: str
    tool: str
    arguments: Mapping[str, str]
    expected: Expected


@dataclass(frozen=True, slots=True)
class Lists:
    """Which tools the server has, which the agent is told of, and the decision about the list."""

    offered: tuple[str, ...]
    seen: tuple[str, ...]
    evidence: Evidence | None
    problems: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a call. `problems` are the ways in which it was not as expected."""

    call: Call
    told: Told
    evidence: Evidence | None
    problems: tuple[str, ...]


_ALLOWED: Final = Expected(Verdict.ALLOW, Reason.GRANTED)

CALLS: Final = (
    Call("A call that is allowed", "add_note", {"text": "Northgate was here"}, _ALLOWED),
    Call(
        "A call that is denied: this tool is not granted",
        "delete_all_notes",
        {},
        Expected(Verdict.DENY, Reason.NOT_VISIBLE, _UNKNOWN, "has_role"),
    ),
    Call(
        "A call that is denied because of an argument",
        "fetch_page",
        {"url": "https://intranet.example.net/salaries"},
        Expected(Verdict.DENY, Reason.NO_RULE, _DENIED, "argument_host"),
    ),
    Call(
        "The same with an argument that is allowed",
        "fetch_page",
        {"url": "https://docs.example.com/index.html"},
        _ALLOWED,
    ),
)

HIDDEN: Final = "delete_all_notes"


class Story:
    """Plays the steps, and keeps what came of them: first the `lists`, then the `outcomes`.

    *grounds* returns what the gateway decides on just now. `problem` is why the agent came no
    further; empty if it came to the end.
    """

    def __init__(self, records: RecordReader, grounds: Callable[[], Grounds]) -> None:
        self.lists: Lists | None = None
        self.outcomes: list[Outcome] = []
        self.problem = ""
        self._records = records
        self._grounds = grounds

    @property
    def is_as_told(self) -> bool:
        parts = [part for part in (self.lists, *self.outcomes) if part is not None]
        return not self.problem and not any(part.problems for part in parts)

    @property
    def denied(self) -> str:
        """The id of the last denial, empty if there is none."""
        found = [one.evidence for one in self.outcomes if one.evidence is not None]
        return next((one.record.id for one in reversed(found) if one.verdict == Verdict.DENY), "")

    async def play(self, direct_url: str, url: str, token: str) -> None:
        """Play all steps, on the server at *direct_url* and on the gateway at *url*."""
        try:
            async with connected(direct_url) as direct, connected(url, token) as guarded:
                await self._list(direct, guarded)
                for step in CALLS:
                    await self._call(step, guarded)
        except* TROUBLE as troubles:
            self.problem = f"the agent was told: {first_of(troubles)}"

    async def _list(self, direct: Client, guarded: Client) -> None:
        async with asyncio.timeout(STEP_SECONDS):
            offered = await tool_names(direct)
            seen = await tool_names(guarded)
            found = await self._evidence("tools/list")
        problems = list(_unlike(found, _ALLOWED))
        if set(offered) - set(seen) != {HIDDEN} or not set(seen) <= set(offered):
            problems.append(f"the agent was to see all tools but {HIDDEN}")
        self.lists = Lists(tuple(offered), tuple(seen), found, tuple(problems))

    async def _call(self, step: Call, guarded: Client) -> None:
        async with asyncio.timeout(STEP_SECONDS):
            told = await call(guarded, step.tool, step.arguments)
            found = await self._evidence("tools/call")
        problems = list(_unlike(found, step.expected))
        if told.code != step.expected.code:
            problems.append(f"the answer was to have {_code(step.expected.code)}")
        if found and told.decision_id not in (None, found.record.id):
            problems.append("the answer was to name the record")
        self.outcomes.append(Outcome(step, told, found, tuple(problems)))

    async def _evidence(self, method: str) -> Evidence | None:
        """Return the one decision about *method* since the last, None if there is not just one."""
        records = await asyncio.to_thread(self._records.decisions, method)
        if len(records) != 1:
            return None
        return await asyncio.to_thread(evidence, records[0], self._grounds())


def _unlike(found: Evidence | None, expected: Expected) -> Iterator[str]:
    if found is None:
        yield "there was to be one record of the call"
        return
    if (found.verdict, found.reason) != (expected.verdict, expected.reason):
        yield f"the decision was to be {expected.verdict}, {expected.reason}"
    if expected.verdict is Verdict.ALLOW and not found.rules:
        yield "the record was to name rules"
    lacked = {failure.claim.predicate for failure, _ in found.lacked}
    if expected.condition and expected.condition not in lacked:
        yield f"what it lacks was to be {expected.condition}"


def _code(code: int | None) -> str:
    return "no error" if code is None else f"the error {code}"
