"""How a client proves who it is: by a secret, or by a key of its own."""

from __future__ import annotations

import hmac
from base64 import b64decode
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import unquote_plus

import orjson

from policies.model import Entity
from proxy.identity.keys import TrustedKey, read_jwk, thumbprint
from proxy.identity.marking import Marks
from proxy.identity.principal import ActorType, is_name
from proxy.oauth.assertions import Assertion, BadAssertionError, proved, read_assertion
from proxy.oauth.errors import MalformedRequestError, UnknownClientError
from proxy.standing import Standing
from storage.credentials import Credential, CredentialLedger

METHODS: Final = ("client_secret_basic", "private_key_jwt")

_ASSERTION_TYPE: Final = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"


@dataclass(frozen=True, slots=True)
class BySecret:
    """Somebody who says that he is *client*, and shows a secret."""

    client: str
    secret: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class ByKey:
    """Somebody who says that he is *client*, and shows an assertion."""

    client: str
    assertion: Assertion = field(repr=False)


def presented(headers: Iterable[tuple[str, str]], form: Mapping[str, str]) -> BySecret | ByKey:
    """Return who sends a request, as he says (RFC 6749 section 2.3, RFC 7523 section 2.2).

    Raises `MalformedRequestError` for two ways at once, `UnknownClientError` for none that is
    offered.
    """
    held = [value for name, value in headers if name.lower() == "authorization"]
    has_assertion = "client_assertion" in form or "client_assertion_type" in form
    if len(held) + has_assertion + ("client_secret" in form) > 1:
        raise MalformedRequestError
    if held:
        shown: BySecret | ByKey = _by_secret(held[0])
    elif has_assertion:
        shown = _by_key(form)
    else:
        raise UnknownClientError
    if not is_name(shown.client) or form.get("client_id", shown.client) != shown.client:
        raise UnknownClientError
    return shown


def _by_secret(value: str) -> BySecret:
    scheme, _, encoded = value.strip(" \t").partition(" ")
    if scheme.lower() != "basic":
        raise UnknownClientError
    try:
        client, colon, secret = b64decode(encoded.strip(), validate=True).decode().partition(":")
    except ValueError:
        raise UnknownClientError from None
    if not colon:
        raise UnknownClientError
    # Both are form-encoded first: RFC 6749 section 2.3.1.
    return BySecret(unquote_plus(client), unquote_plus(secret))


def _by_key(form: Mapping[str, str]) -> ByKey:
    if form.get("client_assertion_type") != _ASSERTION_TYPE:
        raise UnknownClientError
    try:
        assertion = read_assertion(form.get("client_assertion", ""))
    except BadAssertionError:
        raise UnknownClientError from None
    return ByKey(assertion.subject, assertion)


class Clients:
    """Tells clients from strangers.

    *audiences* are what assertions may be made for; *clock* tells the seconds since the epoch.
    """

    def __init__(
        self,
        ledger: CredentialLedger,
        marks: Marks,
        standing: Standing,
        audiences: frozenset[str],
        clock: Callable[[], float],
    ) -> None:
        self._ledger = ledger
        self._marks = marks
        self._standing = standing
        self._audiences = audiences
        self._clock = clock

    async def known(self, shown: BySecret | ByKey) -> Credential:
        """Return by which credential the client is known.

        Raises `UnknownClientError`, for suspended ones too, and `StateError`. An assertion is good
        once.
        """
        now = self._clock()
        good = [one for one in await self._ledger.of(shown.client) if one.is_good(now)]
        if isinstance(shown, BySecret):
            credential = self._with_secret(good, shown.secret)
        else:
            credential = await self._with_key(good, shown, now)
        if self._is_suspended(shown.client, now):
            raise UnknownClientError
        return credential

    def _with_secret(self, good: list[Credential], secret: str) -> Credential:
        mark = self._marks.mark(secret)
        secrets = [one for one in good if one.kind == "secret"]
        found = [one for one in secrets if hmac.compare_digest(mark, one.content)]
        if not found:
            raise UnknownClientError
        return found[0]

    async def _with_key(self, good: list[Credential], shown: ByKey, now: float) -> Credential:
        keys = list(_keys(good))
        try:
            proof = proved(shown.assertion, [key for key, _ in keys], self._audiences, now)
        except BadAssertionError:
            raise UnknownClientError from None
        found = next(credential for key, credential in keys if key is proof.key)
        if not await self._ledger.spend(shown.client, proof.assertion_id, proof.ends_at):
            raise UnknownClientError
        return found

    def _is_suspended(self, client: str, now: float) -> bool:
        engine = self._standing.grounds.engine
        actor = Entity(ActorType.CLIENT.value, client)
        return bool(engine.holds("is_suspended", (actor,), None, int(now)))


def _keys(good: list[Credential]) -> Iterator[tuple[TrustedKey, Credential]]:
    for one in good:
        if one.kind == "key":
            document = orjson.loads(one.content)
            algorithm, public = read_jwk(document)
            yield TrustedKey(document.get("kid") or thumbprint(public), algorithm, public), one
