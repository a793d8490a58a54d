"""Syslog, OTLP and standard output, each read by a strict reader of its format."""

from __future__ import annotations

import asyncio
import fcntl
import os
import re
import ssl
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import orjson
from opentelemetry._logs import SeverityNumber
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import (
    ExportLogsPartialSuccess,
    ExportLogsServiceResponse,
)

from proxy.sinks.otlp import OtlpLogs
from proxy.sinks.posting import Poster
from proxy.sinks.sink import Receiver, Share
from proxy.sinks.stdout import Stdout
from proxy.sinks.syslog import Line, SyslogDatagrams, SyslogStream
from proxy.telemetry.export import resource
from storage.journal import Kind
from tests.sinks.listeners import Syslog, datagrams, stream, web
from tests.sinks.sent import Sent, sent, until
from tests.telemetry.collector import attributes, collecting
from tests.upstream.certificates import contexts

# RFC 5424, section 6, as narrow as it is there.
_NAME = rb"[!#-<>-\\^-~]{1,32}"
_VALUE = rb'"(?:[^"\\\]]|\\["\\\]])*"'
MESSAGE = re.compile(
    rb"<(?P<pri>[1-9][0-9]{0,2})>1 "
    rb"(?P<time>\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{1,6}Z) "
    rb"(?P<host>[!-~]{1,255}) (?P<app>[!-~]{1,48}) (?P<process>[!-~]{1,128}) (?P<id>[!-~]{1,32}) "
    rb"\[(?P<sd>" + _NAME + rb")(?P<params>(?: " + _NAME + rb"=" + _VALUE + rb")*)\]"
    rb" (?P<text>.*)",
    re.DOTALL,
)


def parts(one: bytes) -> dict[str, bytes]:
    found = MESSAGE.fullmatch(one)
    assert found is not None, one
    return found.groupdict()


VERDICTS = ("allow", "deny", "undecided")


async def judged(world: Sent) -> None:
    for verdict in VERDICTS:
        await world.journal.append(Kind.DECISION, {"verdict": verdict, "text": 'grüße ]\\"'})
    await world.journal.append(Kind.OUTCOME, {"ms": 1.5})
    await world.all_sent()


def messages_of(made: Callable[[], Receiver], directory: Path) -> list[bytes]:
    """Let a receiver have a judged journal; return its lines without their breaks."""

    async def story() -> list[bytes]:
        async with sent(directory, {"siem": made()}) as world:
            await judged(world)
            assert world.told.events == []
            return [one.rstrip(b"\n") for one in world.lines()]

    return asyncio.run(story())


def check(server: Syslog, written: Sequence[bytes]) -> None:
    found = [parts(one) for one in server.messages]
    assert [one["text"] for one in found] == written
    assert [int(one["pri"]) for one in found] == [110, 110, 109, 108, 110]
    for one in found:
        record = orjson.loads(one["text"])
        assert (one["host"], one["app"], one["process"]) == (b"here", b"northgate", b"0")
        assert one["sd"] == b"northgate@32473"
        assert one["params"].decode() == f' id="{record["id"]}" seq="{record["seq"]}"'
        assert (one["id"].decode(), one["time"].decode()) == (record["kind"], record["time"])


def test_syslog_over_udp_is_one_strict_message_a_datagram(tmp_path: Path) -> None:
    with datagrams() as server:
        line = Line("127.0.0.1", server.port, 5)
        written = messages_of(lambda: SyslogDatagrams(line, "audit"), tmp_path)

    check(server, written)


def test_what_no_datagram_holds_is_cut_and_says_so(tmp_path: Path) -> None:
    async def story(receiver: Receiver) -> bytes:
        async with sent(tmp_path, {"siem": receiver}) as world:
            await world.journal.append(Kind.DECISION, {"text": "x" * 100_000})
            await world.all_sent()
            return world.lines()[-1].rstrip(b"\n")

    with datagrams() as server:
        line = Line("localhost", server.port, 5)
        whole = asyncio.run(story(SyslogDatagrams(line, "local7")))

    last = parts(server.messages[-1])
    assert len(server.messages) == 2
    left_out = re.search(rb'cut="(\d+)"', last["params"])
    assert left_out is not None
    assert whole[: -int(left_out[1])] == last["text"]


def test_syslog_over_tcp_and_tls_is_octet_counted(tmp_path: Path) -> None:
    theirs, ours = contexts("localhost")
    for name, server_side, client_side in (("tcp", None, None), ("tls", theirs, ours)):
        with stream(server_side) as server:
            line = Line("localhost", server.port, 5, client_side)
            written = messages_of(partial(SyslogStream, line, "audit"), tmp_path / name)
        check(server, written)


def test_a_syslog_server_that_did_not_read_to_the_end_is_sent_it_again(tmp_path: Path) -> None:
    theirs, ours = contexts("localhost")

    async def story(directory: Path, server: Syslog, context: ssl.SSLContext | None) -> None:
        line = Line("localhost", server.port, 5, context)
        async with sent(directory, {"siem": SyslogStream(line, "user")}) as world:
            await world.write(500)
            await world.all_sent()
            await until(lambda: world.told.of("siem") == ["sink-unreachable", "recovered"])
            assert [parts(one)["text"] + b"\n" for one in server.messages] == world.lines()

    for name, server_side, client_side in (("tcp", None, None), ("tls", theirs, ours)):
        with stream(server_side, deaf=1) as server:
            asyncio.run(story(tmp_path / name, server, client_side))
        assert server.deaf == 0


def test_a_syslog_server_with_another_certificate_is_told_nothing(tmp_path: Path) -> None:
    theirs, ours = contexts("elsewhere")

    async def story(server: Syslog) -> None:
        line = Line("localhost", server.port, 5, ours)
        async with sent(tmp_path, {"siem": SyslogStream(line, "user")}) as world:
            await world.write(1)
            await until(lambda: world.told.events)
            assert world.told.events == ["siem: sink-untrusted"]

    with stream(theirs) as server:
        asyncio.run(story(server))

    assert server.messages == []


def otlp(endpoint: str) -> OtlpLogs:
    poster = Poster(f"{endpoint}/v1/logs", {}, 5, ssl.create_default_context())
    return OtlpLogs(poster, resource("1.2.3"))


def test_a_collector_gets_each_record_as_a_log(tmp_path: Path) -> None:
    with collecting() as collector:
        written = messages_of(lambda: otlp(collector.endpoint), tmp_path)

    assert [one.body.string_value.encode() for one in collector.logs] == written
    severities = [SeverityNumber(one.severity_number) for one in collector.logs]
    info = SeverityNumber.INFO
    assert severities == [info, info, SeverityNumber.INFO2, SeverityNumber.WARN, info]
    for one in collector.logs:
        record: Any = orjson.loads(one.body.string_value)
        found = attributes(one.attributes)
        assert found["northgate.record.id"] == record["id"]
        assert found["northgate.record.seq"] == record["seq"]
        assert one.event_name == f"northgate.record.{record['kind']}"
        assert f"{one.time_unix_nano % 10**9 // 1000:06d}Z" == record["time"].partition(".")[2]


def test_what_a_collector_rejects_or_sends_elsewhere_stays_to_be_sent(tmp_path: Path) -> None:
    rejection = ExportLogsPartialSuccess(rejected_log_records=1, error_message="too old")

    async def story() -> None:
        receiver = otlp(f"http://localhost:{server.port}")
        async with sent(tmp_path, {"siem": receiver}) as world:
            await until(lambda: server.asked > 1)
            assert world.told.events == ["siem: sink-refused"]
            assert world.behind("siem") == 1
            server.answer = (200, b"")
            await world.all_sent()

    with web(troubles=(302,)) as server:
        server.answer = (
            200,
            ExportLogsServiceResponse(partial_success=rejection).SerializeToString(),
        )
        asyncio.run(story())


def test_a_standard_output_that_nobody_reads_holds_up_nobody(tmp_path: Path) -> None:
    reading, writing = os.pipe()
    fcntl.fcntl(writing, fcntl.F_SETPIPE_SZ, 4096)
    heard = bytearray()

    async def story() -> list[bytes]:
        receiver = Stdout(writing, 0.1, tmp_path / "turn")
        async with sent(tmp_path, {"out": receiver}, Share(most=100)) as world:
            await world.write(50)  # none of which waits for it
            await until(lambda: world.told.events)
            assert world.told.events == ["out: sink-late"]
            assert world.behind("out") > 0
            loop = asyncio.get_running_loop()
            loop.add_reader(reading, lambda: heard.extend(os.read(reading, 65_536)))
            await world.all_sent()
            os.set_blocking(reading, False)
            written = world.lines()
            await until(lambda: heard.endswith(written[-1]))
            loop.remove_reader(reading)
            return written

    try:
        written = asyncio.run(story())
    finally:
        os.close(reading)
        os.close(writing)

    # It was stopped within a line at first; that is one line more, and nothing else is torn.
    whole = [one for one in bytes(heard).splitlines(keepends=True) if one in written]
    assert list(dict.fromkeys(whole)) == written
    torn = [one for one in bytes(heard).splitlines(keepends=True) if one not in written]
    assert all(any(line.startswith(one.rstrip()) for line in written) for one in torn)


def test_a_standard_output_that_is_closed_is_told_and_stays_to_be_written(tmp_path: Path) -> None:
    reading, writing = os.pipe()
    os.close(reading)

    async def story() -> None:
        async with sent(tmp_path, {"out": Stdout(writing, 1, tmp_path / "turn")}) as world:
            await until(lambda: world.told.events)
            assert world.told.events == ["out: sink-unreachable"]
            assert world.behind("out") == 1

    try:
        asyncio.run(story())
    finally:
        os.close(writing)
