"""Token requests as bytes: what is read, and what two readers could read in two ways."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.oauth.errors import MalformedRequestError
from proxy.oauth.form import LONGEST, parameters

READ: list[tuple[bytes, dict[str, str]]] = [
    (b"a=b", {"a": "b"}),
    (b"a=b&c=d", {"a": "b", "c": "d"}),
    (b"a=b+c%20d", {"a": "b c d"}),
    (b"a=%C3%A9", {"a": "\u00e9"}),
    (b"a=b=c", {"a": "b=c"}),
    (b"a=&b=c", {"b": "c"}),
    (b"a%3Db=c", {"a=b": "c"}),
]

REFUSED: list[bytes] = [
    b"",
    b"a",
    b"a&b=c",
    b"a=b&a=c",
    b"a=b&a=b",
    b"a=b&%61=c",
    b"a=b&a=",
    b"a=b&&c=d",
    b"&a=b",
    b"a=b&",
    b"a=%",
    b"a=%4",
    b"a=%zz",
    b"a=%FF",
    b"a=%ED%A0%80",
    "a=\u00e9".encode(),
    b"a=\xff",
    b"&".join(b"a%d=b" % n for n in range(17)),
    b"a=" + b"b" * LONGEST,
]


@pytest.mark.parametrize(("body", "found"), READ, ids=[repr(body) for body, _ in READ])
def test_a_form_is_read_as_it_was_written(body: bytes, found: dict[str, str]) -> None:
    assert parameters(body) == found


@pytest.mark.parametrize("body", REFUSED, ids=[repr(body[:24]) for body in REFUSED])
def test_a_form_that_could_be_read_otherwise_is_refused(body: bytes) -> None:
    with pytest.raises(MalformedRequestError):
        parameters(body)


@given(st.binary(max_size=200))
def test_no_bytes_do_anything_but_be_read_or_refused(body: bytes) -> None:
    try:
        found = parameters(body)
    except MalformedRequestError:
        return
    assert all(found.values())
