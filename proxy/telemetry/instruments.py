"""The closed list of metrics: what each is called, counts and means."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class Type(StrEnum):
    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"
    UP_DOWN = "up-down counter"


@dataclass(frozen=True, slots=True)
class Instrument:
    """One metric: *unit* is of the UCUM, empty where the number has none."""

    name: str
    type: Type
    unit: str
    labels: tuple[str, ...]
    meaning: str


OPERATIONS: Final = Instrument(
    "mcp.server.operation.duration",
    Type.HISTOGRAM,
    "s",
    ("mcp.method.name", "mcp.protocol.version", "northgate.server", "error.type"),
    "Time from receiving a request or notification until its answer was sent.",
)
DECISIONS: Final = Instrument(
    "northgate.decisions",
    Type.COUNTER,
    "{decision}",
    ("verdict", "reason", "action"),
    "Decisions that were made.",
)
DECISIONS_BY_RULE: Final = Instrument(
    "northgate.decisions.by_rule",
    Type.COUNTER,
    "{decision}",
    ("rule",),
    "Allows that rest on a rule of the policy in force, since it came into force.",
)
DECISIONS_OBSERVED: Final = Instrument(
    "northgate.decisions.observed",
    Type.COUNTER,
    "{decision}",
    ("server", "reason", "action"),
    "Denials that were not enforced, as their server is observed; decisions counts them as well.",
)
REFUSALS: Final = Instrument(
    "northgate.refusals",
    Type.COUNTER,
    "{request}",
    ("reason",),
    "Requests refused before anything was asked of the policy.",
)
UPSTREAM_ERRORS: Final = Instrument(
    "northgate.upstream.errors",
    Type.COUNTER,
    "{call}",
    ("server", "kind"),
    "Calls to which an upstream gave no answer that can be used.",
)
UPSTREAM_DROPPED: Final = Instrument(
    "northgate.upstream.dropped",
    Type.COUNTER,
    "{message}",
    ("server", "what"),
    "Messages of an upstream that nobody asked for, by method; they went no further.",
)
JOURNAL_WAITING: Final = Instrument(
    "northgate.journal.waiting", Type.GAUGE, "{record}", (), "Records that are not durable yet."
)
JOURNAL_DURABLE: Final = Instrument(
    "northgate.journal.durable", Type.COUNTER, "{record}", (), "Records that became durable."
)
JOURNAL_REFUSED: Final = Instrument(
    "northgate.journal.refused",
    Type.COUNTER,
    "{record}",
    (),
    "Records given up while a call waited; the call was refused.",
)
JOURNAL_LATE: Final = Instrument(
    "northgate.journal.late",
    Type.COUNTER,
    "{record}",
    (),
    "Records not durable in time; the call was refused.",
)
JOURNAL_LOST: Final = Instrument(
    "northgate.journal.lost",
    Type.COUNTER,
    "{record}",
    (),
    "Records given up with nobody waiting: outcomes that stay unknown.",
)
JOURNAL_FAILURES: Final = Instrument(
    "northgate.journal.failures", Type.COUNTER, "{failure}", (), "Failures of the journal's disk."
)
JOURNAL_AVAILABLE: Final = Instrument(
    "northgate.journal.available",
    Type.GAUGE,
    "",
    (),
    "1 while decisions can be recorded; 0 while every call is refused.",
)
JOURNAL_BYTES: Final = Instrument(
    "northgate.journal.size", Type.GAUGE, "By", (), "What the journal of all workers takes on disk."
)
JOURNAL_LIMIT: Final = Instrument(
    "northgate.journal.limit", Type.GAUGE, "By", (), "What it may take: `record.journal_bytes`."
)
JOURNAL_OLDEST: Final = Instrument(
    "northgate.journal.oldest", Type.GAUGE, "s", (), "Age of the oldest record in the journal."
)
SHIPPING_BEHIND: Final = Instrument(
    "northgate.shipping.behind",
    Type.GAUGE,
    "{record}",
    (),
    "Durable records that are not copied to the database yet.",
)
SHIPPING_LAG: Final = Instrument(
    "northgate.shipping.lag",
    Type.GAUGE,
    "s",
    (),
    "Time since every record was copied to the database.",
)
SINK_BEHIND: Final = Instrument(
    "northgate.sink.behind",
    Type.GAUGE,
    "{record}",
    ("sink",),
    "Durable records that a sink has not taken yet.",
)
SINK_LAG: Final = Instrument(
    "northgate.sink.lag",
    Type.GAUGE,
    "s",
    ("sink",),
    "Time since a sink had taken every record.",
)
POLICY_INFO: Final = Instrument(
    "northgate.policy.info", Type.GAUGE, "", ("version",), "1, with the policy in force."
)
POLICY_RELOAD_FAILURES: Final = Instrument(
    "northgate.policy.reload.failures",
    Type.COUNTER,
    "{reload}",
    (),
    "Policies that were not taken; the one before stayed in force.",
)
SHADOW_COMPARED: Final = Instrument(
    "northgate.shadow.compared",
    Type.COUNTER,
    "{decision}",
    (),
    "Decisions that the candidate was asked about as well.",
)
SHADOW_DIVERGENCES: Final = Instrument(
    "northgate.shadow.divergences",
    Type.COUNTER,
    "{decision}",
    ("difference", "rule"),
    "Decisions that the candidate makes otherwise, since it is tried: newly allowed by rules of "
    "its own, newly denied by those of the policy in force.",
)
SHADOW_SKIPPED: Final = Instrument(
    "northgate.shadow.skipped",
    Type.COUNTER,
    "{decision}",
    (),
    "Decisions that the candidate was not asked about, since too many waited.",
)
FACTS_VERSION: Final = Instrument(
    "northgate.facts.version", Type.GAUGE, "", (), "The version of the facts in force."
)
STATE_STALENESS: Final = Instrument(
    "northgate.state.staleness",
    Type.GAUGE,
    "s",
    (),
    "Time since all of the state was known; over `state.max_staleness_seconds` nothing is decided.",
)
SERVERS_OBSERVED: Final = Instrument(
    "northgate.servers.observed",
    Type.GAUGE,
    "{server}",
    (),
    "Servers on which the policy is observed: what it denies there is done all the same.",
)
STREAMS_OPEN: Final = Instrument(
    "northgate.streams.open", Type.UP_DOWN, "{stream}", (), "Event streams to clients now."
)
TELEMETRY_DROPPED: Final = Instrument(
    "northgate.telemetry.dropped",
    Type.COUNTER,
    "{item}",
    ("signal",),
    "Spans, and exports of metrics, that the collector did not take.",
)
WORKERS_UNREACHABLE: Final = Instrument(
    "northgate.workers.unreachable",
    Type.COUNTER,
    "{worker}",
    (),
    "Workers that a scrape left out because they did not answer this one.",
)
BUILD_INFO: Final = Instrument(
    "northgate.build.info", Type.GAUGE, "", ("version", "python"), "1, with what is running."
)

INSTRUMENTS: Final = (
    OPERATIONS,
    DECISIONS,
    DECISIONS_BY_RULE,
    DECISIONS_OBSERVED,
    REFUSALS,
    UPSTREAM_ERRORS,
    UPSTREAM_DROPPED,
    JOURNAL_WAITING,
    JOURNAL_DURABLE,
    JOURNAL_REFUSED,
    JOURNAL_LATE,
    JOURNAL_LOST,
    JOURNAL_FAILURES,
    JOURNAL_AVAILABLE,
    JOURNAL_BYTES,
    JOURNAL_LIMIT,
    JOURNAL_OLDEST,
    SHIPPING_BEHIND,
    SHIPPING_LAG,
    SINK_BEHIND,
    SINK_LAG,
    POLICY_INFO,
    POLICY_RELOAD_FAILURES,
    SHADOW_COMPARED,
    SHADOW_DIVERGENCES,
    SHADOW_SKIPPED,
    FACTS_VERSION,
    STATE_STALENESS,
    SERVERS_OBSERVED,
    STREAMS_OPEN,
    TELEMETRY_DROPPED,
    WORKERS_UNREACHABLE,
    BUILD_INFO,
)

BOUNDARIES: Final = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0)
"""Upper ends of the buckets of durations, in seconds, as the semantic conventions want them."""
