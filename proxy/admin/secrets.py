"""Credentials of clients: secrets, shown once, and public keys."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import orjson
from pydantic import Field, field_validator

from proxy.admin.errors import ApiError
from proxy.admin.keys import author_of
from proxy.admin.outputs import (
    NewSecretDocument,
    PublicKeyDocument,
    PublicKeysDocument,
    SecretDocument,
    SecretsDocument,
)
from proxy.admin.routes import Input, Nothing, Route, Visit
from proxy.admin.tokens import ISSUE
from proxy.audit import Audit
from proxy.identity.keys import UnfitKeyError, read_jwk, thumbprint
from proxy.identity.marking import Marks
from proxy.listener.answers import Answer
from storage.credentials import (
    MOST_OF_A_KIND,
    Credential,
    CredentialKind,
    CredentialKnownError,
    CredentialLedger,
    TooManyCredentialsError,
)

ADDED: Final = "credential.added"
REMOVED: Final = "credential.removed"
"""What records call these changes."""

YEAR_SECONDS: Final = 366 * 86_400
"""How long a secret lives, unless it is wanted for less."""

_LEAST_SECONDS: Final = 60
_CLIENT: Final = "/api/v0/clients/{name}"
_MOST_KEY_ID: Final = 256
# The public key of RFC 8037, appendix A.2.
_EXAMPLE: Final = {
    "jwk": {
        "kty": "OKP",
        "crv": "Ed25519",
        "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo",
    }
}
_MEMBERS: Final = ("kty", "crv", "x", "y", "n", "e")


class UnknownCredentialError(ApiError):
    status = 404
    code = "unknown-credential"
    public = "The client has no credential with this id; list its credentials to find it."


class KnownKeyError(ApiError):
    status = 409
    code = "credential-known"
    public = CredentialKnownError.public


class TooManyError(ApiError):
    status = 409
    code = "too-many-credentials"
    public = TooManyCredentialsError.public


class NewSecret(Input):
    """For how long a secret is wanted."""

    ttl_seconds: int = Field(YEAR_SECONDS, ge=_LEAST_SECONDS, le=YEAR_SECONDS)


class NewKey(Input):
    """A public JSON web key (RFC 7517), and for how long it is good; else until it is removed."""

    jwk: dict[str, Any]
    ttl_seconds: int | None = Field(None, ge=_LEAST_SECONDS)

    @field_validator("jwk")
    @classmethod
    def _is_public(cls, value: dict[str, Any]) -> dict[str, Any]:
        key_id = value.get("kid", "")
        if not isinstance(key_id, str) or len(key_id) > _MOST_KEY_ID or not key_id.isascii():
            raise ValueError(f"A kid is a text of {_MOST_KEY_ID} ASCII characters at most.")
        try:
            read_jwk(value)
        except UnfitKeyError as error:
            raise ValueError(str(error)) from None
        return value


@dataclass(frozen=True, slots=True)
class Secrets:
    """Credentials in *ledger*. *clock* tells the seconds since the epoch."""

    ledger: CredentialLedger
    marks: Marks
    audit: Audit
    clock: Callable[[], float]

    def routes(self) -> tuple[Route[Any], ...]:
        return (*self._of_secrets(), *self._of_keys())

    def _of_secrets(self) -> tuple[Route[Any], ...]:
        path = f"{_CLIENT}/secrets"
        return (
            Route(
                "POST",
                path,
                ISSUE,
                NewSecret,
                self.add_secret,
                summary="Make a secret for a client",
                status=201,
                gives=NewSecretDocument,
                fails=(TooManyError,),
            ),
            Route(
                "GET",
                path,
                ISSUE,
                Nothing,
                self.secrets,
                summary="List the secrets of a client",
                gives=SecretsDocument,
            ),
            Route(
                "DELETE",
                f"{path}/{{secret_id}}",
                ISSUE,
                Nothing,
                self.remove_secret,
                summary="Remove a secret of a client",
                gives=SecretDocument,
                fails=(UnknownCredentialError,),
            ),
        )

    def _of_keys(self) -> tuple[Route[Any], ...]:
        path = f"{_CLIENT}/keys"
        return (
            Route(
                "POST",
                path,
                ISSUE,
                NewKey,
                self.add_key,
                summary="Add a public key of a client",
                example=_EXAMPLE,
                status=201,
                gives=PublicKeyDocument,
                fails=(KnownKeyError, TooManyError),
            ),
            Route(
                "GET",
                path,
                ISSUE,
                Nothing,
                self.keys,
                summary="List the public keys of a client",
                gives=PublicKeysDocument,
            ),
            Route(
                "DELETE",
                f"{path}/{{key_id}}",
                ISSUE,
                Nothing,
                self.remove_key,
                summary="Remove a public key of a client",
                gives=PublicKeyDocument,
                fails=(UnknownCredentialError,),
            ),
        )

    async def add_secret(self, visit: Visit, wanted: NewSecret) -> Answer:
        text = self.marks.new_secret().reveal().decode()
        added = await self._add(visit, "secret", self.marks.mark(text), wanted.ttl_seconds)
        document = shown(added) | {"client_id": added.client, "client_secret": text}
        return Answer(201, orjson.dumps(document))

    async def add_key(self, visit: Visit, wanted: NewKey) -> Answer:
        algorithm, public = read_jwk(wanted.jwk)
        # What was read is kept, and not what else was sent.
        names = {"alg": algorithm.value, "kid": wanted.jwk.get("kid") or thumbprint(public)}
        kept = {name: wanted.jwk[name] for name in _MEMBERS if name in wanted.jwk} | names
        content = orjson.dumps(kept, option=orjson.OPT_SORT_KEYS).decode()
        added = await self._add(visit, "key", content, wanted.ttl_seconds)
        return Answer(201, orjson.dumps(shown(added)))

    async def secrets(self, visit: Visit, _nothing: Nothing) -> Answer:
        return await self._listed(visit, "secret")

    async def keys(self, visit: Visit, _nothing: Nothing) -> Answer:
        return await self._listed(visit, "key")

    async def remove_secret(self, visit: Visit, _nothing: Nothing) -> Answer:
        return await self._remove(visit, "secret")

    async def remove_key(self, visit: Visit, _nothing: Nothing) -> Answer:
        return await self._remove(visit, "key")

    async def _add(
        self, visit: Visit, kind: CredentialKind, content: str, life: int | None
    ) -> Credential:
        client, author, now = visit.names["name"], author_of(visit.principal), self.clock()
        credential = Credential(
            id=secrets.token_hex(8),
            client=client,
            kind=kind,
            content=content,
            created_at=now,
            created_by=author.name,
            expires_at=None if life is None else int(now) + life,
        )
        alike = [one for one in await self._of(client, kind) if one.is_good(now)]
        if any(one.content == content for one in alike):
            raise KnownKeyError
        if len(alike) >= MOST_OF_A_KIND:
            raise TooManyError
        await self.audit.changed(author.document, ADDED, after=_recorded(credential))
        await self.ledger.add(credential)
        return credential

    async def _listed(self, visit: Visit, kind: CredentialKind) -> Answer:
        found = await self._of(visit.names["name"], kind)
        return Answer(200, orjson.dumps({f"{kind}s": [shown(one) for one in found]}))

    async def _remove(self, visit: Visit, kind: CredentialKind) -> Answer:
        client, wanted = visit.names["name"], visit.names[f"{kind}_id"]
        found = next((one for one in await self._of(client, kind) if one.id == wanted), None)
        if found is None:
            raise UnknownCredentialError
        author = author_of(visit.principal)
        await self.audit.changed(author.document, REMOVED, before=_recorded(found))
        await self.ledger.remove(client, wanted)
        return Answer(200, orjson.dumps(shown(found)))

    async def _of(self, client: str, kind: CredentialKind) -> list[Credential]:
        return [one for one in await self.ledger.of(client) if one.kind == kind]


def shown(one: Credential) -> dict[str, Any]:
    """Return *one* as answers name it: of a secret nothing, of a public key all."""
    document: dict[str, Any] = {
        f"{one.kind}_id": one.id,
        "created_at": int(one.created_at),
        "created_by": one.created_by,
        "expires_at": None if one.expires_at is None else int(one.expires_at),
    }
    return document if one.kind == "secret" else document | {"jwk": orjson.loads(one.content)}


def _recorded(one: Credential) -> dict[str, Any]:
    document = {"client": one.client, "kind": one.kind, "credential": one.id}
    return document | {"expires_at": shown(one)["expires_at"]}
