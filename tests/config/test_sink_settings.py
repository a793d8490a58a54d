"""Sinks are set as upstreams are, and every mistake in them is told at once."""

from __future__ import annotations

from pathlib import Path

import pytest

from proxy.config import Problem
from proxy.config.values import SyslogAddress
from tests.config.giving import problems_of, settings_of
from tests.upstream.certificates import authority

S = "[record.sinks.s]\n"
AT = "record.sinks.s"
HOOK = f'{S}kind = "webhook"\nurl = "https://a.example/log"\n'
HTTPS = "Use https; plain http is for loopback hosts only."
SYSLOG = "Write udp://HOST:PORT, tcp://HOST:PORT or tls://HOST:PORT."
OURS = "The gateway sets this header itself; leave it out."
NAME = "A sink's name is 1 to 32 small letters, digits, single hyphens."
KIND = "Write what it is: stdout, otlp, syslog or webhook."

MISTAKES = [
    (S, f"{AT}.kind", KIND, 1),
    (f"{S}batch_records = 5", f"{AT}.kind", KIND, 1),
    ('[record.sinks.S]\nkind = "stdout"', "record.sinks.S", NAME, 1),
    ('[record.sinks."a.b"]\nkind = "stdout"', 'record.sinks."a.b"', NAME, 1),
    (f'{S}kind = "webhook"', f"{AT}.url", "The kind `webhook` needs url.", 1),
    (f'{S}kind = "syslog"', f"{AT}.address", "The kind `syslog` needs address.", 1),
    (
        f'{S}kind = "otlp"',
        f"{AT}.endpoint",
        "The kind `otlp` needs endpoint, or telemetry.otlp_endpoint.",
        1,
    ),
    (f'{S}kind = "webhook"\nurl = "http://a.example"', f"{AT}.url", HTTPS, 3),
    (f'{S}kind = "syslog"\naddress = "a.example:514"', f"{AT}.address", SYSLOG, 3),
    (f'{S}kind = "syslog"\naddress = "tls://a.example"', f"{AT}.address", SYSLOG, 3),
    (f'{S}kind = "syslog"\naddress = "http://a.example:1"', f"{AT}.address", SYSLOG, 3),
    (
        f'{S}kind = "syslog"\naddress = "udp://a.example:70000"',
        f"{AT}.address",
        "Write a port from 1 to 65535.",
        3,
    ),
    (
        f'{HOOK}address = "udp://a.example:514"',
        f"{AT}.address",
        "It belongs to `syslog`. Set kind, or remove it.",
        4,
    ),
    (
        f'{S}kind = "stdout"\nheaders.X-A = "b"',
        f"{AT}.headers",
        "It belongs to `otlp` or `webhook`. Set kind, or remove it.",
        3,
    ),
    (f'{HOOK}headers.Host = "b"', f"{AT}.headers.Host", OURS, 4),
    (f'{HOOK}headers.Northgate-Signature = "b"', f"{AT}.headers.Northgate-Signature", OURS, 4),
    (
        f'{HOOK}signing_key = "short"',
        f"{AT}.signing_key",
        "Write at least 16 bytes, made by chance.",
        4,
    ),
    (f'{HOOK}bearer = "${{NONE}}"', f"{AT}.bearer", "The variable NONE is not set.", 4),
    (
        f"{HOOK}kinds = []",
        f"{AT}.kinds",
        "Name at least one kind of record, or remove it.",
        4,
    ),
    (
        f'{HOOK}kinds = ["decisions"]',
        f"{AT}.kinds",
        "This has to be a list of `decision`, `outcome`, `change` or `checkpoint`.",
        4,
    ),
    (
        f'{HOOK}ca_file = "/absent/ca.pem"',
        f"{AT}.ca_file",
        "The file cannot be used: No such file or directory.",
        4,
    ),
    (
        f'{S}kind = "syslog"\naddress = "tcp://127.0.0.1:1"\nca_file = "x"',
        f"{AT}.ca_file",
        "It belongs to tls:// alone. Remove it.",
        4,
    ),
    (
        f"{HOOK}batch_records = 0",
        f"{AT}.batch_records",
        "This has to be an integer from 1 to 1000.",
        4,
    ),
]


@pytest.mark.parametrize(("text", "key", "message", "line"), MISTAKES)
def test_a_mistake_is_told_at_its_place(
    tmp_path: Path, text: str, key: str, message: str, line: int
) -> None:
    assert problems_of(tmp_path, text) == [Problem(key, message, f":{line}")]


def test_all_of_it_can_be_set_in_the_file_and_by_variables(tmp_path: Path) -> None:
    place = tmp_path / "ca.pem"
    place.write_bytes(authority("localhost"))
    text = (
        f'{HOOK}kinds = ["decision", "change"]\nca_file = "{place}"\nbearer = "${{TOKEN}}"\n'
        '[record.sinks.far]\nkind = "syslog"\naddress = "tls://[::1]:6514"\n'
    )
    environ = {
        "TOKEN": "hush",
        "NORTHGATE_RECORD__SINKS__S__SIGNING_KEY": "0123456789abcdef",
        "NORTHGATE_RECORD__SINKS__MY_OUT__KIND": "stdout",
        "NORTHGATE_UPSTREAMS__MY_OUT__URL": "https://up.example/mcp",
    }

    settings = settings_of(tmp_path, text, environ)

    sinks = settings.record.sinks
    assert set(sinks) == {"s", "far", "my-out"}
    assert sinks["s"].kinds == ("decision", "change")
    assert sinks["far"].address == SyslogAddress("tls", "::1", 6514)
    assert sinks["my-out"].kinds == ("decision", "outcome", "change", "checkpoint")
    assert sinks["s"].bearer is not None
    assert "hush" not in settings.model_dump_json()
    assert "0123456789abcdef" not in settings.model_dump_json()


@pytest.mark.parametrize(
    ("text", "key"),
    [
        (f'{S}kind = "syslog"\naddress = "udp://siem.example:514"', f"{AT}.address"),
        (f'{S}kind = "otlp"\nendpoint = "http://otel.example:4318"', f"{AT}.endpoint"),
    ],
)
def test_a_record_that_would_travel_in_the_clear_is_warned_of(
    tmp_path: Path, text: str, key: str
) -> None:
    [warning] = settings_of(tmp_path, text).warnings

    assert warning.key == key
    assert warning.message.startswith("The record travels in the clear.")
