"""The served description, taken at its word by schemathesis, against a whole gateway."""

from __future__ import annotations

import asyncio
import json
import os
import re
import sys
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import aiohttp
import pytest

from policies.model import Entity, Fact
from proxy.identity.issue import TokenRequest
from proxy.identity.keyring import Plane
from proxy.identity.principal import ActorType
from tests.gateway.harness import Rig, gateway

ADMIN_URL: Final = "http://localhost:8081"
DESCRIPTION: Final = "/api/v0/openapi.json"

ADMIN: Final = Fact("has_role", (Entity("User", "root"), "admin"))
"""He is no identity of the ledger, so that no list names him, and nobody deletes him by chance."""

UNSEEN: Final = {
    "POST /init": "It takes the secret that was printed; test_init.py does.",
    "POST /api/v0/definitions/approve": "It takes a hash; test_definitions.py does.",
    f"GET {DESCRIPTION}": "It is read to begin with.",
    "POST /api/v0/servers": "It asks the server; test_registering.py does.",
    "PUT /api/v0/servers/{name}": "That of the settings stays; test_registering.py has others.",
    "PATCH /api/v0/servers/{name}": "That of the settings stays; test_registering.py has others.",
    "DELETE /api/v0/servers/{name}": "That of the settings stays; test_registering.py has others.",
    "POST /api/v0/tools/invoke": "It takes the name of a tool; test_invoking.py does.",
    "POST /api/v0/prompts/render": "It takes the name of a prompt; test_invoking.py does.",
    "POST /api/v0/resources/read": "It takes the URI of a resource; test_invoking.py does.",
    "POST /api/v0/resources/get": "It takes the URI of a resource; test_registering.py does.",
    "GET /api/v0/decisions/{decision_id}": "It takes the id of a decision; test_shipping.py does.",
    "GET /api/v0/decisions/{decision_id}/arguments": "As before.",
    "GET /api/v0/access/who-can": "It takes the name of a tool; test_holding.py does.",
    "POST /api/v0/shadow": "It takes a policy; test_shadow.py does.",
    "GET /api/v0/shadow": "There is one after that alone.",
    "DELETE /api/v0/shadow": "As before.",
    "POST /api/v0/shadow/promote": "As before.",
}
"""Operations that are asked and never successfully, and where they are instead."""

GITHUB: Final = {"type": "Server", "id": "github"}
JWK: Final = {
    "kty": "OKP",
    "crv": "Ed25519",
    "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo",
    "kid": "ops",
}

QUICK: Final = ("--phases", "examples,coverage,stateful", "--max-examples", "6")
LONG: Final = ("--phases", "examples,coverage,fuzzing,stateful", "--max-examples", "300")


@dataclass(frozen=True)
class Outcome:
    """What schemathesis ended with: its exit status, its words, and statuses by operation."""

    exit_status: int
    words: str
    statuses: Mapping[str, set[int]]
    described: set[str]
    is_still_admin: bool


@pytest.mark.parametrize("extent", [QUICK, pytest.param(LONG, marks=pytest.mark.fuzz)])
def test_schemathesis_finds_nothing_that_is_not_as_it_is_described(
    tmp_path: Path, extent: tuple[str, ...]
) -> None:
    """Issue 5: no server error, no undocumented status, no answer of another form."""
    outcome = asyncio.run(_explored(tmp_path, extent))

    assert outcome.exit_status == 0, outcome.words
    assert outcome.is_still_admin
    successful = {
        name for name, found in outcome.statuses.items() if any(one < 300 for one in found)
    }
    assert outcome.described - successful <= set(UNSEEN)


async def _explored(directory: Path, extent: tuple[str, ...]) -> Outcome:
    async with (
        gateway(directory, settings={"admin_url": ADMIN_URL}, facts=[ADMIN]) as rig,
        aiohttp.ClientSession() as session,
    ):
        url = "http://{}:{}".format(*rig.gateway.control)
        bearer = {"Authorization": f"Bearer {_token(rig)}"}
        async with session.get(url + DESCRIPTION) as response:
            document = await response.json()
            settings = _settings(document, await _made(rig, session, f"{url}/api/v0", bearer))
        (directory / "schemathesis.toml").write_text(settings, encoding="utf-8")
        exit_status, words = await _run(directory, url, bearer["Authorization"], extent)
        async with session.get(f"{url}/api/v0/clients", headers=bearer) as response:
            is_still_admin = response.status == 200
    assert exit_status == 0, words
    statuses = _statuses(directory / "events.ndjson")
    return Outcome(exit_status, words, statuses, set(_operations(document)), is_still_admin)


async def _run(
    directory: Path, url: str, authorization: str, extent: tuple[str, ...]
) -> tuple[int, str]:
    process = await asyncio.create_subprocess_exec(
        Path(sys.executable).parent / "schemathesis",
        "--no-color",
        "run",
        url + DESCRIPTION,
        *("--url", url),
        *("--header", f"Authorization: {authorization}"),
        *extent,
        "--generation-deterministic",
        *("--report", "ndjson", "--report-ndjson-path", "events.ndjson"),
        cwd=directory,
        env={"PATH": os.defpath, "HOME": str(directory)},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    words, _ = await process.communicate()
    return process.returncode or 0, words.decode()


async def _made(
    rig: Rig, session: aiohttp.ClientSession, api: str, bearer: Mapping[str, str]
) -> Mapping[str, Mapping[str, str]]:
    """Make what is there for certain only once, and return where it is, by operation."""

    async def post(path: str, body: object) -> Mapping[str, Any]:
        async with session.post(api + path, json=body, headers=bearer) as response:
            assert response.status == 201, await response.text()
            made: Mapping[str, Any] = await response.json()
            return made

    grant = {"actor": "client:ops", "role": "caller", "resource": "server:up"}
    await post("/clients", {"name": "ops"})
    await post("/facts", {"predicate": "has_tag", "args": [GITHUB, "reviewed"]})
    await post("/grants", {"actor": "client:ci", "role": "caller", "resource": "server:github"})
    token, secret = await post("/clients/ops/tokens", {}), await post("/clients/ops/secrets", {})
    key = await post("/clients/ops/keys", {"jwk": JWK})
    return {
        "delete_tokens_token_id": {"token_id": token["token_id"]},
        "delete_clients_name_secrets_secret_id": {"name": "ops", "secret_id": secret["secret_id"]},
        "delete_clients_name_keys_key_id": {"name": "ops", "key_id": key["key_id"]},
        "delete_grants_grant_id": {"grant_id": (await post("/grants", grant))["id"]},
        "get_servers_name": {"name": "up"},
        "get_tool": {"name": "up__echo"},
        "get_prompt": {"name": "up__greet"},
        "post_tools_enable": {"entity": "up__echo"},
        "post_tools_disable": {"entity": "up__echo"},
        "post_prompts_enable": {"entity": "up__greet"},
        "post_prompts_disable": {"entity": "up__greet"},
        "post_servers_name_enable": {"name": "up"},
        "post_servers_name_disable": {"name": "up"},
        # Not the one that signed the token of this run.
        "post_keys_key_id_revoke": {
            "key_id": rig.gateway.tokens[Plane.DATA].keyring.keys[0].key_id
        },
    }


def _settings(document: Mapping[str, Any], made: Mapping[str, Mapping[str, str]]) -> str:
    lines = [
        "warnings = false",
        "[checks.positive_data_acceptance]",
        "enabled = false  # what a policy knows, such as its roles, no schema tells",
    ]
    for operation, segments in made.items():
        known = ", ".join(f'{name} = "{value}"' for name, value in segments.items())
        lines += ["[[operations]]", f'include-operation-id = "{operation}"']
        lines += [f"parameters = {{ {known} }}"]
    for name in _ambiguous(document):
        lines += ["[[operations]]", f'include-name = "{name}"']
        # There, a method of the other path is taken as well.
        lines += ["checks.allow_header_conformance.enabled = false"]
    return "\n".join(lines)


def _ambiguous(document: Mapping[str, Any]) -> Iterator[str]:
    """Yield the operations at an address that the pattern of another path takes too."""
    patterns = {
        one: re.compile(re.sub(r"\{[a-z_]+\}", "[^/{}]+", one)) for one in document["paths"]
    }
    for name in _operations(document):
        path = name.partition(" ")[2]
        if any(other != path and one.fullmatch(path) for other, one in patterns.items()):
            yield name


def _operations(document: Mapping[str, Any]) -> Iterator[str]:
    for path, methods in document["paths"].items():
        yield from (f"{method.upper()} {path}" for method in methods)


def _statuses(path: Path) -> Mapping[str, set[int]]:
    """Return what each operation was answered with, of an account of what was done."""
    found: dict[str, set[int]] = defaultdict(set)
    with path.open(encoding="utf-8") as lines:
        events = [json.loads(line) for line in lines]
    recorders = [one["ScenarioFinished"]["recorder"] for one in events if "ScenarioFinished" in one]
    for recorder in recorders:
        for id_, interaction in recorder.get("interactions", {}).items():
            case = recorder["cases"][id_]["value"]
            if interaction.get("response"):
                name = f"{case['method']} {case['path']}"
                found[name].add(interaction["response"]["status_code"])
    return found


def _token(rig: Rig) -> str:
    wanted = TokenRequest(ActorType.USER, "root", ADMIN_URL, 3600, "northgate")
    return rig.gateway.tokens[Plane.CONTROL].issuer.issue(wanted).text.reveal().decode()
