"""The Python SDK from the first 401 to the call: it finds everything, and is given nothing else."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass, field

import httpx2
import pytest
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from mcp import Client
from mcp.client.auth import OAuthClientProvider, OAuthTokenError
from mcp.client.auth.extensions.client_credentials import (
    ClientCredentialsOAuthProvider,
    PrivateKeyJWTOAuthProvider,
    SignedJWTParameters,
)
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.auth import OAuthClientInformationFull, OAuthToken
from mcp.types import TextContent

from proxy.identity.keys import Algorithm, SigningKey
from tests.gateway.harness import CI, Rig, free_port, may, shared
from tests.live.servers import dual_era
from tests.oauth.served import FAST, manage, new_key, new_secret

SERVER = "dual"
MODES = [("auto", "2026-07-28"), ("legacy", "2025-11-25"), ("2026-07-28", "2026-07-28")]
each_mode = pytest.mark.parametrize(("mode", "version"), MODES, ids=[mode for mode, _ in MODES])


@dataclass
class Memory:
    """Where the client keeps what it was given."""

    tokens: OAuthToken | None = None
    info: OAuthClientInformationFull | None = None

    async def get_tokens(self) -> OAuthToken | None:
        return self.tokens

    async def set_tokens(self, tokens: OAuthToken) -> None:
        self.tokens = tokens

    async def get_client_info(self) -> OAuthClientInformationFull | None:
        return self.info

    async def set_client_info(self, client_info: OAuthClientInformationFull) -> None:
        self.info = client_info


@dataclass
class Place:
    """A gateway at the address that its settings name, and the steps of whoever calls it."""

    rig: Rig
    issuer: str
    steps: list[tuple[str, str, int]] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"{self.issuer}/servers/{SERVER}/mcp"

    @asynccontextmanager
    async def connected(self, auth: OAuthClientProvider, mode: str) -> AsyncIterator[Client]:
        self.steps.clear()

        async def note(response: httpx2.Response) -> None:
            request = response.request
            self.steps.append((request.method, request.url.path, response.status_code))

        hooks = {"response": [note]}
        async with httpx2.AsyncClient(auth=auth, trust_env=False, event_hooks=hooks) as http:
            transport = streamable_http_client(self.url, http_client=http)
            async with Client(transport, mode=mode, read_timeout_seconds=30) as client:
                yield client

    async def sums(self, auth: OAuthClientProvider, mode: str) -> tuple[str, str]:
        """Return the version that a client comes to, and what a call gives it."""
        async with self.connected(auth, mode) as client:
            (block,) = (await client.call_tool("add", {"a": 2, "b": 3})).content
            assert isinstance(block, TextContent)
            return client.protocol_version, block.text


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    address = f"127.0.0.1:{free_port()}"
    issuer = f"http://{address}"
    with ExitStack() as stack:
        rig = stack.enter_context(
            shared(
                tmp_path_factory.mktemp("real"),
                speeches={},
                urls={SERVER: stack.enter_context(dual_era()).url},
                facts=(may(CI, "caller", "Server", SERVER),),
                settings=FAST | {"public_url": issuer, "data.listen": address},
            )
        )
        yield Place(rig, issuer)


def with_secret(place: Place, secret: str, client: str = CI) -> OAuthClientProvider:
    return ClientCredentialsOAuthProvider(
        server_url=place.url,
        storage=Memory(),
        client_id=client,
        client_secret=secret,
        scope="mcp",
        issuer=place.issuer,
    )


def with_key(place: Place, key: SigningKey, client: str = CI) -> OAuthClientProvider:
    private = key._private  # noqa: SLF001  as its owner has it
    pem = private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    parameters = SignedJWTParameters(
        issuer=client, subject=client, signing_key=pem, signing_algorithm=key.algorithm.value
    )
    return PrivateKeyJWTOAuthProvider(
        server_url=place.url,
        storage=Memory(),
        client_id=client,
        assertion_provider=parameters.create_assertion_provider(),
        issuer=place.issuer,
    )


@each_mode
def test_a_client_with_a_secret_finds_its_way_to_the_call(
    place: Place, mode: str, version: str
) -> None:
    async def story() -> tuple[str, str]:
        secret = await new_secret(place.rig)
        return await place.sums(with_secret(place, secret), mode)

    assert place.rig.run(story()) == (version, "5")
    path = f"/servers/{SERVER}/mcp"
    assert place.steps[:5] == [
        ("POST", path, 401),
        ("GET", f"/.well-known/oauth-protected-resource{path}", 200),
        ("GET", "/.well-known/oauth-authorization-server", 200),
        ("POST", "/oauth/token", 200),
        ("POST", path, 200),
    ]
    assert {status for _, _, status in place.steps[5:]} <= {200, 202, 204, 405}


@pytest.mark.parametrize("algorithm", list(Algorithm))
@each_mode
def test_a_client_with_a_key_finds_its_way_to_the_call(
    place: Place, mode: str, version: str, algorithm: Algorithm
) -> None:
    async def story() -> tuple[str, str]:
        key = await new_key(place.rig, algorithm=algorithm)
        try:
            return await place.sums(with_key(place, key), mode)
        finally:
            listed = await manage(place.rig, "GET", f"clients/{CI}/keys")
            for one in listed.document["keys"]:
                await manage(place.rig, "DELETE", f"clients/{CI}/keys/{one['key_id']}")

    assert place.rig.run(story()) == (version, "5")


def test_a_client_with_a_wrong_secret_is_told_so_and_calls_nothing(place: Place) -> None:
    async def story() -> None:
        async with place.connected(with_secret(place, "wrong"), "legacy"):
            raise AssertionError

    with pytest.raises(BaseExceptionGroup) as caught:
        place.rig.run(story())

    assert caught.group_contains(OAuthTokenError, match="invalid_client")
    assert place.steps[-1] == ("POST", "/oauth/token", 401)
