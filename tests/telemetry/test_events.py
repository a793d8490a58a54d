"""Events: one line each whatever is in them (T35), a closed list, and nothing secret (T34)."""

from __future__ import annotations

import inspect
import io
import json
import logging
import re
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies.model import Decision, Entity, Reason, Verdict
from proxy.identity.sealing import Secret
from proxy.telemetry.capture import LibraryLog
from proxy.telemetry.events import LEVELS, Event, Events
from proxy.telemetry.lines import MOST_CHARACTERS, MOST_ITEMS

CANARY = "canary-5b2e"
TOKEN = f"eyJhbGciOiJFZERTQSJ9.eyJzdWIiOiI{CANARY}In0.{CANARY}signature"
ALLOW = Decision(Verdict.ALLOW, Reason.GRANTED, "abc", 7, ("main.polar:3",))
RFC3339 = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z")


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class Broken(io.StringIO):
    def write(self, _text: str) -> int:
        raise BrokenPipeError


def written(tell: Callable[[Events], object], level: str = "debug") -> list[dict[str, Any]]:
    """Return the lines that *tell* makes, each of which must be one JSON object."""
    stream = io.StringIO()
    tell(Events(level, stream))
    lines = stream.getvalue().split("\n")
    assert lines.pop() == ""
    found = [json.loads(line) for line in lines]
    assert all(isinstance(one, dict) for one in found)
    return found


@contextmanager
def captured(level: str = "debug") -> Iterator[io.StringIO]:
    stream = io.StringIO()
    with LibraryLog(Events(level, stream)):
        yield stream


def raised(error: BaseException) -> BaseException:
    try:
        raise error  # noqa: TRY301  it gets a traceback
    except BaseException as found:  # noqa: BLE001  as above
        return found


SAMPLES: dict[Event, dict[str, Any]] = {
    Event.STARTED: {
        "version": "1",
        "mode": "enterprise",
        "data": "127.0.0.1:8080",
        "admin": "127.0.0.1:8081",
        "policy": "abc",
    },
    Event.STOPPING: {},
    Event.STOPPED: {"seconds": 0.5},
    Event.SETTINGS_WARNING: {"setting": "pdp.url", "problem": "It is not used."},
    Event.WORKERS_READY: {"count": 4, "seconds": 2.5},
    Event.WORKER_ENDED: {"number": 1, "pid": 4711, "status": -9, "seconds": 60.5},
    Event.WORKER_KILLED: {"number": 1, "pid": 4711},
    Event.WORKERS_GIVEN_UP: {"number": 0},
    Event.POLICY_LOADED: {"policy": "abc", "files": 2, "rules": 9, "seconds": 0.1},
    Event.POLICY_REFUSED: {"in_force": "abc", "problems": ["main.polar:1: no such rule"]},
    Event.POLICY_CHANGED: {"before": "abc", "after": "abd", "by": 'System{"watcher"}'},
    Event.SERVERS_OBSERVED: {"servers": ["github"]},
    Event.SHADOW_STARTED: {"candidate": "abd", "in_force": "abc", "by": "User:ann"},
    Event.SHADOW_STOPPED: {"candidate": "abd"},
    Event.SHADOW_REFUSED: {"candidate": "abd", "problems": ["main.polar:1: no such rule"]},
    Event.CATALOGUE_REFRESHED: {
        "server": "github",
        "items": 12,
        "changed": 1,
        "dropped": ["bad name"],
        "seconds": 0.3,
    },
    Event.CATALOGUE_FAILED: {"server": "github", "code": "upstream_timed_out", "detail": "late"},
    Event.DECISION_MADE: {
        "decision_id": "0193",
        "actor": Entity("Client", "ci"),
        "action": "call",
        "resource": Entity("Tool", "github__create_issue"),
        "decision": ALLOW,
        "seconds": 0.00012345,
    },
    Event.REFUSED: {"reason": "expired", "address": "192.0.2.7"},
    Event.CLIENT_LEFT: {"server": "github", "method": "tools/call", "seconds": 1.5},
    Event.UPSTREAM_FAILED: {
        "server": "github",
        "code": "upstream_unreachable",
        "kind": "connect",
        "detail": "refused",
    },
    Event.UPSTREAM_HOSTILE: {"server": "github", "kind": "redirect", "detail": "302"},
    Event.JOURNAL_FAILED: {"code": "journal-full", "detail": "ENOSPC"},
    Event.JOURNAL_RECOVERED: {"seconds": 12.5},
    Event.SHIPPING_FAILED: {"code": "database-unavailable", "detail": "no answer in time"},
    Event.SHIPPING_RECOVERED: {"seconds": 12.5},
    Event.SINK_FAILED: {"sink": "siem", "code": "sink-late", "detail": "no answer in time"},
    Event.SINK_RECOVERED: {"sink": "siem", "seconds": 12.5},
    Event.RECORD_RELEASED: {"chain": "n.0", "segments": 2, "size": 4096, "why": "room"},
    Event.RECORD_EXPIRED: {
        "decisions": 3,
        "outcomes": 2,
        "changes": 1,
        "checkpoints": 4,
        "before": "2026-01-01T00:00:00+00:00",
    },
    Event.RETENTION_HELD: {"seconds": 90_000.4},
    Event.RETENTION_FAILED: {"code": "journal-damaged", "detail": "n.jsonl, line 1: edited"},
    Event.TOKEN_ISSUED: {
        "token_id": "0193",
        "subject": "client:ci",
        "audience": "http://localhost:8080",
        "by": 'Client{"admin"}',
        "expires_at": 1_800_000_000,
    },
    Event.TOKEN_REVOKED: {"token_id": "0193", "by": 'Client{"admin"}', "why": "lost"},
    Event.INTERNAL_ERROR: {"where": "pipeline", "error": raised(KeyError("x"))},
    Event.LIBRARY_MESSAGE: {
        "library": "aiohttp.server",
        "level": "warning",
        "message": "m",
        "error": raised(KeyError("x")),
    },
}


def tell(events: Events, event: Event, **changed: object) -> None:
    getattr(events, event.label)(**(SAMPLES[event] | changed))


@pytest.mark.parametrize("event", Event)
def test_a_line_has_time_level_and_event_and_then_exactly_the_fields_of_the_list(
    event: Event,
) -> None:
    [line] = written(lambda events: tell(events, event))

    assert list(line) == ["time", "level", "event", *event.value.fields.split()]
    assert RFC3339.fullmatch(line["time"])
    assert (line["level"], line["event"]) == (event.value.level, event.label)


def test_each_line_of_one_worker_of_several_tells_which_it_is() -> None:
    stream = io.StringIO()
    Events("debug", stream, 3).stopped(seconds=0.5)

    line = json.loads(stream.getvalue())

    assert list(line) == ["time", "level", "event", "worker", "seconds"]
    assert line["worker"] == 3


def test_there_is_a_way_to_write_each_event_of_the_list_and_no_other() -> None:
    ways = {name for name, _ in inspect.getmembers(Events, inspect.isfunction)}

    assert {one for one in ways if not one.startswith("_")} == {event.label for event in Event}


@pytest.mark.parametrize("event", Event)
@pytest.mark.parametrize("level", LEVELS)
def test_an_event_below_the_level_is_not_written(event: Event, level: str) -> None:
    is_due = LEVELS[event.value.level] >= LEVELS[level]

    assert len(written(lambda events: tell(events, event), level)) == is_due


def test_only_the_debug_level_is_debugging() -> None:
    assert [Events(level, io.StringIO()).debugging for level in LEVELS] == [True] + [False] * 3


def test_a_debug_event_that_is_off_looks_at_none_of_its_fields() -> None:
    class Untouchable:
        def __getattr__(self, name: str) -> object:
            raise AssertionError(name)

        def __str__(self) -> str:
            raise AssertionError

    def touch_nothing(events: Events) -> None:
        nothing: Any = Untouchable()
        events.decision_made(
            decision_id=nothing,
            actor=nothing,
            action=nothing,
            resource=nothing,
            decision=nothing,
            seconds=nothing,
        )
        events.refused(reason=nothing, address=nothing)
        events.client_left(server=nothing, method=nothing, seconds=nothing)

    assert written(touch_nothing, "info") == []


HOSTILE = (
    "\n",
    '\r\n{"event":"token_issued"}\n',
    '"}\n{"a":"',
    "\x00\x1b[31m\x7f\x85\x9b",
    "\u2028\u2029\u202e\ufeff",
    "\ud800",
    "\U000e0001",
)


@pytest.mark.parametrize("value", HOSTILE)
@pytest.mark.parametrize("stream", [io.StringIO, Terminal])
def test_no_value_can_end_its_line_or_steer_a_terminal(
    value: str, stream: type[io.StringIO]
) -> None:
    log = stream()
    tell(Events("debug", log), Event.TOKEN_REVOKED, why=value)

    text = log.getvalue()
    assert text.endswith("\n")
    assert text[:-1].isprintable()
    assert len(text.splitlines()) == 1


ANYTHING = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.characters(categories=["Cc", "Cf", "Cs", "Zl", "Zp"])
    | st.binary()
    | st.builds(Secret, st.binary())
    | st.builds(object),
    lambda inner: st.lists(inner) | st.tuples(inner, inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)


@given(why=ANYTHING, by=ANYTHING, token_id=ANYTHING)
def test_whatever_the_values_an_event_is_one_json_object_in_one_line_of_ascii(
    why: object, by: object, token_id: object
) -> None:
    stream = io.StringIO()
    tell(Events("debug", stream), Event.TOKEN_REVOKED, why=why, by=by, token_id=token_id)

    text = stream.getvalue()
    assert text.isascii()
    assert text[:-1].isprintable()
    line = json.loads(text)
    assert list(line) == ["time", "level", "event", "token_id", "by", "why"]
    assert line["event"] == "token_revoked"


@given(st.text())
def test_printable_text_that_is_short_and_no_credential_is_written_as_it_is(value: str) -> None:
    plain = "".join(one for one in value if one.isprintable() and one not in ".@:/")
    if "bearer" not in plain.lower():
        [line] = written(lambda events: tell(events, Event.TOKEN_REVOKED, why=plain))
        assert line["why"] == plain


def test_long_texts_and_long_lists_are_cut() -> None:
    problems = ["x" * 100_000] * 1000
    [line] = written(lambda events: tell(events, Event.POLICY_REFUSED, problems=problems))

    assert len(line["problems"]) == MOST_ITEMS
    assert all(len(one) == MOST_CHARACTERS + 3 for one in line["problems"])


SECRETS = (
    Secret(CANARY.encode()),
    CANARY.encode(),
    {"password": CANARY},
    [Secret(CANARY.encode()), CANARY.encode(), {"a": CANARY}],
    ValueError(CANARY),
    TOKEN,
    TOKEN.rpartition(".")[0],
    f"Authorization: Bearer {CANARY}",
    f"bearer\t{CANARY}",
    f"postgresql://northgate:{CANARY}@db.example/x",
    f"postgresql://northgate:{CANARY}{'x' * 5000}@db.example/x",
    f"{'x ' * 1015}{TOKEN}",
    f"{'x ' * 1000}https://u:{CANARY}{'x' * 5000}@db.example/x",
)


@pytest.mark.parametrize("secret", SECRETS)
@pytest.mark.parametrize("stream", [io.StringIO, Terminal])
def test_a_secret_in_a_field_does_not_show(secret: object, stream: type[io.StringIO]) -> None:
    log = stream()
    events = Events("debug", log)
    tell(events, Event.UPSTREAM_FAILED, detail=secret)
    tell(events, Event.POLICY_REFUSED, problems=[secret])
    tell(events, Event.LIBRARY_MESSAGE, message=secret)

    assert CANARY not in log.getvalue()
    assert log.getvalue().count("\n") == 3


def test_the_address_of_a_document_is_not_written() -> None:
    document = Entity("Document", f"files|file:///{CANARY}")
    [line] = written(lambda events: tell(events, Event.DECISION_MADE, resource=document))

    assert line["resource"] == "Document"


def failing(argument: str) -> None:
    local = f"local {argument}"
    try:
        raise KeyError(local)  # noqa: TRY301  two exceptions of one function
    except KeyError as error:
        raise RuntimeError(argument) from error


def test_an_internal_error_tells_type_places_and_causes_but_no_values() -> None:
    try:
        failing(CANARY)
    except RuntimeError as error:
        caught = error
    [line] = written(lambda events: tell(events, Event.INTERNAL_ERROR, error=caught))

    assert line["error"] == "RuntimeError"
    places = [re.sub(r":\d+ ", ":N ", one) for one in line["traceback"]]
    here = "tests/telemetry/test_events.py:N "
    assert places == [
        f"{here}test_an_internal_error_tells_type_places_and_causes_but_no_values",
        f"{here}failing",
        "because of KeyError",
        f"{here}failing",
    ]
    assert CANARY not in json.dumps(line)


def test_the_fault_inside_a_group_is_told() -> None:
    group = raised(BaseExceptionGroup("several", [raised(KeyError("a")), ValueError("b")]))
    [line] = written(lambda events: tell(events, Event.INTERNAL_ERROR, error=group))

    assert "because of KeyError" in line["traceback"]


def test_the_traceback_of_an_endless_recursion_is_cut() -> None:
    def forever() -> None:
        forever()

    try:
        forever()
    except RecursionError as error:
        caught = error
    [line] = written(lambda events: tell(events, Event.INTERNAL_ERROR, error=caught))

    assert 0 < len(line["traceback"]) <= MOST_ITEMS


def test_a_log_that_cannot_be_written_fails_nothing() -> None:
    closed = io.StringIO()
    events = Events("debug", closed)
    closed.close()

    for log in (events, Events("debug", Broken())):
        tell(log, Event.STOPPED)


def test_a_terminal_gets_readable_lines() -> None:
    log = Terminal()
    tell(Events("info", log), Event.POLICY_CHANGED)

    assert re.fullmatch(
        r'\S+Z info    policy_changed before="abc" after="abd" by="System\{\\"watcher\\"\}"\n',
        log.getvalue(),
    )


def test_a_library_that_warns_is_written_in_the_same_form() -> None:
    with captured() as stream:
        logging.getLogger("aiohttp.server").warning("Odd %s\n%s", "request", "second line")
        logging.getLogger("sqlalchemy.engine").info("SELECT 1")

    line = json.loads(stream.getvalue())
    assert (line["level"], line["event"]) == ("warning", "library_message")
    assert (line["library"], line["message"]) == ("aiohttp.server", "Odd request\\u000asecond line")
    assert "error" not in line


def test_a_library_that_logs_an_exception_shows_its_places_and_not_its_words() -> None:
    with captured() as stream:
        try:
            failing(CANARY)
        except RuntimeError:
            logging.getLogger("asyncio").exception("Task failed")
        logging.getLogger("asyncio").critical("At the end")

    first, second = map(json.loads, stream.getvalue().splitlines())
    assert (first["level"], first["error"]) == ("error", "RuntimeError")
    assert any("failing" in place for place in first["traceback"])
    assert second["level"] == "error"
    assert CANARY not in stream.getvalue()


class Unprintable:
    def __str__(self) -> str:
        raise ValueError


@pytest.mark.parametrize(
    ("message", "arguments", "shown"),
    [("%d of %d", (1,), "%d of %d"), ("%s", (Unprintable(),), "%s"), (Unprintable(), (), "odd")],
)
def test_a_library_that_logs_wrongly_is_still_written(
    message: object, arguments: tuple[object, ...], shown: str
) -> None:
    record = logging.makeLogRecord(
        {"name": "odd", "levelno": logging.WARNING, "msg": message, "args": arguments}
    )
    [line] = written(lambda events: LibraryLog(events).handle(record))

    assert line["message"] == (shown if isinstance(message, str) else "Unprintable")


def test_a_warning_of_python_is_written_as_a_library_message() -> None:
    with captured() as stream, warnings.catch_warnings():
        logging.captureWarnings(capture=False)
        logging.captureWarnings(capture=True)
        warnings.simplefilter("always")
        warnings.warn("Something is old", DeprecationWarning, stacklevel=1)

    line = json.loads(stream.getvalue())
    assert line["library"] == "py.warnings"
    assert "DeprecationWarning: Something is old" in line["message"]


def test_libraries_are_not_heard_below_the_level() -> None:
    with captured("error") as stream:
        logging.getLogger("library").warning("Odd")

    assert stream.getvalue() == ""


def test_afterwards_libraries_log_as_before() -> None:
    before = list(logging.getLogger().handlers)
    with captured() as stream:
        assert len(logging.getLogger().handlers) == len(before) + 1
    logging.getLogger("library").warning("Odd")

    assert logging.getLogger().handlers == before
    assert stream.getvalue() == ""
