"""The table of methods is closed, and holds every method of every published schema."""

from __future__ import annotations

import inspect
from types import ModuleType
from typing import Literal, get_args, get_origin

import mcp_types
import pytest
from mcp_types import _v2025_11_25 as schema_2025
from mcp_types import _v2026_07_28 as schema_2026
from mcp_types import methods as sdk
from pydantic import BaseModel

from proxy.wire.jsonrpc import Notification, Request
from proxy.wire.methods import (
    INPUT_REQUESTS,
    LEGACY_VERSIONS,
    MODERN_VERSIONS,
    TABLE,
    VERSIONS,
    Judgment,
    Kind,
    Party,
    classify,
    find,
)
from proxy.wire.refusals import Fault, WireError

SDK_TABLES = [
    (Party.CLIENT, Kind.REQUEST, sdk.CLIENT_REQUESTS),
    (Party.CLIENT, Kind.NOTIFICATION, sdk.CLIENT_NOTIFICATIONS),
    (Party.SERVER, Kind.REQUEST, sdk.SERVER_REQUESTS),
    (Party.SERVER, Kind.NOTIFICATION, sdk.SERVER_NOTIFICATIONS),
]

# The extension is in no schema; its methods are what our table adds for the last version.
TASKS_EXTENSION = {"tasks/get", "tasks/update", "tasks/cancel", "notifications/tasks"}


def methods_in(schema: ModuleType) -> set[str]:
    """Return every method that a model of *schema* has as its literal name."""
    models = [m for _, m in inspect.getmembers(schema, inspect.isclass) if issubclass(m, BaseModel)]
    fields = [model.model_fields["method"] for model in models if "method" in model.model_fields]
    return {
        value
        for field in fields
        if get_origin(field.annotation) is Literal
        for value in get_args(field.annotation)
    }


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(("sender", "kind", "table"), SDK_TABLES)
def test_every_method_of_a_version_is_in_the_table_as_the_schema_has_it(
    sender: Party, kind: Kind, table: dict[tuple[str, str], object], version: str
) -> None:
    published = {method for method, its in table if its == version}
    rows = {row.name for row in TABLE if row.sender is sender and version in row.versions}

    assert published - rows == set()
    assert {
        name for name in published if (row := find(sender, name, version)) and row.kind is not kind
    } == set()


@pytest.mark.parametrize(
    ("schema", "version"), [(schema_2025, "2025-11-25"), (schema_2026, "2026-07-28")]
)
def test_every_method_that_a_schema_names_is_in_the_table(schema: ModuleType, version: str) -> None:
    named = {row.name for row in TABLE if version in row.versions}
    asked_in_results = set(INPUT_REQUESTS) if version in MODERN_VERSIONS else set()

    assert len(methods_in(schema)) > 15
    assert methods_in(schema) - named - asked_in_results == set()
    assert named - methods_in(schema) - asked_in_results <= TASKS_EXTENSION


def test_the_versions_are_those_of_the_schemas_from_the_floor_on() -> None:
    known = mcp_types.version.KNOWN_PROTOCOL_VERSIONS

    assert known[known.index("2025-06-18") :] == VERSIONS
    assert mcp_types.version.MODERN_PROTOCOL_VERSIONS == MODERN_VERSIONS


def test_no_version_has_two_rows_for_one_method() -> None:
    keys = [(row.sender, row.name, version) for row in TABLE for version in row.versions]

    assert len(set(keys)) == len(keys)


def test_tasks_are_unknown_before_they_were_invented() -> None:
    assert [row.name for row in TABLE if "tasks" in row.name and "2025-06-18" in row.versions] == []


def test_a_modern_server_may_ask_nothing_of_its_own_accord() -> None:
    asking = [row for row in TABLE if row.sender is Party.SERVER and row.kind is Kind.REQUEST]

    assert [row.name for row in asking if set(row.versions) & set(MODERN_VERSIONS)] == []


def test_every_method_that_reaches_a_tool_a_prompt_or_a_document_names_it() -> None:
    about = {
        Judgment.CALL_TOOL: {"name"}, Judgment.GET_PROMPT: {"name"},
        Judgment.READ_DOCUMENT: {"uri"}, Judgment.SUBSCRIBE: {"uri", "notifications"},
        Judgment.COMPLETE: {"ref"}, Judgment.TASK: {"taskId"},
    }  # fmt: skip
    rows = [row for row in TABLE if row.judgment in about]

    assert {row.judgment for row in rows} == about.keys()
    assert [row for row in rows if row.about not in about[row.judgment]] == []


def test_every_list_says_where_its_items_are() -> None:
    lists = [row for row in TABLE if row.judgment in {Judgment.FILTER_LIST, Judgment.TASK_LIST}]

    assert {row.listed for row in lists} == {
        "tools", "prompts", "resources", "resourceTemplates", "tasks",
    }  # fmt: skip
    assert [row for row in TABLE if row.listed is not None and row not in lists] == []


def fault(message: Request | Notification, version: str) -> tuple[Fault, int]:
    with pytest.raises(WireError) as caught:
        classify(message, version)
    assert caught.value.id == message.id
    return caught.value.fault, caught.value.status


@pytest.mark.parametrize(
    "name", ["Tools/Call", "tools/call ", " tools/call", "tools/call\0", "tools\uff0fcall", "x"]
)
def test_a_method_is_matched_exactly_and_otherwise_unknown(name: str) -> None:
    request = Request(5, name, {"name": "a"})

    assert fault(request, "2026-07-28") == (Fault.UNKNOWN_METHOD, 404)
    assert [fault(request, version) for version in LEGACY_VERSIONS] == [
        (Fault.UNKNOWN_METHOD, 200)
    ] * 2


def test_an_unknown_notification_of_a_session_does_not_end_it() -> None:
    assert fault(Notification("notifications/x"), "2025-11-25") == (Fault.UNKNOWN_METHOD, 400)


@pytest.mark.parametrize(
    "row", [r for r in TABLE if r.sender is Party.SERVER], ids=lambda r: r.name
)
def test_what_only_a_server_sends_is_unknown_from_a_client(row: object) -> None:
    ours = {(r.name, v) for r in TABLE if r.sender is Party.CLIENT for v in r.versions}
    for version in VERSIONS:
        name = getattr(row, "name", "")
        if (name, version) not in ours:
            assert fault(Request(1, name, {}), version)[0] is Fault.UNKNOWN_METHOD


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(
    "row", [r for r in TABLE if r.sender is Party.CLIENT], ids=lambda r: r.name
)
def test_a_request_needs_an_id_and_a_notification_takes_none(row: object, version: str) -> None:
    found = find(Party.CLIENT, getattr(row, "name", ""), version)
    if found is None:
        return
    values: dict[type, object] = {str: "x", dict: {}, list: []}
    params = {} if found.about is None else {found.about: values[found.shape]}
    request, notification = Request(3, found.name, params), Notification(found.name, params)

    if found.kind is Kind.REQUEST:
        assert classify(request, version) is found
        assert fault(notification, version)[0] is Fault.NEEDS_ID
    else:
        assert classify(notification, version) is found
        assert fault(request, version)[0] is Fault.TAKES_NO_ID


@pytest.mark.parametrize(
    ("params", "expected"),
    [
        (None, Fault.BAD_PARAMS),
        ({}, Fault.BAD_SUBJECT),
        ({"name": None}, Fault.BAD_SUBJECT),
        ({"name": 1}, Fault.BAD_SUBJECT),
        ({"name": ["a"]}, Fault.BAD_SUBJECT),
        ({"name": "a", "arguments": None}, Fault.BAD_ARGUMENTS),
        ({"name": "a", "arguments": []}, Fault.BAD_ARGUMENTS),
        ({"name": "a", "arguments": "{}"}, Fault.BAD_ARGUMENTS),
    ],
)
@pytest.mark.parametrize("method", ["tools/call", "prompts/get"])
def test_a_judged_method_says_what_it_is_about(
    method: str, params: dict[str, object] | None, expected: Fault
) -> None:
    assert fault(Request("i", method, params), "2025-11-25") == (expected, 400)
