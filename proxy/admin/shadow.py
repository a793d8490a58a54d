"""A candidate policy: tried beside the one in force, looked at, stopped, promoted."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Final

import orjson
from pydantic import AfterValidator, Field

from policies.bundle import SUFFIX, Bundle, BundleError, FailedTestsError
from policies.grounds import Grounds
from policies.polar.source import PolicyError, Problem
from policies.replay import Difference
from proxy.admin.routes import Input, Nothing, Output, Route, Visit
from proxy.admin.shadow_errors import (
    CandidateRefusedError,
    NoShadowError,
    NotInForceError,
    OtherCandidateError,
    PolicyEditedError,
    PolicyUnwritableError,
    TooFewComparedError,
    TrialRunningError,
)
from proxy.audit import Audit, principal_document
from proxy.listener.answers import Answer
from proxy.promoting import NotAdoptedError, Promoting
from proxy.replacing import OtherPolicyError, ReplacingError
from proxy.shadow import Shadows
from storage.shadows import Shadow, ShadowRunningError

SHADOW: Final = "shadow_policy"
PROMOTE: Final = "change_policy"
READ: Final = "read_policy"
STARTED: Final = "shadow.started"
STOPPED: Final = "shadow.stopped"
PROMOTED: Final = "policy.promoted"
"""What records call the changes."""

_MOST_FILES: Final = 1000
_LONGEST_NAME: Final = 255
_MOST_WHY: Final = 1000


def _file_name(name: str) -> str:
    parts = name.split("/")
    is_plain = name.isprintable() and "\\" not in name and name.endswith(SUFFIX)
    fits = all(part and len(part.encode()) <= _LONGEST_NAME - len("..draft") for part in parts)
    if not is_plain or not fits or any(part.startswith(".") for part in parts):
        raise ValueError(f"Write a path below the policy's directory, such as team/ci{SUFFIX}.")
    return name


_Name = Annotated[str, Field(max_length=1024), AfterValidator(_file_name)]
_Version = Annotated[str, Field(pattern=r"^sha256:[0-9a-f]{64}$")]
_Why = Annotated[str | None, Field(max_length=_MOST_WHY)]


class Start(Input):
    """The candidate's files: text by name."""

    files: Annotated[dict[_Name, str], Field(min_length=1, max_length=_MOST_FILES)]
    why: _Why = None


class Promotion(Input):
    """Which version was looked at, and how many decisions must have been compared by it."""

    version: _Version
    least: Annotated[int, Field(ge=0, le=2**53)] = 0
    why: _Why = None


class EntityDocument(Output):
    type: str
    id: str


class GroupDocument(Output):
    """Decisions that diverge alike. `rules` are those by which it is newly allowed, or was."""

    difference: str
    principal: EntityDocument
    action: str
    resource: EntityDocument
    rules: list[str]
    lacking: str | None
    count: int
    examples: list[str]


class ShadowDocument(Output):
    """A candidate, and what it came to in all processes; `others` diverge and have no group."""

    version: str
    since: float
    by: str
    in_force: str
    compared: int
    skipped: int
    newly_allowed: int
    newly_denied: int
    cannot_tell: int
    unchanged: int
    not_judged: int
    others: int
    groups: list[GroupDocument]


class StartedDocument(Output):
    version: str
    since: float
    by: str
    in_force: str


class PromotedDocument(Output):
    version: str
    before: str


@dataclass(frozen=True, slots=True)
class ShadowAdmin:
    """The routes. *load* makes a bundle of files and runs its tests."""

    shadows: Shadows
    promoting: Promoting
    audit: Audit
    load: Callable[[Mapping[str, str]], Bundle]
    grounds: Callable[[], Grounds]

    def routes(self) -> tuple[Route[Any], ...]:
        path = "/api/v0/shadow"
        return (
            Route(
                "POST",
                path,
                SHADOW,
                Start,
                self.start,
                summary="Try a candidate policy beside the one in force",
                status=201,
                gives=StartedDocument,
                fails=(CandidateRefusedError, TrialRunningError),
            ),
            Route(
                "GET",
                path,
                READ,
                Nothing,
                self.status,
                summary="Show what the candidate would decide otherwise",
                gives=ShadowDocument,
                fails=(NoShadowError,),
            ),
            Route(
                "DELETE",
                path,
                SHADOW,
                Nothing,
                self.stop,
                summary="Stop trying the candidate",
                gives=ShadowDocument,
                fails=(NoShadowError,),
            ),
            self._promotion(f"{path}/promote"),
        )

    def _promotion(self, path: str) -> Route[Any]:
        return Route(
            "POST",
            path,
            PROMOTE,
            Promotion,
            self.promote,
            summary="Make the candidate the policy in force",
            gives=PromotedDocument,
            fails=(
                NoShadowError,
                OtherCandidateError,
                TooFewComparedError,
                CandidateRefusedError,
                PolicyEditedError,
                PolicyUnwritableError,
                NotInForceError,
            ),
        )

    async def start(self, visit: Visit, wish: Start) -> Answer:
        bundle = await self._loaded(wish.files)
        if await self.shadows.ledger.current() is not None:
            raise TrialRunningError
        in_force = self.grounds().bundle.version
        await self._record(visit, STARTED, wish.why, in_force, bundle.version)
        by = str(visit.principal.actor)
        try:
            shadow = await self.shadows.ledger.begin(bundle.version, bundle.sources, by)
        except ShadowRunningError:
            raise TrialRunningError from None
        self.shadows.adopt(shadow, bundle)
        told = {"version": shadow.version, "since": shadow.since, "by": by, "in_force": in_force}
        return Answer(201, orjson.dumps(told))

    async def status(self, visit: Visit, _nothing: Nothing) -> Answer:
        del visit
        return Answer(200, orjson.dumps(await self._told(await self._current())))

    async def stop(self, visit: Visit, _nothing: Nothing) -> Answer:
        shadow = await self._current()
        told = await self._told(shadow)
        await self._record(visit, STOPPED, None, shadow.version, None)
        if not await self.shadows.ledger.end(shadow.run):
            raise NoShadowError
        self.shadows.adopt(None, None)
        return Answer(200, orjson.dumps(told))

    async def promote(self, visit: Visit, wish: Promotion) -> Answer:
        shadow = await self._current()
        if shadow.version != wish.version:
            raise OtherCandidateError(version=shadow.version)
        compared = (await self._told(shadow))["compared"]
        if compared < wish.least:
            raise TooFewComparedError(compared=compared)
        if not self.shadows.is_trying(shadow):
            await self._loaded(shadow.sources)
        before = self.grounds().bundle

        async def record() -> None:
            await self._record(visit, PROMOTED, wish.why, before.version, shadow.version)

        try:
            await self.promoting.promote(shadow.version, shadow.sources, before.sources, record)
        except OtherPolicyError:
            raise PolicyEditedError from None
        except ReplacingError as error:
            raise PolicyUnwritableError(detail=error.detail) from error
        except NotAdoptedError as error:
            raise NotInForceError from error
        if await self.shadows.ledger.end(shadow.run):
            self.shadows.adopt(None, None)
        return Answer(200, orjson.dumps({"version": shadow.version, "before": before.version}))

    async def _loaded(self, files: Mapping[str, str]) -> Bundle:
        try:
            return await asyncio.to_thread(self.load, files)
        except PolicyError as error:
            problems = [_problem(one) for one in error.problems]
        except FailedTestsError as error:
            problems = [_placeless("failed-test", one) for one in error.problems]
        except BundleError as error:
            problems = [_placeless("allows-nothing", one) for one in error.problems]
        raise CandidateRefusedError(problems=problems)

    async def _current(self) -> Shadow:
        shadow = await self.shadows.ledger.current()
        if shadow is None:
            raise NoShadowError
        return shadow

    async def _told(self, shadow: Shadow) -> dict[str, Any]:
        found = await self.shadows.found(shadow)
        return {
            "version": shadow.version,
            "since": shadow.since,
            "by": shadow.by,
            "in_force": self.grounds().bundle.version,
            "compared": found.compared,
            "skipped": found.skipped,
            **{one.value.replace("-", "_"): found.counts[one] for one in Difference},
            "others": found.others,
            "groups": found.documents(),
        }

    async def _record(
        self, visit: Visit, what: str, why: str | None, before: object, after: object
    ) -> None:
        who = principal_document(visit.principal)
        await self.audit.changed(who, what, why=why or "", before=before, after=after)


def _problem(problem: Problem) -> dict[str, object]:
    file, line, column, end_line, end_column = problem.span
    return {
        "file": file,
        "line": line,
        "column": column,
        "end_line": end_line,
        "end_column": end_column,
        "severity": str(problem.severity),
        "code": problem.code,
        "message": problem.message,
        "hint": problem.hint,
    }


def _placeless(code: str, message: str) -> dict[str, object]:
    place = {"file": "", "line": 0, "column": 0, "end_line": 0, "end_column": 0}
    return {**place, "severity": "error", "code": code, "message": message, "hint": ""}
