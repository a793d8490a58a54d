"""Replay: recorded decisions decided again under the policy we ship, new ones and repeated ones.

The traffic is of one version of the facts: callers who each use some servers, and call their tools
again and again. What was asked before is found again by its question; the rest asks the engine.
"""

from __future__ import annotations

import asyncio
import platform
import random
import shutil
import tempfile
from collections.abc import Iterable, Mapping
from importlib.resources import as_file, files
from pathlib import Path
from time import process_time
from typing import Any, Final

from bench.report import Aim, Report
from policies.bundle import Bundle, load, read_sources
from policies.comparing import Replay
from policies.demands import Demands
from policies.facts import FactSet
from policies.grounds import Grounds
from policies.model import Entity, Fact
from policies.recast import Recorder
from policies.recorded import recorded
from policies.replay import Bench, Difference, Judge
from storage.journal import Journal, Kind, read

SERVERS, TOOLS, CLIENTS, GRANTS = 15, 300, 200, 3
START: Final = 1_790_000_000
MOST_MS: Final = 0.02
"""For one decision that was asked for before: 50,000 a second on one core."""

AGAIN, NEW, WHOLE = "asked before", "asked for the first time", "read from a journal as well"

_AT_ONCE: Final = 128


class ChangedError(Exception):
    """The policy of then was found to change something."""


def run(quick: bool) -> Report:  # noqa: FBT001  the one option that every benchmark takes
    """Measure what one decision takes to be decided again."""
    count = 1_000 if quick else 200_000
    policy = _policy()
    payloads = _payloads(policy, _bench(policy), count)
    new = {(one["principal"]["id"], one["resource"]["id"]): one for one in payloads}
    report = Report("replay", _setting(count, len(new)))
    replay = _replay(_bench(policy))
    report.cost(NEW, _each(replay, new.values()))
    _each(replay, payloads)
    report.cost(AGAIN, _each(replay, payloads))
    directory = Path(tempfile.mkdtemp(prefix="northgate-replay-"))
    try:
        asyncio.run(_write(directory, payloads))
        records = (one.payload for one in read(directory) if one.kind is Kind.DECISION)
        report.cost(WHOLE, _each(replay, records, count))
    finally:
        shutil.rmtree(directory)
    report.aims += [
        Aim(f"a decision {what}", report.took(what), MOST_MS, "ms") for what in (AGAIN, WHOLE)
    ]
    return report


def _each(replay: Replay, payloads: Iterable[Mapping[str, Any]], count: int = 0) -> float:
    """Return the milliseconds of one comparison. Raise `ChangedError` for one that differs."""
    number, began = 0, process_time()
    for payload in payloads:
        number += 1
        if replay.compare(payload).difference is not Difference.UNCHANGED:
            raise ChangedError(payload)
    took = process_time() - began
    if count and number != count:
        raise ChangedError(f"{number} of {count} records")
    return took * 1000 / number


def _policy() -> Bundle:
    with as_file(files("policies") / "rules") as rules:
        return load(read_sources([rules]), tested=False)


def _bench(policy: Bundle) -> Bench:
    demands = Demands.of(policy.program)
    recorder = Recorder(lambda _: demands.named, lambda _: policy.program.words, reveals=True)
    judge = Judge(Grounds(policy, FactSet(), demands), recorder)
    return judge.over(judge.grounds.with_facts(FactSet.of("bench", _facts()).numbered(1)))


def _replay(bench: Bench) -> Replay:
    recorder = Recorder(lambda _: None, lambda _: None, reveals=True)
    judge = Judge(bench.grounds, recorder)
    return Replay(judge, lambda _: bench, lambda _policy, _version: bench, {})


def _facts() -> list[Fact]:
    chance = random.Random(1)
    servers = [Entity("Server", f"server{number}") for number in range(SERVERS)]
    tools = [_tool(number) for number in range(TOOLS)]
    clients = [Entity("Client", f"client{number}") for number in range(CLIENTS)]
    return [
        *(Fact("has_relation", (t, "server", servers[n % SERVERS])) for n, t in enumerate(tools)),
        *(Fact("definition_state", (tool, "approved")) for tool in tools),
        *(
            Fact("has_role", (client, "caller", server))
            for client in clients
            for server in chance.sample(servers, GRANTS)
        ),
        Fact("lease", (clients[0], "caller", servers[0], START + 10_000)),
    ]


def _tool(number: int) -> Entity:
    return Entity("Tool", f"server{number % SERVERS}__tool{number}")


def _payloads(policy: Bundle, bench: Bench, count: int) -> list[dict[str, Any]]:
    """Return what *count* calls would have left in the record, with the verdicts they had."""
    chance = random.Random(2)
    known: dict[tuple[int, int], str] = {}
    found = []
    for number in range(count):
        pair = chance.randrange(CLIENTS), chance.randrange(TOOLS)
        payload = _payload(policy, *pair, number)
        if pair not in known:
            known[pair] = bench.decide(recorded(payload)).verdict.value
        # What the callers may not even connect to is recorded so; here it is any denial.
        payload["verdict"] = known[pair]
        payload["reason"] = "granted" if known[pair] == "allow" else "no_rule"
        found.append(payload)
    return found


def _payload(policy: Bundle, client: int, tool: int, number: int) -> dict[str, Any]:
    who = {"type": "Client", "id": f"client{client}"}
    return {
        "principal": {
            **who,
            "issuer": "northgate",
            "client": who["id"],
            "token_id": f"0198f2c0-7a5e-7c3e-9d1b-{number:012x}",
            "acts_for": None,
        },
        "server": f"server{tool % SERVERS}",
        "method": "tools/call",
        "action": "call",
        "resource": {"type": "Tool", "id": _tool(tool).id},
        "facts": [["acts_alone", who]],
        "policy": policy.version,
        "fact_version": 1,
        "now": START + number // 100,
        "verdict": "deny",
        "reason": "no_rule",
        "rules": [],
        "args_digest": "cd" * 16,
    }


async def _write(directory: Path, payloads: list[dict[str, Any]]) -> None:
    async with await Journal.open(directory, "bench", 0) as journal:
        for start in range(0, len(payloads), _AT_ONCE):
            some = payloads[start : start + _AT_ONCE]
            await asyncio.gather(*(journal.append(Kind.DECISION, one) for one in some))


def _setting(count: int, questions: int) -> dict[str, Any]:
    return {
        "decisions": count,
        "clients": CLIENTS,
        "tools": TOOLS,
        "questions": questions,
        "python": platform.python_version(),
        "machine": platform.machine(),
    }
