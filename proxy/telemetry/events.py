"""The closed list of events, and the one place that writes them: a line each.

Fields are named and typed here, so that nothing else can get into the log.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final, Protocol, TextIO, cast

import structlog

from policies.model import Decision, Entity
from proxy.telemetry.lines import frames, make_plain, renderer

LEVELS: Final = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warning": logging.WARNING,
    "error": logging.ERROR,
}


@dataclass(frozen=True, slots=True)
class Row:
    """What an event is: its level, its fields beside time, level and event, and its meaning."""

    level: str
    fields: str
    meaning: str


class Event(Enum):
    """Every event. The value of `event` in a line is the name in small letters."""

    STARTED = Row("info", "version mode data admin policy", "The gateway answers.")
    STOPPING = Row("info", "", "The gateway takes no more calls and lets running ones end.")
    STOPPED = Row("info", "seconds", "The gateway has stopped.")
    SETTINGS_WARNING = Row(
        "warning", "setting problem", "A setting is allowed but deserves a second look."
    )

    WORKERS_READY = Row("info", "count seconds", "All workers answer.")
    WORKER_ENDED = Row(
        "error",
        "number pid status seconds",
        "A worker ended by itself; another takes its place. A negative status is a signal.",
    )
    WORKER_KILLED = Row("error", "number pid", "A worker did not stop in time and was killed.")
    WORKERS_GIVEN_UP = Row(
        "error", "number", "A worker ended again and again before all answered; the gateway ends."
    )

    POLICY_LOADED = Row("info", "policy files rules seconds", "The policy was read at the start.")
    POLICY_REFUSED = Row(
        "error", "in_force problems", "A policy was not taken; the one before stays in force."
    )
    POLICY_CHANGED = Row("info", "before after by", "Another policy is in force.")

    SERVERS_OBSERVED = Row(
        "warning",
        "servers",
        "The gateway started with servers on which the policy is observed and not enforced.",
    )
    SHADOW_STARTED = Row(
        "info", "candidate in_force by", "A candidate is asked beside the policy in force."
    )
    SHADOW_STOPPED = Row("info", "candidate", "The candidate is not asked any more.")
    SHADOW_REFUSED = Row(
        "error",
        "candidate problems",
        "A candidate cannot be used by this release, and is not asked any more.",
    )

    CATALOGUE_REFRESHED = Row(
        "info", "server items changed dropped seconds", "An upstream told what it offers."
    )
    CATALOGUE_FAILED = Row(
        "warning", "server code detail", "An upstream could not be asked what it offers."
    )

    DECISION_MADE = Row(
        "debug",
        "decision_id actor action resource verdict reason policy rules seconds",
        "A question was answered; the record has the whole of it.",
    )
    REFUSED = Row(
        "debug", "reason address", "A request was refused before its sender was identified."
    )
    CLIENT_LEFT = Row("debug", "server method seconds", "A client hung up before its answer.")

    UPSTREAM_FAILED = Row(
        "warning", "server code kind detail", "An upstream could not be reached, or was too slow."
    )
    UPSTREAM_HOSTILE = Row(
        "error", "server kind detail", "An upstream answered with what cannot be passed on."
    )

    JOURNAL_FAILED = Row(
        "error", "code detail", "Decisions cannot be recorded; every call is refused."
    )
    JOURNAL_RECOVERED = Row("warning", "seconds", "Decisions can be recorded again.")

    SHIPPING_FAILED = Row(
        "warning",
        "code detail",
        "Records are not copied to the database; calls go on, and the journal keeps them until "
        "they can be.",
    )
    SHIPPING_RECOVERED = Row("info", "seconds", "The database has every record again.")
    SINK_FAILED = Row(
        "warning",
        "sink code detail",
        "A sink does not take the record; calls go on, and it is tried until it does.",
    )
    SINK_RECOVERED = Row("info", "sink seconds", "A sink has every record again.")

    RECORD_RELEASED = Row(
        "info",
        "chain segments bytes why",
        "Segments of the journal were removed, as the record itself says.",
    )
    RECORD_EXPIRED = Row(
        "info",
        "decisions outcomes changes checkpoints before",
        "Copies in the database that are older than `record.keep_days` were removed.",
    )
    RETENTION_HELD = Row(
        "warning",
        "seconds",
        "The clock is that far ahead of the record, as after a long pause or with a wrong clock. "
        "Nothing is removed for its age until that has been so for a day.",
    )
    RETENTION_FAILED = Row(
        "warning", "code detail", "What is too old, or in the way, could not be removed."
    )

    TOKEN_ISSUED = Row(
        "info", "token_id subject audience by expires_at", "An access token was issued."
    )
    TOKEN_REVOKED = Row("info", "token_id by why", "An access token was revoked.")

    INTERNAL_ERROR = Row(
        "error", "where error traceback", "The gateway has a fault; please report it."
    )
    LIBRARY_MESSAGE = Row(
        "warning",
        "library message error traceback",
        "A library had something to say, at its own level.",
    )

    @property
    def label(self) -> str:
        return self.name.lower()

    @property
    def level(self) -> int:
        return LEVELS[self.value.level]


class Stream(Protocol):
    """Where lines go."""

    def write(self, text: str, /) -> object: ...

    def flush(self) -> None: ...

    def isatty(self) -> bool: ...


class Events:
    """Writes events of at least one level. `debugging` tells whether debug ones are written.

    Ask `debugging` first where a field of a debug event costs something to make. *worker* is in
    every line, where there are several.
    """

    def __init__(self, level: str, stream: Stream, worker: int | None = None) -> None:
        self._origin = {} if worker is None else {"worker": worker}
        self._level = LEVELS[level]
        self.debugging = self._level <= logging.DEBUG
        self._log: Any = structlog.wrap_logger(
            structlog.WriteLogger(cast("TextIO", stream)),
            processors=[
                structlog.processors.TimeStamper(fmt="iso", utc=True, key="time"),
                make_plain,
                renderer(stream),
            ],
            wrapper_class=structlog.BoundLogger,
            context_class=dict,
        )

    def started(self, *, version: str, mode: str, data: str, admin: str, policy: str) -> None:
        self._write(
            Event.STARTED, version=version, mode=mode, data=data, admin=admin, policy=policy
        )

    def stopping(self) -> None:
        self._write(Event.STOPPING)

    def stopped(self, *, seconds: float) -> None:
        self._write(Event.STOPPED, seconds=round(seconds, 3))

    def settings_warning(self, *, setting: str, problem: str) -> None:
        self._write(Event.SETTINGS_WARNING, setting=setting, problem=problem)

    def workers_ready(self, *, count: int, seconds: float) -> None:
        self._write(Event.WORKERS_READY, count=count, seconds=round(seconds, 3))

    def worker_ended(self, *, number: int, pid: int, status: int, seconds: float) -> None:
        self._write(
            Event.WORKER_ENDED, number=number, pid=pid, status=status, seconds=round(seconds, 3)
        )

    def worker_killed(self, *, number: int, pid: int) -> None:
        self._write(Event.WORKER_KILLED, number=number, pid=pid)

    def workers_given_up(self, *, number: int) -> None:
        self._write(Event.WORKERS_GIVEN_UP, number=number)

    def policy_loaded(self, *, policy: str, files: int, rules: int, seconds: float) -> None:
        self._write(
            Event.POLICY_LOADED, policy=policy, files=files, rules=rules, seconds=round(seconds, 3)
        )

    def policy_refused(self, *, in_force: str, problems: Sequence[str]) -> None:
        self._write(Event.POLICY_REFUSED, in_force=in_force, problems=list(problems))

    def policy_changed(self, *, before: str, after: str, by: str) -> None:
        self._write(Event.POLICY_CHANGED, before=before, after=after, by=by)

    def servers_observed(self, *, servers: Sequence[str]) -> None:
        self._write(Event.SERVERS_OBSERVED, servers=list(servers))

    def shadow_started(self, *, candidate: str, in_force: str, by: str) -> None:
        self._write(Event.SHADOW_STARTED, candidate=candidate, in_force=in_force, by=by)

    def shadow_stopped(self, *, candidate: str) -> None:
        self._write(Event.SHADOW_STOPPED, candidate=candidate)

    def shadow_refused(self, *, candidate: str, problems: Sequence[str]) -> None:
        self._write(Event.SHADOW_REFUSED, candidate=candidate, problems=list(problems))

    def catalogue_refreshed(
        self, *, server: str, items: int, changed: int, dropped: Sequence[str], seconds: float
    ) -> None:
        self._write(
            Event.CATALOGUE_REFRESHED,
            server=server,
            items=items,
            changed=changed,
            dropped=list(dropped),
            seconds=round(seconds, 3),
        )

    def catalogue_failed(self, *, server: str, code: str, detail: str) -> None:
        self._write(Event.CATALOGUE_FAILED, server=server, code=code, detail=detail)

    def decision_made(
        self,
        *,
        decision_id: str,
        actor: Entity,
        action: str,
        resource: Entity,
        decision: Decision,
        seconds: float,
    ) -> None:
        if not self.debugging:
            return
        self._write(
            Event.DECISION_MADE,
            decision_id=decision_id,
            actor=str(actor),
            action=action,
            # A URI may say as much as an argument; the record has it.
            resource=resource.type if resource.type == "Document" else str(resource),
            verdict=decision.verdict,
            reason=decision.reason,
            policy=decision.policy,
            rules=list(decision.rules),
            seconds=round(seconds, 6),
        )

    def refused(self, *, reason: str, address: str) -> None:
        if self.debugging:
            self._write(Event.REFUSED, reason=reason, address=address)

    def client_left(self, *, server: str, method: str, seconds: float) -> None:
        if self.debugging:
            self._write(Event.CLIENT_LEFT, server=server, method=method, seconds=round(seconds, 3))

    def upstream_failed(self, *, server: str, code: str, kind: str, detail: str) -> None:
        self._write(Event.UPSTREAM_FAILED, server=server, code=code, kind=kind, detail=detail)

    def upstream_hostile(self, *, server: str, kind: str, detail: str) -> None:
        self._write(Event.UPSTREAM_HOSTILE, server=server, kind=kind, detail=detail)

    def journal_failed(self, *, code: str, detail: str) -> None:
        self._write(Event.JOURNAL_FAILED, code=code, detail=detail)

    def journal_recovered(self, *, seconds: float) -> None:
        self._write(Event.JOURNAL_RECOVERED, seconds=round(seconds, 3))

    def shipping_failed(self, *, code: str, detail: str) -> None:
        self._write(Event.SHIPPING_FAILED, code=code, detail=detail)

    def shipping_recovered(self, *, seconds: float) -> None:
        self._write(Event.SHIPPING_RECOVERED, seconds=round(seconds, 3))

    def sink_failed(self, *, sink: str, code: str, detail: str) -> None:
        self._write(Event.SINK_FAILED, sink=sink, code=code, detail=detail)

    def sink_recovered(self, *, sink: str, seconds: float) -> None:
        self._write(Event.SINK_RECOVERED, sink=sink, seconds=round(seconds, 3))

    def record_released(self, *, chain: str, segments: int, size: int, why: str) -> None:
        self._write(Event.RECORD_RELEASED, chain=chain, segments=segments, bytes=size, why=why)

    def record_expired(
        self, *, decisions: int, outcomes: int, changes: int, checkpoints: int, before: str
    ) -> None:
        self._write(
            Event.RECORD_EXPIRED,
            decisions=decisions,
            outcomes=outcomes,
            changes=changes,
            checkpoints=checkpoints,
            before=before,
        )

    def retention_held(self, *, seconds: float) -> None:
        self._write(Event.RETENTION_HELD, seconds=round(seconds))

    def retention_failed(self, *, code: str, detail: str) -> None:
        self._write(Event.RETENTION_FAILED, code=code, detail=detail)

    def token_issued(
        self, *, token_id: str, subject: str, audience: str, by: str, expires_at: int
    ) -> None:
        self._write(
            Event.TOKEN_ISSUED,
            token_id=token_id,
            subject=subject,
            audience=audience,
            by=by,
            expires_at=expires_at,
        )

    def token_revoked(self, *, token_id: str, by: str, why: str) -> None:
        self._write(Event.TOKEN_REVOKED, token_id=token_id, by=by, why=why)

    def internal_error(self, *, where: str, error: BaseException) -> None:
        self._write(
            Event.INTERNAL_ERROR,
            where=where,
            error=type(error).__qualname__,
            traceback=frames(error),
        )

    def library_message(
        self, *, library: str, level: str, message: str, error: BaseException | None
    ) -> None:
        """Write what *library* says, at the *level* it chose: one of `LEVELS`."""
        if LEVELS[level] >= self._level:
            fields: dict[str, object] = {"library": library, "message": message}
            if error is not None:
                fields |= {"error": type(error).__qualname__, "traceback": frames(error)}
            self._put(level, Event.LIBRARY_MESSAGE.label, fields)

    def _write(self, event: Event, **fields: object) -> None:
        if event.level >= self._level:
            self._put(event.value.level, event.label, fields)

    def _put(self, level: str, name: str, fields: dict[str, object]) -> None:
        # A log that cannot be written must not fail the call that it tells of.
        with suppress(OSError, ValueError):
            self._log.msg(name, level=level, **self._origin, **fields)
