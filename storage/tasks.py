"""The ledger of tasks: who began each one that a server runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Final

from sqlmodel import col, delete, select

from storage.engine import Database
from storage.tables import TaskRow
from storage.words import check_text, is_name, is_text

MAX_TASK_ID: Final = 1024
"""Characters of the id that a server gives a task."""

_MOST_AT_ONCE: Final = 500
"""Values in one statement, well under what any database takes."""


@dataclass(frozen=True, slots=True)
class OwnedTask:
    """A task that *server* runs, under the id that it gave it, for the *owner* who began it.

    `owner` is compared exactly; `origin` is whatever the gateway wants to know of how the task
    began; from `expires_at`, in seconds since the epoch, the task may be forgotten.
    """

    server: str
    task_id: str
    owner: str
    origin: str
    expires_at: float


class TaskLedger:
    """The tasks in *database*. *clock* tells the seconds since the epoch."""

    def __init__(self, database: Database, clock: Callable[[], float]) -> None:
        self._database = database
        self._clock = clock

    async def own(self, task: OwnedTask) -> bool:
        """Keep *task*, in the place of what its owner, or anyone whose task expired, had there.

        Return False, and change nothing, if the server's task of this id has another owner. Raise
        `ValueError` for an id that is too long or is not text, and for an owner or origin that is
        not.
        """
        if not _can_be_kept(task.server, task.task_id):
            raise ValueError(
                "A task's id is at most 1024 characters and 2600 bytes of Unicode, and no NUL."
            )
        check_text(task.owner, task.origin)
        async with self._database.changing() as session:
            key = (task.server, task.task_id)
            row = await session.get(TaskRow, key, with_for_update=True)
            if row is None:
                session.add(TaskRow(**asdict(task)))
                return True
            if row.owner != task.owner and row.expires_at > self._clock():
                return False
            row.owner, row.origin, row.expires_at = task.owner, task.origin, task.expires_at
            return True

    async def owned(self, server: str, owner: str, task_ids: Sequence[str]) -> Mapping[str, str]:
        """Return the origins of those tasks of *server* that *owner* began, by their ids.

        Those that expired are not among them.
        """
        ids = [one for one in dict.fromkeys(task_ids) if _can_be_kept(server, one)]
        found: dict[str, str] = {}
        if not is_text(owner):
            return found
        async with self._database.reading() as session:
            now = self._clock()
            for start in range(0, len(ids), _MOST_AT_ONCE):
                rows = await session.exec(
                    select(TaskRow.task_id, TaskRow.origin).where(
                        TaskRow.server == server,
                        col(TaskRow.task_id).in_(ids[start : start + _MOST_AT_ONCE]),
                        TaskRow.owner == owner,
                        TaskRow.expires_at > now,
                    )
                )
                found |= dict(rows.all())
        return found

    async def forget_ended(self) -> int:
        """Drop the tasks that expired, and return how many they were."""
        async with self._database.changing() as session:
            ended = delete(TaskRow).where(col(TaskRow.expires_at) <= self._clock())
            return (await session.exec(ended)).rowcount


def _can_be_kept(server: str, task_id: str) -> bool:
    """Tell whether every database can keep *task_id*: the server chose it, and may choose badly."""
    return len(task_id) <= MAX_TASK_ID and is_name(server, task_id)
