"""Tokens: issued, listed, revoked, and asked who they are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Final, Literal

import orjson
from pydantic import Field, ValidationInfo, field_validator

from policies.model import Entity
from proxy.admin.authority import Authority
from proxy.admin.errors import InvalidError, UnknownTokenError
from proxy.admin.issuing import Author, Issuing, issued_document, wanted_for
from proxy.admin.outputs import NewToken, RevokedTokens, TokenDocument, TokensPage, WhoAmI
from proxy.admin.revoking import Revoking, Which
from proxy.admin.routes import Access, Input, Nothing, Route, Visit
from proxy.admin.wording import Text, moment_of
from proxy.audit import principal_document
from proxy.identity.claims import SCOPE
from proxy.identity.issue import SHORTEST_LIFE_SECONDS
from proxy.identity.keyring import Plane
from proxy.identity.principal import ActorType, Principal
from proxy.listener.answers import Answer
from proxy.wire.names import UnnameableError, check_server
from storage.tokens import TokenRecord

ISSUE: Final = "issue_tokens"
USUAL_LIFE_SECONDS: Final = 12 * 3600

_MANAGES: Final = {ActorType.CLIENT: "manage_clients", ActorType.USER: "manage_users"}
_PAGE: Final = 50
_LARGEST_PAGE: Final = 500


@dataclass(frozen=True, slots=True)
class Terms:
    """On which terms tokens are issued; lives are in seconds.

    *gateway_wide* allows tokens for `public_url`, which are good at every data endpoint.
    """

    public_url: str
    admin_url: str
    longest_life: int
    gateway_wide: bool = True

    @property
    def usual_life(self) -> int:
        return min(USUAL_LIFE_SECONDS, self.longest_life)

    def is_audience(self, text: str) -> bool:
        """Tell whether *text* is an address of ours that tokens may be for."""
        if text == self.public_url:
            return self.gateway_wide or text == self.admin_url
        return text == self.admin_url or self._is_server(text)

    def _is_server(self, text: str) -> bool:
        before, after = f"{self.public_url}/servers/", "/mcp"
        if not (text.startswith(before) and text.endswith(after)):
            return False
        try:
            check_server(text.removeprefix(before).removesuffix(after))
        except UnnameableError:
            return False
        return True


class Wish(Input):
    """What a token shall be good for. Validated on `Terms`."""

    ttl_seconds: int | None = Field(None, ge=SHORTEST_LIFE_SECONDS)
    audience: Annotated[str, Field(max_length=2048)] | None = None
    scope: list[Annotated[str, Field(max_length=128)]] = Field([], max_length=32)

    @field_validator("ttl_seconds")
    @classmethod
    def _lives(cls, value: int | None, info: ValidationInfo) -> int | None:
        longest = _terms(info).longest_life
        if value is not None and value > longest:
            raise ValueError(f"A token lives {longest} seconds at most.")
        return value

    @field_validator("audience")
    @classmethod
    def _is_ours(cls, value: str | None, info: ValidationInfo) -> str | None:
        terms = _terms(info)
        if not terms.is_audience(terms.public_url if value is None else value):
            raise ValueError(
                f"A token is for one address of this gateway, such as "
                f"{terms.public_url}/servers/NAME/mcp."
            )
        return value

    @field_validator("scope")
    @classmethod
    def _is_scope(cls, value: list[str]) -> list[str]:
        if not all(" " not in word and SCOPE.fullmatch(word) for word in value):
            raise ValueError("A scope is visible ASCII without spaces, quotes and backslashes.")
        return value


_Subject = Annotated[str, Field(pattern=r"^(client|user):[\x21-\x39\x3b-\x7e]{1,128}$")]


class TokenRevocation(Input):
    """Which tokens to revoke: those that all of this is true of, and why."""

    subject: _Subject | None = None
    issued_before: Annotated[str, Field(max_length=64)] | None = None
    plane: Literal["data", "control"] | None = None
    why: Text = ""

    @field_validator("issued_before")
    @classmethod
    def _is_time(cls, value: str | None) -> str | None:
        if value is not None:
            moment_of(value)
        return value

    def which(self, but: str) -> Which:
        """Return what is meant, without the token *but*."""
        before = None if self.issued_before is None else moment_of(self.issued_before)
        plane = None if self.plane is None else Plane(self.plane)
        return Which(self.subject, before, plane, but)


class Page(Input):
    """Which tokens to list, the newest first."""

    subject: _Subject | None = None
    limit: int = Field(_PAGE, ge=1, le=_LARGEST_PAGE)
    before: str | None = Field(None, min_length=1, max_length=128)


class Tokens:
    """The tokens of clients and users."""

    def __init__(
        self,
        authority: Authority,
        issuing: Issuing,
        terms: Terms,
        revoking: Revoking,
    ) -> None:
        self._authority = authority
        self._issuing = issuing
        self._terms = terms
        self._revoking = revoking

    def routes(self) -> tuple[Route[Any], ...]:
        return (*self._of_holders(), *self._of_all())

    def _of_holders(self) -> tuple[Route[Any], ...]:
        api, terms = "/api/v0", self._terms
        return (
            Route(
                "GET",
                f"{api}/whoami",
                Access.IDENTIFIED,
                Nothing,
                self.whoami,
                summary="Show who the token is for",
                gives=WhoAmI,
            ),
            Route(
                "POST",
                f"{api}/clients/{{name}}/tokens",
                ISSUE,
                Wish,
                self.for_client,
                terms,
                summary="Issue a token to a client",
                status=201,
                gives=NewToken,
            ),
            Route(
                "POST",
                f"{api}/users/{{name}}/tokens",
                ISSUE,
                Wish,
                self.for_user,
                terms,
                summary="Issue a token to a user",
                status=201,
                gives=NewToken,
            ),
        )

    def _of_all(self) -> tuple[Route[Any], ...]:
        path = "/api/v0/tokens"
        return (
            Route(
                "GET",
                path,
                ISSUE,
                Page,
                self.listed,
                summary="List tokens, the newest first",
                gives=TokensPage,
            ),
            Route(
                "POST",
                f"{path}/revoke",
                ISSUE,
                TokenRevocation,
                self.revoke_many,
                summary="Revoke all tokens of a subject or from before a moment",
                gives=RevokedTokens,
            ),
            Route(
                "DELETE",
                f"{path}/{{token_id}}",
                ISSUE,
                Nothing,
                self.revoke,
                summary="Revoke a token",
                gives=TokenDocument,
                fails=(UnknownTokenError,),
            ),
        )

    async def whoami(self, visit: Visit, _nothing: Nothing) -> Answer:
        principal = visit.principal
        document = principal_document(principal) | {
            "audience": principal.audience,
            "expires_at": principal.expires_at,
            "scope": sorted(principal.scope),
        }
        return Answer(200, orjson.dumps(document))

    async def for_client(self, visit: Visit, wish: Wish) -> Answer:
        return await self._issue(visit, ActorType.CLIENT, wish)

    async def for_user(self, visit: Visit, wish: Wish) -> Answer:
        return await self._issue(visit, ActorType.USER, wish)

    async def listed(self, visit: Visit, page: Page) -> Answer:
        del visit
        found = await self._issuing.ledger.listed(
            subject=page.subject, limit=page.limit + 1, before=page.before
        )
        shown = found[: page.limit]
        more = shown[-1].issued.jti if len(found) > len(shown) else None
        document = {"tokens": [_listed(one) for one in shown], "next": more}
        return Answer(200, orjson.dumps(document))

    async def revoke(self, visit: Visit, _nothing: Nothing) -> Answer:
        token = await self._found(visit.names["token_id"])
        plane, issued = Plane(token.issued.plane), token.issued
        await self._require_over(visit, plane, issued.subject)
        if token.revoked_at is None:
            await self._revoking.revoke(token, _author(visit.principal), "")
            token = await self._found(issued.jti)
        else:
            # It may have failed half-way: to refuse one token more is always safe.
            self._revoking.refuse(issued)
        return Answer(200, orjson.dumps(_listed(token)))

    async def revoke_many(self, visit: Visit, wish: TokenRevocation) -> Answer:
        """Revoke tokens, but not the one that this is asked with."""
        if wish.subject is None and wish.issued_before is None:
            problem = "Name a subject or issued_before, so that not all is revoked by mistake."
            raise InvalidError(problems=[{"field": "subject", "problem": problem}])
        which = wish.which(visit.principal.token_id)
        await self._require_over_all(visit, which)
        count = await self._revoking.revoke_all(which, _author(visit.principal), wish.why)
        return Answer(200, orjson.dumps({"revoked": count}))

    async def _require_over_all(self, visit: Visit, which: Which) -> None:
        plane = which.plane or Plane.CONTROL
        if which.subject is not None:
            await self._require_over(visit, plane, which.subject)
        elif plane is Plane.CONTROL:
            for action in _MANAGES.values():
                await self._authority.require(visit, action)

    async def _found(self, token_id: str) -> TokenRecord:
        token = await self._issuing.ledger.find(token_id)
        if token is None:
            raise UnknownTokenError
        return token

    async def _issue(self, visit: Visit, type_: ActorType, wish: Wish) -> Answer:
        terms, name = self._terms, visit.names["name"]
        audience, life = wish.audience or terms.public_url, wish.ttl_seconds or terms.usual_life
        plane = Plane.CONTROL if audience == terms.admin_url else Plane.DATA
        await self._require_over(visit, plane, type_.prefix + name, frozenset(wish.scope))
        wanted = wanted_for(type_, name, audience, life, tuple(wish.scope))
        token = await self._issuing.issue(plane, wanted, _author(visit.principal))
        document = {
            "token": token.text.reveal().decode(),
            "token_id": token.token_id,
            "subject": token.subject,
            "audience": audience,
            "issued_at": token.issued_at,
            "expires_at": token.expires_at,
        }
        return Answer(201, orjson.dumps(document))

    async def _require_over(
        self, visit: Visit, plane: Plane, subject: str, scope: frozenset[str] = frozenset()
    ) -> None:
        """Let nobody act on the control plane as somebody else, or as more than he is (T08).

        Raises as `Authority.require` does.
        """
        if plane is Plane.DATA:
            return
        principal = visit.principal
        is_alone = principal.acts_for is None and principal.subject == subject
        if is_alone and scope <= principal.scope:
            return
        type_ = next(one for one in ActorType if subject.startswith(one.prefix))
        await self._authority.require(visit, _MANAGES[type_])


def _terms(info: ValidationInfo) -> Terms:
    if not isinstance(info.context, Terms):
        raise TypeError("A wish is validated on terms.")
    return info.context


def _author(principal: Principal) -> Author:
    actor: Entity = principal.actor
    return Author(principal_document(principal), f"{actor.type}:{actor.id}")


def _listed(token: TokenRecord) -> dict[str, Any]:
    issued, revoked_at = token.issued, token.revoked_at
    return issued_document(issued) | {
        "client_id": issued.client_id,
        "issued_by": issued.issued_by,
        "revoked_at": None if revoked_at is None else int(revoked_at),
        "revoked_by": token.revoked_by,
    }
