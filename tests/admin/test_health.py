"""What probes and scrapers are told, and what is at no address."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.admin.controlled import Controlled, Said, told


def test_a_gateway_that_is_alive_and_not_ready_says_both_and_why(tmp_path: Path) -> None:
    async def story(controlled: Controlled) -> list[Said]:
        before = await controlled.ask("GET", "/ready")
        controlled.reasons.append("decisions cannot be recorded")
        return [
            before,
            await controlled.ask("GET", "/ready"),
            await controlled.ask("GET", "/health"),
        ]

    before, after, health = told(tmp_path, story)

    assert (before.status, before.document) == (200, {"status": "ready"})
    assert after.status == 503
    assert after.document == {"status": "not ready", "reasons": ["decisions cannot be recorded"]}
    assert (health.status, health.document) == (200, {"status": "ok"})


def test_metrics_are_served_in_the_form_that_their_source_names(tmp_path: Path) -> None:
    said = told(tmp_path, lambda controlled: controlled.ask("GET", "/metrics"))

    assert (said.status, said.body) == (200, b"calls 1\n")
    assert said.headers["Content-Type"].startswith("text/plain")


def test_metrics_that_are_off_are_not_there(tmp_path: Path) -> None:
    said = told(tmp_path, lambda controlled: controlled.ask("GET", "/metrics"), with_metrics=False)

    assert (said.status, said.document["code"]) == (404, "not-found")


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/", 404, "not-found"),
        ("GET", "/api/v0", 404, "not-found"),
        ("GET", "/api/v0/tokens/", 404, "not-found"),
        ("GET", "/health/", 404, "not-found"),
        ("GET", "/Health", 404, "not-found"),
        ("POST", "/api/v0/clients/a~b/tokens", 404, "not-found"),
        ("POST", f"/api/v0/clients/{'a' * 129}/tokens", 404, "not-found"),
        ("POST", "/api/v0/clients//tokens", 404, "not-found"),
        ("POST", "/health", 405, "wrong-method"),
        ("GET", "/init", 405, "wrong-method"),
        ("DELETE", "/api/v0/tokens", 405, "wrong-method"),
        ("GET", "/health?x=1", 422, "invalid"),
    ],
)
def test_an_address_or_method_that_is_not_in_the_table_is_refused(
    tmp_path: Path, method: str, path: str, status: int, code: str
) -> None:
    said = told(tmp_path, lambda controlled: controlled.ask(method, path))

    assert (said.status, said.document["code"]) == (status, code)
    assert ("Allow" in said.headers) is (status == 405)
    assert said.document["error"].endswith(".")


def test_a_method_that_no_address_takes_is_answered_with_all_that_some_do(tmp_path: Path) -> None:
    said = told(tmp_path, lambda controlled: controlled.ask("PROPFIND", "/health"))

    assert (said.status, said.headers["Allow"]) == (405, "GET, POST, PUT, PATCH, DELETE")
    assert said.document["error"] == "Use GET, POST, PUT, PATCH or DELETE."
