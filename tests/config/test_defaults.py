"""What a gateway does when nobody told it anything."""

from __future__ import annotations

import json
from typing import Any

from proxy.config import load

DEFAULTS: dict[str, Any] = {
    "mode": "enterprise",
    "data_dir": "northgate-data",
    "public_url": "http://localhost:8080",
    "admin_url": "http://localhost:8081",
    "support_contact": None,
    "data": {
        "listen": "127.0.0.1:8080",
        "allowed_hosts": [],
        "allowed_origins": [],
        "trusted_proxies": [],
    },
    "admin": {
        "listen": "127.0.0.1:8081",
        "allowed_hosts": [],
        "allowed_origins": [],
        "stdio_registration": False,
    },
    "database": {"url": "(hidden)"},
    "policy": {"source": "directory", "path": "northgate-data/policies", "portable": True},
    "pdp": {
        "kind": "embedded",
        "deadline_ms": 250,
        "max_context_facts": 20,
        "url": None,
        "api_key": None,
    },
    "catalogue": {
        "trust": "first",
        "refresh_seconds": 10,
        "interval_seconds": 300,
        "verbatim_names": [],
    },
    "record": {
        "arguments": "facts",
        "deadline_ms": 1000,
        "require": "journal",
        "journal_bytes": 1024**3,
        "sinks": {},
        "keep_days": 0,
    },
    "tokens": {
        "gateway_wide": True,
        "longest_life_seconds": 86_400,
        "key_days": 90,
        "requests_per_second": 10,
    },
    "limits": {
        "body_bytes": 1024**2,
        "header_bytes": 32 * 1024,
        "header_seconds": 10,
        "body_seconds": 30,
        "connect_seconds": 5,
        "call_seconds": 60,
        "stream_idle_seconds": 5 * 60,
        "keep_alive_seconds": 15,
        "session_idle_seconds": 3600,
        "shutdown_seconds": 30,
        "streams_per_principal": 64,
        "calls_per_second": 50,
    },
    "state": {"max_staleness_seconds": 300},
    "telemetry": {"metrics": True, "otlp_endpoint": None, "log_level": "info"},
    "upstreams": {},
    "warnings": [],
}


def test_without_file_and_variables_every_setting_has_the_published_default() -> None:
    assert json.loads(load(None, {}).model_dump_json()) == DEFAULTS


def test_state_is_kept_in_a_database_in_the_data_directory() -> None:
    settings = load(None, {"NORTHGATE_DATA_DIR": "/var/lib/northgate"})

    assert settings.database.url.reveal() == b"sqlite:////var/lib/northgate/northgate.db"
    assert str(settings.policy.path) == "/var/lib/northgate/policies"


def test_no_secret_but_the_path_of_the_own_database_has_a_default() -> None:
    settings = load(None, {})

    assert settings.pdp.api_key is None
    assert settings.database.url.reveal() == b"sqlite:///northgate-data/northgate.db"
