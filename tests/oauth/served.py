"""A whole gateway, an administrator at its control listener, and whoever asks for tokens."""

from __future__ import annotations

import json
import time
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote_plus, urlencode
from uuid import uuid4

import aiohttp
import jwt

from proxy.identity.issue import TokenRequest
from proxy.identity.keyring import Plane
from proxy.identity.keys import Algorithm, SigningKey, generate, jwk
from proxy.identity.principal import ActorType
from tests.gateway.harness import PUBLIC_URL, Rig

ADMIN_URL = "http://localhost:8081"
RESOURCE = f"{PUBLIC_URL}/servers/up/mcp"
TOKEN_URL = f"{PUBLIC_URL}/oauth/token"
ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
FAST = {"tokens.requests_per_second": 100_000}

Form = Mapping[str, str] | str | bytes


@dataclass(frozen=True, slots=True)
class Told:
    """An answer, read."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def document(self) -> Any:  # noqa: ANN401  whatever the JSON holds
        return json.loads(self.body)

    @property
    def error(self) -> str | None:
        found: str | None = self.document.get("error")
        return found


async def ask(
    url: str, method: str, *, data: bytes | None = None, headers: Mapping[str, str] | None = None
) -> Told:
    async with (
        aiohttp.ClientSession(trust_env=False) as session,
        session.request(method, url, data=data, headers=headers, allow_redirects=False) as answer,
    ):
        return Told(answer.status, answer.headers, await answer.read())


def control_token(rig: Rig, who: str = "admin", type_: ActorType = ActorType.USER) -> str:
    plane = rig.gateway.tokens[Plane.CONTROL]
    holder = "northgate" if type_ is ActorType.USER else who
    wanted = TokenRequest(type_, who, ADMIN_URL, 600, holder)
    return plane.issuer.issue(wanted).text.reveal().decode()


async def manage(
    rig: Rig, method: str, path: str, wish: object = None, *, token: str | None = None
) -> Told:
    """Ask the control plane, as the administrator unless *token* is another's."""
    host, port = rig.gateway.control
    headers = {"Authorization": f"Bearer {control_token(rig) if token is None else token}"}
    data = None
    if wish is not None:
        data, headers["Content-Type"] = json.dumps(wish).encode(), "application/json"
    return await ask(f"http://{host}:{port}/api/v0/{path}", method, data=data, headers=headers)


async def new_secret(rig: Rig, client: str = "ci", **wish: object) -> str:
    told = await manage(rig, "POST", f"clients/{client}/secrets", wish)
    assert told.status == 201, told.body
    secret: str = told.document["client_secret"]
    return secret


async def new_key(
    rig: Rig, client: str = "ci", algorithm: Algorithm = Algorithm.EDDSA
) -> SigningKey:
    key = generate(algorithm)
    told = await manage(rig, "POST", f"clients/{client}/keys", {"jwk": jwk(algorithm, key.public)})
    assert told.status == 201, told.body
    return key


def basic(client: str, secret: str) -> dict[str, str]:
    pair = f"{quote_plus(client)}:{quote_plus(secret)}"
    return {"Authorization": f"Basic {b64encode(pair.encode()).decode()}"}


def wanting(**changes: str | None) -> dict[str, str]:
    """Return the form of a good request, but for *changes*; None leaves a parameter out."""
    form = {"grant_type": "client_credentials", "resource": RESOURCE} | changes
    return {name: value for name, value in form.items() if value is not None}


async def post(
    rig: Rig, form: Form, headers: Mapping[str, str] | None = None, *, path: str = "/oauth/token"
) -> Told:
    """Send a token request as it is."""
    if isinstance(form, Mapping):
        form = urlencode(form)
    data = form.encode() if isinstance(form, str) else form
    media = {"Content-Type": "application/x-www-form-urlencoded"}
    url = f"http://{rig.host}{path}"
    return await ask(url, "POST", data=data, headers=media | dict(headers or {}))


def claims(client: str = "ci", **changes: object) -> dict[str, object]:
    """Return the claims of a good assertion, but for *changes*; `...` leaves a claim out."""
    now = int(time.time())
    found: dict[str, object] = {
        "iss": client,
        "sub": client,
        "aud": PUBLIC_URL,
        "exp": now + 120,
        "iat": now,
        "jti": str(uuid4()),
    }
    return {name: value for name, value in (found | changes).items() if value is not ...}


def signed(
    key: SigningKey,
    said: Mapping[str, object],
    headers: Mapping[str, Any] | None = None,
    algorithm: str | None = None,
) -> str:
    """Return *said* as an assertion, written by the library that clients use."""
    private = key._private  # noqa: SLF001  as its owner has it
    name = algorithm or key.algorithm.value
    return jwt.encode(dict(said), private, name, headers=dict(headers or {}))


def by_key(assertion: str, **changes: str | None) -> dict[str, str]:
    shown = {"client_assertion_type": ASSERTION_TYPE, "client_assertion": assertion}
    return wanting(**shown, **changes)
