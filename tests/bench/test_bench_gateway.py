"""The benchmark of the gateway runs, and believes no answer it has not compared; times are free."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bench import __main__ as command
from bench.gateway import nginx, traffic
from bench.gateway.campaign import SLOW_CONNECTIONS, LostRecordsError, Plan, checked, measured
from bench.gateway.figures import DIRECT, GATEWAY, NGINX, Findings, Sample
from bench.gateway.load import Load, PythonLoad, Run, Wrk, WrongAnswersError
from bench.gateway.processes import NotStartedError, Server, free_ports
from bench.gateway.traffic import Request

SHORT = Plan(rounds=1, seconds=0.5, connections=(4,))

LOADS: list[Load] = [PythonLoad(), Wrk(None)]
each_load = pytest.mark.parametrize("load", LOADS, ids=lambda load: load.name)


@pytest.fixture(scope="module")
def found() -> dict[str, Any]:
    document: dict[str, Any] = json.loads(json.dumps(measured(SHORT).document()))
    return document


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    (free,) = free_ports(1)
    log = tmp_path_factory.mktemp("upstream") / "log"
    with Server([sys.executable, "-m", "bench.gateway.upstream", str(free), "0"], None, log) as one:
        one.listening(free)
        yield free


def expecting(answer: bytes) -> Request:
    return traffic.call(traffic.FAST, "token")._replace(answer=answer)


def test_every_contestant_is_measured_in_every_situation(found: dict[str, Any]) -> None:
    situations = {(one["upstream"], one["connections"]) for one in found["figures"]}
    measured_ = {(one["upstream"], one["connections"], one["who"]) for one in found["figures"]}

    assert {connections for _, connections in situations} == {4, SLOW_CONNECTIONS}
    assert measured_ == {(*one, who) for one in situations for who in (DIRECT, NGINX, GATEWAY)}


def test_figures_are_well_formed(found: dict[str, Any]) -> None:
    for one in found["figures"]:
        assert one["calls"] >= one["connections"]
        assert one["calls_per_second"] > 0
        assert one["ratio"] > 0
        assert 0 < one["p50_ms"] <= one["p99_ms"]
        assert one["who"] != GATEWAY or one["cpu_us"] > 0
    assert found["start_seconds"] > 0
    assert found["resident_mib"] > 0


def test_the_record_allows_every_call_that_was_answered(found: dict[str, Any]) -> None:
    gateway = [one for one in found["figures"] if one["who"] == GATEWAY]

    assert found["answered"] == sum(one["calls"] for one in gateway)
    assert found["recorded"] >= found["answered"]


def test_answers_without_a_record_end_the_run() -> None:
    findings = Findings({}, recorded=9)
    findings.add("", 1, [{who: Sample(Run(10, 1, 1, 1), None) for who in (NGINX, GATEWAY)}])

    with pytest.raises(LostRecordsError):
        checked(findings)


@each_load
def test_a_load_counts_right_answers(load: Load, port: int) -> None:
    run = load.run(port, traffic.call(traffic.FAST, "token"), 3, 0.1)

    assert run.calls >= 3
    assert run.rate > 0


@each_load
@pytest.mark.parametrize(
    "answer",
    [
        traffic.ANSWERS["tools/call"].replace(b'"id":7', b'"id":8'),
        traffic.ANSWERS["tools/call"].replace(b"Posted", b"Posed"),
    ],
    ids=["another id", "another text"],
)
def test_a_load_refuses_an_answer_that_is_not_the_right_one(
    load: Load, port: int, answer: bytes
) -> None:
    with pytest.raises(WrongAnswersError):
        load.run(port, expecting(answer), 2, 0.1)


@each_load
def test_a_load_refuses_another_status(load: Load, port: int) -> None:
    request = traffic.call(traffic.FAST, "token")
    unknown = request._replace(headers=request.headers | {"Mcp-Method": "no/such"}, answer=b"")

    with pytest.raises(WrongAnswersError):
        load.run(port, unknown, 2, 0.1)


def test_both_upstreams_give_the_same_answers(port: int, tmp_path: Path) -> None:
    (other,) = free_ports(1)
    request = traffic.call(traffic.FAST, "token")

    with Server(nginx.upstream(tmp_path / "nginx", other), None, tmp_path / "log") as server:
        server.listening(other)
        for method, answer in traffic.ANSWERS.items():
            asked = request._replace(
                headers=request.headers | {"Mcp-Method": method}, answer=answer
            )
            for each in (port, other):
                assert PythonLoad().run(each, asked, 1, 0.0).calls == 1


def test_a_server_that_ends_at_once_is_reported_with_its_words(tmp_path: Path) -> None:
    (free,) = free_ports(1)
    talker = [sys.executable, "-c", "print('no such thing')"]

    with (
        pytest.raises(NotStartedError, match="no such thing"),
        Server(talker, None, tmp_path / "log") as server,
    ):
        server.listening(free)


def test_missing_programs_are_named_with_the_packages_that_bring_them(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", "")

    assert command.main(["gateway"]) == 2
    assert "apt-get install nginx-light wrk" in capsys.readouterr().err
