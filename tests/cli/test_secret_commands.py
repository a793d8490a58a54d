"""`northgate client secret`, `client key`, `token revoke` of many, and `client resume --all`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from proxy.admin.outputs import NewSecretDocument, PublicKeysDocument, SecretsDocument
from tests.cli.answering import Answers, answering

HELD = {"created_at": 1_800_000_000, "created_by": "User:admin", "expires_at": 1_900_000_000}
SECRET: dict[str, Any] = {"secret_id": "ab12", **HELD}
NEW = SECRET | {"client_id": "ci", "client_secret": "the-secret"}
JWK = {"kty": "OKP", "crv": "Ed25519", "x": "AA", "alg": "EdDSA", "kid": "k1"}
KEY: dict[str, Any] = {"key_id": "cd34", **HELD, "expires_at": None, "jwk": JWK}
PATH = "/api/v0/clients/ci"
ANSWERS: Answers = {
    f"POST {PATH}/secrets": (201, NEW),
    f"GET {PATH}/secrets": (200, {"secrets": [SECRET]}),
    f"DELETE {PATH}/secrets/ab12": (200, SECRET),
    f"POST {PATH}/keys": (201, KEY),
    f"GET {PATH}/keys": (200, {"keys": [KEY]}),
    f"DELETE {PATH}/keys/cd34": (200, KEY),
    "POST /api/v0/tokens/revoke": (200, {"revoked": 3}),
    "POST /api/v0/clients/resume-all": (200, {"resumed": ["a", "b"]}),
}


def test_what_this_plane_answers_is_what_the_routes_promise() -> None:
    NewSecretDocument.model_validate(NEW, strict=True)
    SecretsDocument.model_validate({"secrets": [SECRET]}, strict=True)
    PublicKeysDocument.model_validate({"keys": [KEY]}, strict=True)


def test_a_secret_is_written_alone_and_never_again(tmp_path: Path) -> None:
    with answering(tmp_path, ANSWERS) as desk:
        made = desk.run("client secret add ci --ttl 30d")
        listed = desk.run("client secret list ci")
        gone = desk.run("client secret delete ci ab12")
        sent = [one.document for one in desk.asked]

    assert made.out == "the-secret\n"
    assert made.err == "Secret ab12 of client:ci, good until 2030-03-17T17:46:40Z.\n"
    assert sent[0] == {"ttl_seconds": 30 * 86_400}
    assert [line.split()[0] for line in listed.lines] == ["ID", "ab12"]
    assert "the-secret" not in listed.out + gone.out
    assert gone.lines[0] == "There is no secret ab12 of client:ci any more."


def test_a_public_key_is_given_as_a_file(tmp_path: Path) -> None:
    file = tmp_path / "key.json"
    file.write_text(json.dumps(JWK), encoding="utf-8")
    with answering(tmp_path, ANSWERS) as desk:
        made = desk.run(["client", "key", "add", "ci", str(file)])
        listed = desk.run("client key list ci --json")
        gone = desk.run("client key delete ci cd34")
        absent = desk.run(["client", "key", "add", "ci", str(tmp_path / "absent")])
        sent = [one.document for one in desk.asked]

    assert sent == [{"jwk": JWK}, None, None]
    assert made.out == "Key cd34 of client:ci is good until it is deleted.\n"
    assert listed.document == {"keys": [KEY]}
    assert gone.code == 0
    assert (absent.code, "error[no-file]" in absent.err) == (2, True)


def test_many_tokens_are_revoked_at_once_once_somebody_says_yes(tmp_path: Path) -> None:
    line = "token revoke --subject client:ci --before 2027-01-15T08:00:00Z"
    with answering(tmp_path, ANSWERS) as desk:
        refused = desk.run(line, stdin="no\n")
        assert desk.asked == []
        done = desk.run(f"{line} --why leaked --yes")
        moment = desk.run("token revoke --before 2027-01-15T08:00:00Z --yes --json")
        sent = [one.document for one in desk.asked]

    assert (refused.code, "error[not-revoked]" in refused.err) == (1, True)
    assert sent == [
        {"subject": "client:ci", "issued_before": "2027-01-15T08:00:00Z", "why": "leaked"},
        {"issued_before": "2027-01-15T08:00:00Z"},
    ]
    assert done.out == "Revoked: 3 tokens.\n"
    assert moment.document == {"revoked": 3}


@pytest.mark.parametrize(
    "line",
    [
        "token revoke",
        "token revoke t-1 --subject client:ci",
        "client resume",
        "client resume ci --all",
    ],
)
def test_what_to_revoke_or_resume_has_to_be_said(tmp_path: Path, line: str) -> None:
    with answering(tmp_path, ANSWERS) as desk:
        done = desk.run(line)

    assert (done.code, desk.asked) == (2, [])


def test_all_clients_act_again_once_somebody_says_yes(tmp_path: Path) -> None:
    with answering(tmp_path, ANSWERS) as desk:
        refused = desk.run("client resume --all", stdin="")
        done = desk.run("client resume --all --why over", stdin="y\n")
        sent = [one.document for one in desk.asked]

    assert (refused.code, refused.out) == (1, "")
    assert sent == [{"why": "over"}]
    assert done.out == "Resumed: 2 clients.\n"
