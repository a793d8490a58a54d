"""How the first administrator gets a token: with the secret that the gateway printed."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any, Final

import orjson
from pydantic import Field

from policies.model import Entity, Fact
from proxy.admin.errors import AlreadyInitialisedError, TooManyAttemptsError, WrongSecretError
from proxy.admin.issuing import Author, Issuing, wanted_for
from proxy.admin.keys import KeysUnusableError
from proxy.admin.outputs import AdminToken
from proxy.admin.routes import Access, Input, Route, Visit
from proxy.admin.tokens import Terms
from proxy.audit import Audit
from proxy.identity.bootstrap import Bootstrap
from proxy.identity.keyring import Plane
from proxy.identity.principal import ActorType
from proxy.identity.sealing import DamagedError, MasterKeyError
from proxy.listener.answers import Answer
from proxy.observer import Observer
from proxy.standing import Standing
from proxy.telemetry.labels import WRONG_SECRET
from storage.facts import Change

ADMIN: Final = "admin"
FIRST_ADMIN: Final = Fact("has_role", (Entity("User", ADMIN), "admin"))

_MOST_WRONG: Final = 5
_WINDOW_SECONDS: Final = 60.0

_AUTHOR: Final = Author({"type": "System", "id": "bootstrap"}, "System:bootstrap")


class Beginning(Input):
    """The secret that was printed at the first start."""

    secret: str = Field(min_length=1, max_length=256)


class Init:
    """Spends the bootstrap secret. *monotonic* tells seconds."""

    def __init__(
        self,
        bootstrap: Bootstrap,
        issuing: Issuing,
        terms: Terms,
        observer: Observer,
        monotonic: Callable[[], float],
        standing: Standing,
        audit: Audit,
    ) -> None:
        self._bootstrap = bootstrap
        self._issuing = issuing
        self._terms = terms
        self._observer = observer
        self._monotonic = monotonic
        self._standing = standing
        self._audit = audit
        self._wrong: deque[float] = deque(maxlen=_MOST_WRONG)

    def routes(self) -> tuple[Route[Any], ...]:
        return (
            Route(
                "POST",
                "/init",
                Access.ANYBODY,
                Beginning,
                self.begin,
                summary="Get the first administrator's token for the bootstrap secret",
                status=201,
                gives=AdminToken,
                fails=(
                    AlreadyInitialisedError,
                    KeysUnusableError,
                    TooManyAttemptsError,
                    WrongSecretError,
                ),
            ),
        )

    async def begin(self, visit: Visit, beginning: Beginning) -> Answer:
        await self._spend(visit, beginning.secret)
        terms = self._terms
        wanted = wanted_for(ActorType.USER, ADMIN, terms.admin_url, terms.longest_life)
        why = "the bootstrap secret was spent"
        await self._restore(why)
        token = await self._issuing.issue(Plane.CONTROL, wanted, _AUTHOR, why)
        document = {
            "admin_access_token": token.text.reveal().decode(),
            "token_id": token.token_id,
            "subject": token.subject,
            "audience": wanted.audience,
            "issued_at": token.issued_at,
            "expires_at": token.expires_at,
        }
        return Answer(201, orjson.dumps(document))

    async def _restore(self, why: str) -> None:
        """Give the administrator the role again, if it was taken away: a token alone gives none."""
        if self._standing.grounds.facts.origins(FIRST_ADMIN):
            return
        after = {"user": ADMIN, "roles": [ADMIN]}
        await self._audit.changed(_AUTHOR.document, "admin.restored", why=why, after=after)
        await self._standing.change(Change((FIRST_ADMIN,), (), "bootstrap", _AUTHOR.name, why))

    async def _spend(self, visit: Visit, secret: str) -> None:
        # Before anything is read: a stranger's guesses must cost the database nothing.
        attempt = self._counted()
        if not await self._bootstrap.is_open():
            raise AlreadyInitialisedError
        try:
            is_right = await self._bootstrap.spend(secret)
        except (MasterKeyError, DamagedError) as error:
            raise KeysUnusableError from error
        if is_right:
            self._wrong.remove(attempt)
            return
        if not await self._bootstrap.is_open():
            # Somebody else spent it meanwhile.
            raise AlreadyInitialisedError
        # A stranger's mistake is counted and not recorded: he must not fill the disk.
        self._observer.refused(WRONG_SECRET, visit.address)
        raise WrongSecretError

    def _counted(self) -> float:
        """Count an attempt as wrong before it is known to be, for many may come at once."""
        now = self._monotonic()
        is_full = len(self._wrong) == _MOST_WRONG
        if is_full and now - self._wrong[0] < _WINDOW_SECONDS:
            raise TooManyAttemptsError(((b"Retry-After", b"60"),))
        self._wrong.append(now)
        return now
