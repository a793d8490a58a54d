"""Requests written byte by byte: each is served as one request, or by none (T11, T17, T18)."""

from __future__ import annotations

import asyncio

import pytest
import uvloop

from proxy.listener.connection import REFUSALS
from proxy.listener.refusals import Refusal
from tests.listener.served import ANSWER, Seen, Served, serving

ORIGIN = "https://page.example"
NAMED = "gateway.example"

CANARY = b"GET /canary HTTP/1.1\r\nHost: HOST\r\nConnection: close\r\n\r\n"
"""Said right behind each case: it must be served exactly if all before it was understood."""

MARK = b"MarkOfTheSender"


def get(
    *fields: bytes, target: bytes = b"/mcp", method: bytes = b"GET", host: bytes = b"Host: HOST\r\n"
) -> bytes:
    """Return a request without body; *fields* are whole lines, ends included."""
    mark = b"X-Mark: " + MARK + b"\r\n"
    return method + b" " + target + b" HTTP/1.1\r\n" + host + mark + b"".join(fields) + b"\r\n"


def post(*fields: bytes, body: bytes) -> bytes:
    return get(*fields, method=b"POST") + body


def chunked(body: bytes, coding: bytes = b"Transfer-Encoding: chunked\r\n") -> bytes:
    return post(coding, body=body)


def lined(line: bytes) -> bytes:
    return line + b"\r\nHost: HOST\r\nX-Mark: " + MARK + b"\r\n\r\n"


LENGTH_3 = b"Content-Length: 3\r\n"
CHUNKED = b"Transfer-Encoding: chunked\r\n"
WHOLE = b"3\r\nabc\r\n0\r\n\r\n"

SERVED = {
    "plain GET": get(),
    "plain POST": post(LENGTH_3, body=b"abc"),
    "plain DELETE": get(method=b"DELETE"),
    "GET with a body": get(LENGTH_3) + b"abc",
    "empty body": post(b"Content-Length: 0\r\n", body=b""),
    "no length at all": post(body=b""),
    "chunks": chunked(WHOLE),
    "coding in upper case": chunked(WHOLE, b"TRANSFER-ENCODING: CHUNKED\r\n"),
    "many chunks": chunked(b"1\r\na\r\n1\r\nb\r\n1\r\nc\r\n0\r\n\r\n"),
    "chunk size with leading zeros": chunked(b"003\r\nabc\r\n0\r\n\r\n"),
    "chunk size in upper case": chunked(b"A\r\n0123456789\r\n0\r\n\r\n"),
    "chunk extension": chunked(b"3;name=value\r\nabc\r\n0\r\n\r\n"),
    "quoted chunk extension": chunked(b'3;name="v;w"\r\nabc\r\n0\r\n\r\n'),
    "trailer": chunked(b"3\r\nabc\r\n0\r\nX-Trailer: 1\r\n\r\n"),
    "empty value": get(b"X-Empty:\r\n"),
    "no space after the colon": get(b"X-Tight:1\r\n"),
    "tabs around a value": get(b"X-Tabs:\t1\t\r\n"),
    "header twice": get(b"X-Twice: 1\r\nX-Twice: 2\r\n"),
    "bytes beyond ASCII in a value": get(b"X-Far: \xff\xfe\r\n"),
    "empty line before the request": b"\r\n" + get(),
    "host in upper case": get(host=b"hOsT: LocalHost:PORT\r\n"),
    "host as IPv4": get(host=b"Host: 127.0.0.1:PORT\r\n"),
    "host as IPv6": get(host=b"Host: [::1]:PORT\r\n"),
    "host by name": get(host=b"Host: gateway.example\r\n"),
    "known origin": get(b"Origin: https://page.example\r\n"),
    "query": get(target=b"/mcp?a=b&c=%2F"),
    "well-known path": get(target=b"/.well-known/oauth-protected-resource/servers/a/mcp"),
    "root": get(target=b"/"),
    "absolute form of this host": get(target=b"http://HOST/mcp"),
    "version behind two spaces": lined(b"GET /mcp  HTTP/1.1"),
    "two empty segments": get(target=b"//mcp"),
    "Upgrade without its name": get(b"Connection: Upgrade\r\n"),
    "Expect with the body at once": post(LENGTH_3, b"Expect: 100-continue\r\n", body=b"abc"),
}

MALFORMED = {
    # Two lengths, or two opinions about one.
    "length and coding": post(LENGTH_3, CHUNKED, body=WHOLE),
    "coding and length": post(CHUNKED, LENGTH_3, body=WHOLE),
    "coding and length zero": post(b"Content-Length: 0\r\n", CHUNKED, body=WHOLE),
    "two lengths": post(LENGTH_3, b"Content-Length: 4\r\n", body=b"abc"),
    "the same length twice": post(LENGTH_3, LENGTH_3, body=b"abc"),
    "length list": post(b"Content-Length: 3, 3\r\n", body=b"abc"),
    "length list of two": post(b"Content-Length: 3, 4\r\n", body=b"abc"),
    "length with a sign": post(b"Content-Length: +3\r\n", body=b"abc"),
    "negative length": post(b"Content-Length: -3\r\n", body=b"abc"),
    "length in hex": post(b"Content-Length: 0x3\r\n", body=b"abc"),
    "length with a point": post(b"Content-Length: 3.0\r\n", body=b"abc"),
    "length with an exponent": post(b"Content-Length: 3e0\r\n", body=b"abc"),
    "length with an underscore": post(b"Content-Length: 1_0\r\n", body=b"0123456789"),
    "length with a space inside": post(b"Content-Length: 1 0\r\n", body=b"0123456789"),
    "empty length": post(b"Content-Length: \r\n", body=b"abc"),
    "length of words": post(b"Content-Length: three\r\n", body=b"abc"),
    "length in wide digits": post("Content-Length: \uff13\r\n".encode(), body=b"abc"),
    "length beyond 64 bits": post(b"Content-Length: 18446744073709551619\r\n", body=b"abc"),
    "length of 40 digits": post(b"Content-Length: " + b"9" * 40 + b"\r\n", body=b"abc"),
    "length with a space before the colon": post(b"Content-Length : 3\r\n", body=b"abc"),
    "length with a tab before the colon": post(b"Content-Length\t: 3\r\n", body=b"abc"),
    "length with a vertical tab": post(b"Content-Length:\x0b3\r\n", body=b"abc"),
    # Codings that one of two parsers would not see.
    "coding with a space before the colon": chunked(WHOLE, b"Transfer-Encoding : chunked\r\n"),
    "coding with a tab before the colon": chunked(WHOLE, b"Transfer-Encoding\t: chunked\r\n"),
    "coding unknown": chunked(WHOLE, b"Transfer-Encoding: xchunked\r\n"),
    "coding with a suffix": chunked(WHOLE, b"Transfer-Encoding: chunkedx\r\n"),
    "coding identity": chunked(WHOLE, b"Transfer-Encoding: identity\r\n"),
    "coding gzip": chunked(WHOLE, b"Transfer-Encoding: gzip\r\n"),
    "coding gzip, chunked": chunked(WHOLE, b"Transfer-Encoding: gzip, chunked\r\n"),
    "coding chunked, gzip": chunked(WHOLE, b"Transfer-Encoding: chunked, gzip\r\n"),
    "coding chunked, chunked": chunked(WHOLE, b"Transfer-Encoding: chunked, chunked\r\n"),
    "coding chunked, identity": chunked(WHOLE, b"Transfer-Encoding: chunked, identity\r\n"),
    "coding identity, chunked": chunked(WHOLE, b"Transfer-Encoding: identity, chunked\r\n"),
    "coding twice": chunked(WHOLE, CHUNKED + CHUNKED),
    "coding and another": chunked(WHOLE, CHUNKED + b"Transfer-Encoding: x\r\n"),
    "another and coding": chunked(WHOLE, b"Transfer-Encoding: x\r\n" + CHUNKED),
    "coding quoted": chunked(WHOLE, b'Transfer-Encoding: "chunked"\r\n'),
    "coding with a parameter": chunked(WHOLE, b"Transfer-Encoding: chunked;q=1\r\n"),
    "coding after a comma": chunked(WHOLE, b"Transfer-Encoding: ,chunked\r\n"),
    "coding with a vertical tab": chunked(WHOLE, b"Transfer-Encoding:\x0bchunked\r\n"),
    "coding with a form feed": chunked(WHOLE, b"Transfer-Encoding: chunked\x0c\r\n"),
    "coding with NUL": chunked(WHOLE, b"Transfer-Encoding: chunked\0\r\n"),
    "coding with a far space": chunked(WHOLE, b"Transfer-Encoding: \xa0chunked\r\n"),
    "coding after CR": chunked(WHOLE, b"Transfer-Encoding:\rchunked\r\n"),
    "coding on the next line": chunked(WHOLE, b"Transfer-Encoding:\r\n chunked\r\n"),
    "coding empty": chunked(WHOLE, b"Transfer-Encoding:\r\n"),
    "coding behind a bare LF": chunked(WHOLE, b"X-Dummy: x\nTransfer-Encoding: chunked\r\n"),
    "coding behind a bare CR": chunked(WHOLE, b"X-Dummy: x\rTransfer-Encoding: chunked\r\n"),
    "coding behind CR CR LF": chunked(WHOLE, b"X-Dummy: x\r\r\nTransfer-Encoding: chunked\r\n"),
    "coding in a name with NUL": chunked(WHOLE, b"Transfer-Encoding\0: chunked\r\n"),
    "coding behind a space": chunked(WHOLE, b" Transfer-Encoding: chunked\r\n"),
    # Chunks.
    "chunk size missing": chunked(b"\r\nabc\r\n0\r\n\r\n"),
    "chunk size of words": chunked(b"zz\r\nabc\r\n0\r\n\r\n"),
    "chunk size with 0x": chunked(b"0x3\r\nabc\r\n0\r\n\r\n"),
    "chunk size with a sign": chunked(b"+3\r\nabc\r\n0\r\n\r\n"),
    "chunk size negative": chunked(b"-3\r\nabc\r\n0\r\n\r\n"),
    "chunk size with an underscore": chunked(b"0_3\r\nabc\r\n0\r\n\r\n"),
    "chunk size behind a space": chunked(b" 3\r\nabc\r\n0\r\n\r\n"),
    "chunk size before a space": chunked(b"3 \r\nabc\r\n0\r\n\r\n"),
    "chunk size beyond 64 bits": chunked(b"10000000000000003\r\nabc\r\n0\r\n\r\n"),
    "chunk size in wide digits": chunked("\uff13\r\nabc\r\n0\r\n\r\n".encode()),
    "chunk too long": chunked(b"3\r\nabcd\r\n0\r\n\r\n"),
    "chunk too short": chunked(b"3\r\nab\r\n0\r\n\r\n"),
    "chunk size ends in LF": chunked(b"3\nabc\r\n0\r\n\r\n"),
    "chunk size ends in CR": chunked(b"3\rabc\r\n0\r\n\r\n"),
    "chunk ends in LF": chunked(b"3\r\nabc\n0\r\n\r\n"),
    "chunk ends in CR": chunked(b"3\r\nabc\r0\r\n\r\n"),
    "chunk ends in nothing": chunked(b"3\r\nabc0\r\n\r\n"),
    "chunk extension with LF": chunked(b"3;a\nb\r\nabc\r\n0\r\n\r\n"),
    "chunk extension with CR": chunked(b"3;a\rb\r\nabc\r\n0\r\n\r\n"),
    "chunk extension with NUL": chunked(b"3;a\0b\r\nabc\r\n0\r\n\r\n"),
    "chunk extension unquoted": chunked(b'3;a="b\r\nabc\r\n0\r\n\r\n'),
    "trailer with LF": chunked(b"3\r\nabc\r\n0\r\nX-T: 1\n\r\n"),
    "trailer with a space before the colon": chunked(b"3\r\nabc\r\n0\r\nX-T : 1\r\n\r\n"),
    "last chunk ends in LF": chunked(b"3\r\nabc\r\n0\n\r\n"),
    # Lines.
    "LF ends the request line": b"GET /mcp HTTP/1.1\nHost: HOST\r\n\r\n",
    "LF ends a header": get(b"X-One: 1\nX-Two: 2\r\n"),
    "LF ends every line": get().replace(b"\r\n", b"\n"),
    "LF ends the head": get()[:-2] + b"\n",
    "CR ends a header": get(b"X-One: 1\rX-Two: 2\r\n"),
    "CR ends every line": get().replace(b"\r\n", b"\r"),
    "CR in a value": get(b"X-One: a\rb\r\n"),
    "folded value": get(b"X-One: 1\r\n 2\r\n"),
    "value folded by a tab": get(b"X-One: 1\r\n\t2\r\n"),
    "first header folded": b"GET /mcp HTTP/1.1\r\n Host: HOST\r\n\r\n",
    "NUL in a value": get(b"X-One: a\0b\r\n"),
    "NUL in a name": get(b"X-\0One: 1\r\n"),
    "escape in a value": get(b"X-One: a\x1bb\r\n"),
    "DEL in a value": get(b"X-One: a\x7fb\r\n"),
    "backspace in a value": get(b"X-One: a\x08b\r\n"),
    "space in a name": get(b"X One: 1\r\n"),
    "space before the colon": get(b"X-One : 1\r\n"),
    "no colon": get(b"X-One\r\n"),
    "no name": get(b": 1\r\n"),
    "name in brackets": get(b"X[One]: 1\r\n"),
    "name with a slash": get(b"X/One: 1\r\n"),
    "name with a quote": get(b'X"One: 1\r\n'),
    "name beyond ASCII": get("X-\u00d6ne: 1\r\n".encode()),
    "old WebSocket key": get(b"Sec-WebSocket-Key1: 1\r\n"),
    "two types of content": post(
        LENGTH_3, b"Content-Type: a/b\r\nContent-Type: c/d\r\n", body=b"abc"
    ),
    # The request line.
    "no version": lined(b"GET /mcp"),
    "version 0.9": lined(b"GET /mcp HTTP/0.9"),
    "version 1.2": lined(b"GET /mcp HTTP/1.2"),
    "version 2.0": lined(b"GET /mcp HTTP/2.0"),
    "version 1.10": lined(b"GET /mcp HTTP/1.10"),
    "version 11": lined(b"GET /mcp HTTP/11"),
    "version in lower case": lined(b"GET /mcp http/1.1"),
    "version of another protocol": lined(b"GET /mcp RTSP/1.0"),
    "version behind a tab": lined(b"GET /mcp\tHTTP/1.1"),
    "two versions": lined(b"GET /mcp HTTP/1.1 HTTP/1.1"),
    "space in the target": lined(b"GET /m cp HTTP/1.1"),
    "NUL in the target": lined(b"GET /m\0cp HTTP/1.1"),
    "CR in the target": lined(b"GET /m\rcp HTTP/1.1"),
    "bytes beyond ASCII in the target": get(target=b"/mcp\xff"),
    "letters beyond ASCII in the target": get(target="/mcp\u00e9".encode()),
    "bytes beyond ASCII in the query": get(target=b"/mcp?a=\xff"),
    "no target": lined(b"GET HTTP/1.1"),
    "target without a slash": lined(b"GET mcp HTTP/1.1"),
    "target of a host": lined(b"GET HOST HTTP/1.1"),
    "target is a star": lined(b"GET * HTTP/1.1"),
    "method in lower case": lined(b"get /mcp HTTP/1.1"),
    "method unknown": lined(b"FETCH /mcp HTTP/1.1"),
    "method with a space before it": lined(b" GET /mcp HTTP/1.1"),
    "method with NUL": lined(b"G\0ET /mcp HTTP/1.1"),
    "preface of HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + MARK,
    "nothing but noise": b"\x00\x01\x02\x03" + MARK,
    "words": b"Hello, is anybody there? " + MARK + b"\r\n\r\n",
    # HTTP/1.0.
    "chunks in HTTP/1.0": chunked(WHOLE).replace(b"HTTP/1.1", b"HTTP/1.0"),
    "coding and length in HTTP/1.0": post(CHUNKED, LENGTH_3, body=WHOLE).replace(
        b"HTTP/1.1", b"HTTP/1.0"
    ),
}

HOSTS = {
    "no host": get(host=b""),
    "empty host": get(host=b"Host:\r\n"),
    "two hosts": get(host=b"Host: HOST\r\nHost: HOST\r\n"),
    "two different hosts": get(host=b"Host: HOST\r\nHost: evil.example\r\n"),
    "foreign host": get(host=b"Host: evil.example\r\n"),
    "foreign host with our port": get(host=b"Host: evil.example:PORT\r\n"),
    "our host without the port": get(host=b"Host: localhost\r\n"),
    "our host with another port": get(host=b"Host: localhost:1\r\n"),
    "our host with an empty port": get(host=b"Host: localhost:\r\n"),
    "our host with a zero before the port": get(host=b"Host: localhost:0PORT\r\n"),
    "our host as a beginning": get(host=b"Host: HOST.evil.example\r\n"),
    "our host as an end": get(host=b"Host: evil.example@HOST\r\n"),
    "our host with a dot": get(host=b"Host: localhost.:PORT\r\n"),
    "our host in a list": get(host=b"Host: HOST, evil.example\r\n"),
    "our host with a path": get(host=b"Host: HOST/mcp\r\n"),
    "loopback by another address": get(host=b"Host: 127.0.0.2:PORT\r\n"),
    "loopback as a number": get(host=b"Host: 2130706433:PORT\r\n"),
    "loopback in short": get(host=b"Host: 127.1:PORT\r\n"),
    "any address": get(host=b"Host: 0.0.0.0:PORT\r\n"),
    "loopback as IPv6 in full": get(host=b"Host: [0:0:0:0:0:0:0:1]:PORT\r\n"),
    "named host with a port": get(host=b"Host: gateway.example:443\r\n"),
    "no host in HTTP/1.0": get(b"Connection: keep-alive\r\n", host=b"").replace(
        b"HTTP/1.1", b"HTTP/1.0"
    ),
}

ORIGINS = {
    "foreign origin": get(b"Origin: https://evil.example\r\n"),
    "no origin to speak of": get(b"Origin: null\r\n"),
    "empty origin": get(b"Origin:\r\n"),
    "known origin by another scheme": get(b"Origin: http://page.example\r\n"),
    "known origin with a port": get(b"Origin: https://page.example:443\r\n"),
    "known origin with a slash": get(b"Origin: https://page.example/\r\n"),
    "known origin as a beginning": get(b"Origin: https://page.example.evil.example\r\n"),
    "known origin and another": get(
        b"Origin: https://page.example\r\nOrigin: https://evil.example\r\n"
    ),
    "known origin twice": get(b"Origin: https://page.example\r\n" * 2),
    "our own host as origin": get(b"Origin: http://HOST\r\n"),
}

TARGETS = {
    "letter encoded": get(target=b"/%6dcp"),
    "slash encoded": get(target=b"/servers%2fa/mcp"),
    "dot encoded": get(target=b"/servers/%2e%2e/mcp"),
    "NUL encoded": get(target=b"/mcp%00"),
    "percent alone": get(target=b"/mcp%"),
    "one dot": get(target=b"/./mcp"),
    "two dots": get(target=b"/servers/../mcp"),
    "two dots at the end": get(target=b"/servers/a/.."),
    "one dot at the end": get(target=b"/mcp/."),
    "semicolon": get(target=b"/mcp;x=1"),
    "backslash": get(target=b"/servers\\a/mcp"),
    "fragment": get(target=b"/mcp#top"),
    "fragment in the query": get(target=b"/mcp?a#b"),
    "empty query": get(target=b"/mcp?"),
    "at sign": get(target=b"/@mcp"),
    "colon": get(target=b"/servers/a:b/mcp"),
    "comma": get(target=b"/mcp,x"),
    "star": get(target=b"/servers/*/mcp"),
    "tilde is fine, braces are not": get(target=b"/~a/{b}"),
    "foreign absolute form": get(target=b"http://evil.example/mcp"),
    "absolute form of another of our names": get(target=b"http://gateway.example/mcp"),
    "absolute form with a user": get(target=b"http://evil@HOST/mcp"),
    "absolute form of another scheme": get(target=b"ftp://HOST/mcp"),
    "absolute form without a path": get(target=b"http://HOST"),
    "absolute form with dots": get(target=b"http://HOST/../mcp"),
}

METHODS = {
    name: get(method=name.encode())
    for name in ("OPTIONS", "PUT", "PATCH", "TRACE", "PROPFIND", "SEARCH", "PURGE", "QUERY")
}

UPGRADES = {
    "CONNECT": b"CONNECT HOST HTTP/1.1\r\nHost: HOST\r\n\r\n",
    "WebSocket": get(
        b"Connection: Upgrade\r\nUpgrade: websocket\r\n"
        b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
    ),
    "HTTP/2 in clear": get(b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n"),
    "upgrade of a POST": post(b"Connection: Upgrade\r\nUpgrade: h2c\r\n", LENGTH_3, body=b"abc"),
    "upgrade that nobody connects": get(b"Upgrade: websocket\r\n"),
}

LARGE = {
    "one large header": get(b"X-Large: " + b"a" * 40_000 + b"\r\n"),
    "one large name": get(b"X-" + b"a" * 40_000 + b": 1\r\n"),
    "many headers": get(*(b"X-%d: 1\r\n" % number for number in range(200))),
    "many large headers": get(*(b"X-%d: %b\r\n" % (n, b"a" * 1000) for n in range(40))),
    "large target": get(target=b"/" + b"a" * 40_000),
    "large query": get(target=b"/mcp?" + b"a" * 40_000),
    "large head before a body": post(
        LENGTH_3, *(b"X-%d: %b\r\n" % (n, b"a" * 400) for n in range(90)), body=b"abc"
    ),
}

REFUSED = [
    *((Refusal.MALFORMED, name, raw) for name, raw in MALFORMED.items()),
    *((Refusal.HOST, name, raw) for name, raw in HOSTS.items()),
    *((Refusal.ORIGIN, name, raw) for name, raw in ORIGINS.items()),
    *((Refusal.TARGET, name, raw) for name, raw in TARGETS.items()),
    *((Refusal.METHOD, name, raw) for name, raw in METHODS.items()),
    *((Refusal.UPGRADE, name, raw) for name, raw in UPGRADES.items()),
    *((Refusal.TOO_LARGE_HEADERS, name, raw) for name, raw in LARGE.items()),
]


def on(served: Served, raw: bytes) -> bytes:
    return raw.replace(b"PORT", b"%d" % served.port) if b"PORT\r" in raw else raw


async def check_refused(served: Served, reason: Refusal, raw: bytes) -> None:
    served.seen.clear()
    served.refusals.clear()

    answer = await served.ask(on(served, raw) + CANARY)

    assert answer == REFUSALS[reason].render(ends=True)
    assert served.refusals == [reason]
    assert served.seen == []
    assert await served.ask(CANARY) == ok(ends=True)
    assert [seen.path for seen in served.seen] == ["/canary"]
    assert served.errors == []


def ok(*, ends: bool) -> bytes:
    end = b"Connection: close\r\n" if ends else b""
    return (
        b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nCache-Control: no-store\r\n"
        b"Content-Length: %d\r\n%b\r\n%b" % (len(ANSWER), end, ANSWER)
    )


def test_the_tables_hold_enough_cases_to_mean_something() -> None:
    assert len(REFUSED) + len(SERVED) >= 200


@pytest.mark.parametrize(
    ("reason", "raw"), [(reason, raw) for reason, _, raw in REFUSED], ids=[n for _, n, _ in REFUSED]
)
def test_what_is_not_one_good_request_is_refused_without_an_echo(
    reason: Refusal, raw: bytes
) -> None:
    async def scenario() -> None:
        async with serving(origins=[ORIGIN], hosts=[NAMED]) as served:
            await check_refused(served, reason, raw)

    asyncio.run(scenario())


@pytest.mark.parametrize("raw", SERVED.values(), ids=SERVED.keys())
def test_a_good_request_is_served_once_and_so_is_the_next(raw: bytes) -> None:
    async def scenario() -> None:
        async with serving(origins=[ORIGIN], hosts=[NAMED]) as served:
            answers = await served.ask(on(served, raw) + CANARY)

            assert answers == ok(ends=False) + ok(ends=True)
            assert len(served.seen) == 2
            assert served.seen[1].path == "/canary"
            assert served.refusals == []

    asyncio.run(scenario())


def test_all_of_it_is_the_same_on_uvloop() -> None:
    async def scenario() -> None:
        async with serving(origins=[ORIGIN], hosts=[NAMED]) as served:
            for reason, _, raw in REFUSED:
                await check_refused(served, reason, raw)
            for raw in SERVED.values():
                assert await served.ask(on(served, raw) + CANARY) == ok(ends=False) + ok(ends=True)

    uvloop.run(scenario())


@pytest.mark.parametrize("size", [1, 2, 3, 7])
def test_a_bad_request_is_refused_in_however_small_pieces_it_comes(size: int) -> None:
    async def scenario() -> None:
        async with serving(origins=[ORIGIN], hosts=[NAMED]) as served:
            for reason, name, raw in REFUSED[:: 7 - size // 2]:
                if reason is Refusal.TOO_LARGE_HEADERS:
                    continue
                served.refusals.clear()
                async with served.client() as client:
                    whole = on(served, raw + CANARY).replace(b"HOST", served.name)
                    for start in range(0, len(whole), size):
                        client.writer.write(whole[start : start + size])
                        await asyncio.sleep(0)
                    answer = await client.rest()
                assert answer == REFUSALS[reason].render(ends=True), name
                assert served.refusals == [reason]
            assert served.seen == []

    asyncio.run(scenario())


def test_a_request_is_handed_over_as_it_was_sent() -> None:
    async def scenario() -> None:
        async with serving() as served:
            await served.ask(
                b"POST /servers/a/mcp?b=c HTTP/1.1\r\nHost: HOST\r\nX-Two: 1\r\nx-two:  2 \r\n"
                b"Connection: close\r\nContent-Length: 3\r\n\r\nabc"
            )

            assert served.seen == [
                Seen(
                    "POST",
                    "/servers/a/mcp",
                    "b=c",
                    (
                        ("Host", served.name.decode()),
                        ("X-Two", "1"),
                        ("x-two", "2"),
                        ("Connection", "close"),
                        ("Content-Length", "3"),
                    ),
                    b"abc",
                )
            ]

    asyncio.run(scenario())


def test_the_absolute_form_of_our_own_name_is_brought_into_origin_form() -> None:
    async def scenario() -> None:
        async with serving() as served:
            await served.ask(get(b"Connection: close\r\n", target=b"http://HOST/mcp?a=b"))

            assert [(seen.path, seen.query) for seen in served.seen] == [("/mcp", "a=b")]

    asyncio.run(scenario())


def test_compressed_bodies_are_handed_over_as_they_are() -> None:
    async def scenario() -> None:
        async with serving() as served:
            await served.ask(
                post(
                    b"Connection: close\r\nContent-Encoding: gzip\r\n",
                    LENGTH_3,
                    body=b"\x1f\x8b\x08",
                )
            )

            assert [seen.body for seen in served.seen] == [b"\x1f\x8b\x08"]

    asyncio.run(scenario())


def test_a_refused_head_request_has_no_body() -> None:
    async def scenario() -> None:
        async with serving() as served:
            answer = await served.ask(get(method=b"HEAD"))

            assert answer.startswith(b"HTTP/1.1 405 ")
            assert answer.endswith(b"\r\n\r\n")

    asyncio.run(scenario())


def test_http_1_0_is_served_and_closed() -> None:
    async def scenario() -> None:
        async with serving() as served:
            raw = get(b"Connection: keep-alive\r\n").replace(b"HTTP/1.1", b"HTTP/1.0")

            assert await served.ask(raw) == ok(ends=True)

    asyncio.run(scenario())
