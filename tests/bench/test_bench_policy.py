"""The benchmark of the policy engine runs and compares like with like; times are not judged."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from bench import bundle, policy, workload
from bench.__main__ import main
from bench.cedar import Cedar, Request

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def found() -> dict[str, Any]:
    command = [sys.executable, "-m", "bench", "policy", "--quick", "--json"]
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, check=True)  # noqa: S603
    document: dict[str, Any] = json.loads(done.stdout)["policy"]
    return document


def test_a_quick_run_asks_both_engines_everything_and_they_agree(found: dict[str, Any]) -> None:
    setting = found["setting"]

    assert setting["questions"] == policy.QUICK.questions
    assert setting["disagreements"] == 0
    assert 0.3 <= setting["allowed share"] <= 0.5


def test_everything_is_timed_for_both_engines_with_few_and_with_many_facts(
    found: dict[str, Any],
) -> None:
    few = found["setting"]["facts"]
    many = few + found["setting"]["facts of other tenants"]
    compared = (
        policy.DECIDE, policy.PROOF, policy.ALLOWED, policy.DENIED, policy.ARGUMENTS,
        policy.WHOLE, policy.LISTING, policy.CALLABLE,
    )  # fmt: skip

    timed = {(one["what"], one["facts"], one["who"]) for one in found["timings"]}

    assert timed >= {
        (what, facts, who)
        for what in compared
        for facts in (few, many)
        for who in (policy.OURS, policy.CEDAR)
    }
    for one in found["timings"]:
        assert one["calls"] > 0
        assert 0 < one["p50_us"] <= one["p99_us"]
        assert one.keys() >= {"mean_us", "cpu_us", "ratio", "ratio_to"}


def test_what_happens_now_and_then_is_reported_with_its_cost(found: dict[str, Any]) -> None:
    costs = {one["what"] for one in found["costs"]}

    assert costs >= {policy.CHANGE, policy.REBUILD, policy.COMPILE}


def test_every_aim_says_what_was_measured_and_whether_it_is_met(found: dict[str, Any]) -> None:
    assert found["aims"]
    for aim in found["aims"]:
        assert aim["met"] == (aim["measured"] <= aim["limit"])


def test_two_tenants_of_one_number_are_equal_and_those_of_two_share_nothing() -> None:
    first, again, other = workload.tenant(0), workload.tenant(0), workload.tenant(1)

    assert first == again
    assert workload.questions(first, 50) == workload.questions(again, 50)
    assert not set(first.clients + first.tools) & set(other.clients + other.tools)


def test_the_bundle_has_five_hundred_rules_in_ten_files() -> None:
    sources = bundle.sources()

    assert (bundle.rules_in(sources), len(sources)) == (500, 10)


def test_an_engine_that_answers_differently_ends_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    def always(_: Cedar, __: Request) -> bool:
        return True

    monkeypatch.setattr(Cedar, "decide", always)

    with pytest.raises(policy.DisagreementError):
        policy.run(quick=True)


def test_an_unknown_benchmark_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["weather"])

    assert "no benchmark called weather" in capsys.readouterr().err
