"""A name that another program may take for a protocol name is refused wherever it matters."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.wire.lookalikes import PARAMS, RESULT, Known, lookalike
from proxy.wire.refusals import Fault
from tests.wire.bodies import META, changed, decoded, fault_of

PREFIX = "io.modelcontextprotocol/"


@pytest.mark.parametrize(
    "key",
    [
        "Name",
        "NAME",
        "name\0",
        "\0name",
        "na\0me",
        "name\0junk",
        "Name\0junk",
        "argument\u017f",
        "ARGUMENT\u017f",
        "\uff4eame",
        "\U0001d427ame",
        "ur\u0131",
        "ur\u0130",
        "URI",
        "_Meta",
        "\uff3fmeta",
        "Cursor",
        "tas\u212aId",
        "taskid",
        "requeststate",
        "inputresponses",
    ],
)
def test_a_member_of_params_that_imitates_a_known_one_is_refused(key: str) -> None:
    assert fault_of(changed(params={"name": "a", key: "b"})) is Fault.LOOKALIKE_KEY


@pytest.mark.parametrize(
    "params",
    [
        {"ref": {"type": "ref/prompt", "Name": "x"}},
        {"argument": {"name": "a", "VALUE": "x"}},
        {"notifications": {"resourcesubscriptions": []}},
        {"capabilities": {"Sampling": {}}},
        {"task": {"TTL": 1}},
        {"_meta": {"ProgressToken": 1}},
        {"_meta": {f"{PREFIX}protocolversion": "2026-07-28"}},
        {"_meta": {f"{PREFIX.upper()}anything": 1}},
        {"_meta": {f"{PREFIX[:5]}\0{PREFIX[5:]}x": 1}},
        {"_meta": {f"{PREFIX}clientCapabilities": {"s\u0130mpling": {}, "Roots": {}}}},
        {"_meta": {f"{PREFIX}clientInfo": {"NAME": "x"}}},
    ],
)
def test_an_imitation_is_found_in_the_objects_below(params: dict[str, object]) -> None:
    assert fault_of(changed(params=params)) is Fault.LOOKALIKE_KEY


@pytest.mark.parametrize(
    "params",
    [
        {"name": "a", "names": 1, "nam": 2, "na me": 3, "custom": 4},
        {"name": "a", "arguments": {"Name": 1, "NAME": 2, "name": 3}},
        {"_meta": {**META, "com.example/Name": 1, f"{PREFIX}future": 1}},
        {"name": "a", "x" * 10_000: 1},
    ],
)
def test_what_imitates_nothing_is_left_alone(params: dict[str, object]) -> None:
    assert decoded(changed(params=params)).id == 7


@pytest.mark.parametrize("known", [PARAMS, RESULT])
def test_no_known_name_imitates_another(known: Known) -> None:
    assert [name for name in known.names if known.imitates(name)] == []
    assert lookalike(dict.fromkeys(known.names), known) is None


@given(st.sampled_from(sorted(PARAMS.names)), st.data())
def test_any_mixture_of_case_and_nul_is_an_imitation(name: str, data: st.DataObject) -> None:
    upper = data.draw(st.lists(st.booleans(), min_size=len(name), max_size=len(name)))
    nul = data.draw(st.integers(0, len(name)))
    mixed = "".join(c.upper() if up else c for c, up in zip(name, upper, strict=True))
    key = mixed[:nul] + "\0" + mixed[nul:]

    assert PARAMS.imitates(key)
    assert mixed == name or mixed in PARAMS.names or PARAMS.imitates(mixed)
