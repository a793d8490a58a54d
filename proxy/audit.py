"""Record before effect: what was decided is durable before anything follows from it.

What a record holds of arguments is what a later decision on it needs, and no more: each test that
the policy asked for with its result, and text only where the policy itself names it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any, Final, Literal

import orjson

from policies.demands import CallTests
from policies.model import Answer, Decision, Entity, Fact
from policies.polar.possible import TESTS
from proxy.identity.principal import Principal
from storage.journal import Journal, JournalError, JournalUnavailableError, Kind, RecordRefusedError

Arguments = Literal["facts", "digest", "full"]

_DIGEST_BYTES: Final = 16
_TESTS: Final = frozenset(one.partition("/")[0] for one in TESTS)


class UnrecordedError(Exception):
    """A record is not durable, so what it was about must not happen. `code` is for the log."""

    def __init__(self, error: JournalError) -> None:
        super().__init__(error.code)
        self.code = error.code


class Redaction:
    """Turns values into what a record may hold of them, under a key that never leaves."""

    def __init__(self, key: bytes, keep: Arguments) -> None:
        self._key = key
        self.keep = keep

    def digest(self, content: bytes) -> str:
        """Return a keyed hash: the same for the same content, and no way back to it."""
        # BLAKE2 has a key of its own (RFC 7693), and costs a fortieth of OpenSSL's HMAC.
        return blake2b(content, key=self._key, digest_size=_DIGEST_BYTES).hexdigest()

    def arguments(self, arguments: Mapping[str, Any]) -> str:
        """Return the digest of *arguments*, whatever the order of their keys."""
        return self.digest(orjson.dumps(arguments, option=orjson.OPT_SORT_KEYS))

    def value(self, value: Answer, words: frozenset[str]) -> object:
        """Return *value* for a record: an entity as type and id, text only if it is of *words*."""
        if isinstance(value, Entity):
            return {"type": value.type, "id": value.id}
        if isinstance(value, str) and value not in words:
            return {"digest": self.digest(value.encode())}
        return value

    def fact(self, fact: Fact, words: frozenset[str]) -> list[object]:
        """Return *fact* as `[predicate, argument, ...]`."""
        return [fact.predicate, *(self.value(arg, words) for arg in fact.args)]


@dataclass(frozen=True, slots=True)
class Subject:
    """What one record is about.

    `facts` held for the call alone; `tests` are those of arguments with what each said: a fact,
    or None for a value that satisfies neither it nor its opposite. `withheld` are the capabilities
    of the client that the upstream is not told of, because it may not use them. A denial that is
    not `enforced` was done all the same.
    """

    principal: Principal
    server: str
    method: str
    action: str
    resource: Entity
    now: int
    facts: tuple[Fact, ...] = ()
    tests: CallTests | None = None
    outcomes: tuple[Fact | None, ...] = ()
    arguments: Mapping[str, Any] | None = None
    withheld: tuple[str, ...] = ()
    enforced: bool = True


class Audit:
    """Writes decisions, outcomes and changes to the journal.

    *on_failure* is told the code of each record that was refused.
    """

    def __init__(
        self, journal: Journal, redaction: Redaction, on_failure: Callable[[str], None]
    ) -> None:
        self._journal = journal
        self._redaction = redaction
        self._on_failure = on_failure

    async def decided(self, subject: Subject, decision: Decision, words: frozenset[str]) -> str:
        """Return the id of the record of *decision* once it is durable.

        *words* are the strings that the policy names. Raises `UnrecordedError`.
        """
        return await self._append(Kind.DECISION, self._decision(subject, decision, words))

    def ended(
        self, decision_id: str, status: int | str, *, is_error: bool, size: int, seconds: float
    ) -> None:
        """Record what became of a call that was made, without waiting.

        *status* is the HTTP status the caller got, or a word for a call that ended without one.
        """
        payload = {
            "decision": decision_id,
            "status": status,
            "is_error": is_error,
            "bytes": size,
            "ms": round(seconds * 1000, 3),
        }
        try:
            self._journal.append_soon(Kind.OUTCOME, payload)
        except JournalUnavailableError as error:
            # The decision stands without an outcome, which means "unknown".
            self._on_failure(error.code)

    async def changed(
        self,
        who: Mapping[str, Any],
        what: str,
        *,
        why: str = "",
        before: object = None,
        after: object = None,
    ) -> str:
        """Return the id of the record of a change once it is durable. Raises `UnrecordedError`."""
        payload = {"who": who, "what": what, "why": why, "before": before, "after": after}
        return await self._append(Kind.CHANGE, payload)

    async def _append(self, kind: Kind, payload: Mapping[str, Any]) -> str:
        try:
            return await self._journal.append(kind, payload)
        except (JournalUnavailableError, RecordRefusedError) as error:
            self._on_failure(error.code)
            raise UnrecordedError(error) from error

    def _decision(
        self, subject: Subject, decision: Decision, words: frozenset[str]
    ) -> dict[str, Any]:
        resource = subject.resource
        payload: dict[str, Any] = {
            "principal": principal_document(subject.principal),
            "server": subject.server,
            "method": subject.method,
            "action": subject.action,
            "resource": {"type": resource.type, "id": resource.id},
            "facts": self._facts(subject, words),
            "policy": decision.policy,
            "fact_version": decision.fact_version,
            "now": subject.now,
            "verdict": decision.verdict.value,
            "reason": decision.reason.value,
            "rules": decision.rules,
        }
        if not subject.enforced:
            payload["enforced"] = False
        if subject.withheld:
            payload["withheld"] = subject.withheld
        if subject.arguments is not None:
            self._add_arguments(payload, subject, words)
        return payload

    def _facts(self, subject: Subject, words: frozenset[str]) -> list[list[object]]:
        """Return the facts of *subject*; what held of the arguments of an earlier call as well."""
        is_kept = self._redaction.keep != "digest"
        return [
            self._fact(fact, words)
            for fact in subject.facts
            if is_kept or fact.predicate not in _TESTS
        ]

    def _fact(self, fact: Fact, words: frozenset[str]) -> list[object]:
        redaction = self._redaction
        if fact.predicate not in _TESTS:
            return redaction.fact(fact, words)
        resource, key, *rest = fact.args
        if fact.predicate == "argument":
            rest = [redaction.value(value, words) for value in rest]  # type: ignore[misc]
        # Keys and patterns are words of the policy and its facts, not of the call.
        return [fact.predicate, redaction.value(resource, words), key, *rest]

    def _add_arguments(
        self, payload: dict[str, Any], subject: Subject, words: frozenset[str]
    ) -> None:
        redaction, arguments = self._redaction, subject.arguments or {}
        payload["args_digest"] = redaction.arguments(arguments)
        if redaction.keep == "digest" or subject.tests is None:
            return
        silent = []
        for test, fact in zip(subject.tests.tests, subject.outcomes, strict=True):
            if fact is None:
                silent.append([test.predicate, test.key, test.pattern])
            else:
                payload["facts"].append(self._fact(fact, words))
        if silent:
            payload["silent_tests"] = silent
        if redaction.keep == "full":
            payload["arguments"] = arguments


def principal_document(principal: Principal) -> dict[str, Any]:
    """Return *principal* as records name whoever asked."""
    return {
        "type": principal.type.value,
        "id": principal.id,
        "issuer": principal.issuer,
        "client": principal.client_id,
        "token_id": principal.token_id,
        "acts_for": principal.acts_for,
    }
