"""Answers are made of what we wrote (T19)."""

from __future__ import annotations

import pytest

from proxy.listener.answers import Answer, EventStream
from tests.listener.test_streams import Source


def test_an_answer_is_one_string_of_bytes() -> None:
    answer = Answer(404, b"{}", [(b"X-One", b"1")])

    assert answer.render(ends=False) == (
        b"HTTP/1.1 404 Not Found\r\nContent-Type: application/json\r\nCache-Control: no-store\r\n"
        b"Content-Length: 2\r\nX-One: 1\r\n\r\n{}"
    )


def test_an_answer_that_ends_the_connection_says_so() -> None:
    assert b"\r\nConnection: close\r\n\r\nok" in Answer(200, b"ok", media=b"text/plain").render(
        ends=True
    )


def test_accepted_without_a_body_has_no_type() -> None:
    assert Answer(202).render(ends=False) == (
        b"HTTP/1.1 202 Accepted\r\nCache-Control: no-store\r\nContent-Length: 0\r\n\r\n"
    )


@pytest.mark.parametrize("status", [204, 304])
def test_a_status_without_body_has_no_length(status: int) -> None:
    assert b"Content-Length" not in Answer(status).render(ends=False)
    assert Answer(status).render(ends=False).endswith(b"\r\nCache-Control: no-store\r\n\r\n")
    with pytest.raises(ValueError, match="no body"):
        Answer(status, b"x")


@pytest.mark.parametrize("status", [0, 99, 100, 101, 199, 299, 600, -1])
def test_a_status_that_is_not_final_or_unknown_is_an_error(status: int) -> None:
    with pytest.raises(ValueError, match=r"status|HTTPStatus"):
        Answer(status, b"x")


HEADERS = [
    *((b"X", b"a" + bytes([code]) + b"b") for code in (*range(32), *range(127, 256))),
    *((bytes([code]), b"x") for code in (*range(33), 58, 127, 200)),
    (b"", b"x"),
    (b"X Y", b"x"),
    (b"X", b" x"),
    (b"X", b"x "),
    (b"X", b"x\r\nSet-Cookie: a=b"),
    (b"X: y\r\nZ", b"x"),
    (b"Connection", b"close"),
    (b"content-length", b"1"),
    (b"Content-Type", b"text/html"),
    (b"Cache-Control", b"public"),
    (b"TRANSFER-ENCODING", b"chunked"),
]


@pytest.mark.parametrize("header", HEADERS)
def test_a_header_that_is_not_plain_ascii_of_ours_is_an_error(header: tuple[bytes, bytes]) -> None:
    with pytest.raises(ValueError, match="header"):
        Answer(200, b"x", [header])
    with pytest.raises(ValueError, match="header"):
        EventStream(Source(), [header])


@pytest.mark.parametrize("media", [b"a/b\r\nX: y", b"", b"a b", b"text/html; a=b; c"])
def test_a_media_type_that_is_not_one_is_an_error(media: bytes) -> None:
    with pytest.raises(ValueError, match="media type"):
        Answer(200, b"x", media=media)


def test_an_answer_may_have_an_empty_value_and_a_challenge() -> None:
    challenge = b'Bearer resource_metadata="http://localhost:8080/x", error="invalid_token"'
    rendered = Answer(401, b"", [(b"WWW-Authenticate", challenge), (b"X", b"")]).render(ends=False)

    assert b"\r\nWWW-Authenticate: " + challenge + b"\r\nX: \r\n\r\n" in rendered
