"""Streams of news: which a client may hear of, and what of the news is for it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final

from proxy.call import Call
from proxy.identity.handles import UnknownHandleError
from proxy.judgement import Judge, Judgement
from proxy.opening import Opening
from proxy.question import SUBSCRIBE, Origin, Question, document_question, going_on
from proxy.recording import Recording
from proxy.wire.jsonrpc import Id, Notification

SUBSCRIPTION_KEY: Final = "io.modelcontextprotocol/subscriptionId"
ACKNOWLEDGED: Final = "notifications/subscriptions/acknowledged"
UPDATED: Final = "notifications/resources/updated"
TASK_NEWS: Final = "notifications/tasks"

CHANGES: Final = {
    "toolsListChanged": "notifications/tools/list_changed",
    "promptsListChanged": "notifications/prompts/list_changed",
    "resourcesListChanged": "notifications/resources/list_changed",
}
"""The lists whose changes a client can hear of, and how it is told."""


@dataclass(frozen=True, slots=True)
class Listening:
    """What one `subscriptions/listen` is allowed to hear.

    `uris` are documents, `tasks` the handles of tasks by the upstream's own ids, `records` the
    decisions that allow documents and tasks beside the one on the request itself.
    """

    id: Id
    changes: frozenset[str]
    uris: frozenset[str]
    tasks: Mapping[str, str] = field(default_factory=dict)
    records: tuple[str, ...] = ()

    def filter(self) -> dict[str, Any]:
        """Return what the upstream is asked for."""
        wanted: dict[str, Any] = {
            name: True for name, method in CHANGES.items() if method in self.changes
        }
        if self.uris:
            wanted["resourceSubscriptions"] = sorted(self.uris)
        if self.tasks:
            wanted["taskIds"] = sorted(self.tasks)
        return wanted

    def marked(self, message: Notification) -> Notification:
        """Return *message* with the mark of this subscription."""
        params = message.params or {}
        meta = params.get("_meta")
        kept = meta if type(meta) is dict else {}
        return message.with_params({**params, "_meta": {**kept, SUBSCRIPTION_KEY: self.id}})

    def acknowledged(self, message: Notification) -> Notification:
        """Return *message*, which says what is heard, without what may not be."""
        params = message.params or {}
        said = params.get("notifications")
        said = said if type(said) is dict else {}
        heard: dict[str, Any] = {
            name: said[name]
            for name, method in CHANGES.items()
            if name in said and method in self.changes
        }
        if "resourceSubscriptions" in said:
            heard["resourceSubscriptions"] = _among(said["resourceSubscriptions"], self.uris)
        if "taskIds" in said:
            named = _among(said["taskIds"], self.tasks)
            heard["taskIds"] = [self.tasks[one] for one in named]
        return self.marked(message.with_params({**params, "notifications": heard}))


@dataclass(frozen=True, slots=True)
class Subscribing:
    """Judges what a client wants to hear of, one by one, and records it."""

    judge: Judge
    recording: Recording
    opening: Opening
    verbatim: frozenset[str] = frozenset()

    async def allowed(
        self, call: Call, connect: Judgement, id_: Id, wanted: Mapping[str, Any]
    ) -> Listening:
        """Return what of *wanted* is allowed. Raises `UnrecordedError`."""
        records: list[str] = []

        async def allows(question: Question) -> bool:
            judgement = await self.judge.judge(call, question, connect, id_)
            decision_id = await self.recording.decided(call, judgement, call.method)
            if judgement.allowed:
                records.append(decision_id)
            return judgement.allowed

        uris = [
            uri
            for uri in dict.fromkeys(wanted.get("resourceSubscriptions", []))
            if await allows(document_question(SUBSCRIBE, call.server_name, uri))
        ]
        tasks = {
            task_id: handle
            for handle, task_id, origin in self._tasks(call, wanted.get("taskIds", []))
            if await allows(going_on(call.server_name, origin, self.verbatim))
        }
        changes = frozenset(method for name, method in CHANGES.items() if wanted.get(name) is True)
        return Listening(id_, changes, frozenset(uris), tasks, tuple(records))

    def _tasks(self, call: Call, handles: list[str]) -> Iterator[tuple[str, str, Origin]]:
        """Yield each task of the caller's: its handle, the upstream's own id, where it came from.

        Of a task that is somebody else's nothing is heard, as of one that there is not.
        """
        for handle in dict.fromkeys(handles):
            with suppress(UnknownHandleError):
                yield (handle, *self.opening.task(call, handle))


def _among(named: object, known: Mapping[str, Any] | frozenset[str]) -> list[str]:
    if type(named) is not list:
        return []
    return [one for one in named if type(one) is str and one in known]
