"""T28, T29: a handle opens for its holder, for its purpose, whole, and says nothing to anyone."""

from __future__ import annotations

import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.identity.handles import (
    LONGEST_HANDLE,
    Handles,
    Holder,
    Kind,
    UnknownHandleError,
)
from proxy.identity.principal import ActorType, Principal
from proxy.identity.sealing import Secret
from proxy.rounds import LONGEST_STATE

HANDLES = Handles(Secret(bytes(range(32))))
AGENT = Principal(
    type=ActorType.CLIENT,
    id="ci",
    issuer="https://gateway.example",
    subject="client:ci",
    client_id="ci",
    token_id="t-1",  # noqa: S106  it is an id
    expires_at=1000,
    audience="https://gateway.example",
    acts_for="ann",
)
HOLDER = Holder(AGENT, "up")

numbers = st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False)
scalars = st.none() | st.booleans() | numbers | st.text()
contents = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)
texts = st.text(st.characters(codec="utf-8"), min_size=1, max_size=20)
kinds = st.sampled_from(Kind)
# Whoever holds something: what tells two of them apart is drawn from few values, so that they are
# often alike in all but one.
few = st.sampled_from(["a", "b", "c", '","', "a,b", "\u00e4"])
principals = st.builds(
    Principal,
    type=st.just(ActorType.CLIENT),
    id=few,
    issuer=few,
    subject=few,
    client_id=few,
    token_id=st.just("t"),
    expires_at=st.just(1),
    audience=st.just("x"),
    acts_for=st.none() | few,
) | st.builds(
    Principal,
    type=st.just(ActorType.USER),
    id=few,
    issuer=few,
    subject=few,
    client_id=few,
    token_id=st.just("t"),
    expires_at=st.just(1),
    audience=st.just("x"),
)
holders = st.builds(Holder, principals, few)


def is_refused(
    handle: str, *, kind: Kind = Kind.TASK, holder: Holder = HOLDER, about: bytes = b""
) -> bool:
    try:
        HANDLES.open(kind, holder, handle, about)
    except UnknownHandleError as error:
        return error.kind is kind
    return False


@given(kinds, holders, contents, st.binary(max_size=40))
def test_what_was_sealed_is_what_is_opened(
    kind: Kind, holder: Holder, content: object, about: bytes
) -> None:
    handle = HANDLES.seal(kind, holder, content, about)

    assert HANDLES.open(kind, holder, handle, about) == content
    assert HANDLES.seal(kind, holder, content, about) == handle
    assert handle.isascii()
    assert handle.isprintable()
    assert " " not in handle


@given(kinds, kinds, holders, holders, st.binary(max_size=4), st.binary(max_size=4))
def test_a_handle_opens_where_everything_it_is_bound_to_is_the_same_and_nowhere_else(
    kind: Kind, other_kind: Kind, holder: Holder, other: Holder, about: bytes, other_about: bytes
) -> None:
    handle = HANDLES.seal(kind, holder, "c-1", about)

    is_same = (kind, holder, about) == (other_kind, other, other_about)
    is_opened = not is_refused(handle, kind=other_kind, holder=other, about=other_about)
    assert is_opened is is_same


CHANGES: list[dict[str, Any]] = [
    {"type": ActorType.USER, "acts_for": None},
    {"id": "ci2"},
    {"issuer": "https://other.example"},
    {"subject": "client:ci2"},
    {"client_id": "ci2"},
    {"acts_for": None},
    {"acts_for": "bob"},
]


@pytest.mark.parametrize("change", CHANGES, ids=str)
def test_another_identity_is_another_holder(change: dict[str, Any]) -> None:
    handle = HANDLES.seal(Kind.TASK, HOLDER, "task-1")
    other = Holder(replace(AGENT, **change), "up")

    assert is_refused(handle, holder=other)
    assert HANDLES.seal(Kind.TASK, other, "task-1") != handle


def test_a_client_and_a_user_of_one_name_hold_nothing_in_common() -> None:
    client = Holder(replace(AGENT, acts_for=None), "up")
    user = Holder(replace(AGENT, acts_for=None, type=ActorType.USER), "up")

    assert is_refused(HANDLES.seal(Kind.TASK, client, "task-1"), holder=user)


def test_another_server_and_another_purpose_refuse_a_handle() -> None:
    handle = HANDLES.seal(Kind.TASK, HOLDER, "task-1", b"s")

    assert is_refused(handle, holder=Holder(AGENT, "up2"), about=b"s")
    assert is_refused(handle, about=b"")
    assert is_refused(handle, about=b"s2")
    for kind in set(Kind) - {Kind.TASK}:
        assert is_refused(handle, kind=kind, about=b"s")


def test_a_new_token_of_the_same_identity_opens_what_the_old_one_was_given() -> None:
    handle = HANDLES.seal(Kind.SESSION, HOLDER, ["s-1", "2025-11-25"])
    fresh = replace(
        AGENT,
        token_id="t-2",  # noqa: S106  it is an id
        expires_at=2000,
        audience="https://gateway.example/servers/up/mcp",
        scope=frozenset({"all"}),
    )

    assert HANDLES.open(Kind.SESSION, Holder(fresh, "up"), handle) == ["s-1", "2025-11-25"]


def test_another_key_opens_nothing() -> None:
    other = Handles(Secret(bytes(32)))

    with pytest.raises(UnknownHandleError):
        other.open(Kind.TASK, HOLDER, HANDLES.seal(Kind.TASK, HOLDER, "task-1"))


def encodings(text: str) -> Iterable[bytes]:
    raw = text.encode()
    yield raw
    for start in range(3):  # in base64 the same letters look different at each of three places
        yield urlsafe_b64encode(b"\0" * start + raw)[4 : -(-4 * (start + len(raw)) // 3) - 4]
    yield raw.hex().encode()


@given(st.text(st.characters(codec="ascii", categories=["L", "N"]), min_size=24, max_size=60))
def test_no_part_of_what_was_sealed_can_be_read_in_the_handle(content: str) -> None:
    handle = HANDLES.seal(Kind.TASK, HOLDER, [content, content], b"about-this-session").encode()
    raw = urlsafe_b64decode(handle + b"=" * (-len(handle) % 4))

    pieces = [content, HOLDER.name, AGENT.issuer, "about-this-session", json.dumps(content)]
    assert not any(form in handle or form in raw for one in pieces for form in encodings(one))
    eights = {content[at : at + 8].encode() for at in range(len(content) - 7)}
    assert not any(one in raw for one in eights)


def test_handles_of_what_is_almost_the_same_have_nothing_in_common() -> None:
    many = [HANDLES.seal(Kind.CURSOR, HOLDER, f"cursor-{n:04}") for n in range(500)]

    assert len({one[:8] for one in many}) == 500
    assert len({one[-8:] for one in many}) == 500


def test_every_flipped_bit_is_noticed() -> None:
    handle = HANDLES.seal(Kind.SESSION, HOLDER, ["s-1", "2025-11-25"])
    raw = urlsafe_b64decode(handle + "=" * (-len(handle) % 4))

    for bit in range(8 * len(raw)):
        changed = bytearray(raw)
        changed[bit // 8] ^= 1 << bit % 8
        altered = urlsafe_b64encode(changed).rstrip(b"=").decode()
        assert is_refused(altered, kind=Kind.SESSION)


@pytest.mark.parametrize("content", ["", "c", "cu", "cur"])  # of each length modulo three
def test_every_changed_lost_or_added_character_is_noticed(content: str) -> None:
    handle = HANDLES.seal(Kind.CURSOR, HOLDER, content)
    letters = "ABCabc019-_+/=~ \n\0\u00e4"

    altered = {handle[:at] + one + handle[at + 1 :] for at in range(len(handle)) for one in letters}
    altered |= {handle[:at] + one + handle[at:] for at in range(len(handle) + 1) for one in letters}
    altered |= {handle[:at] + handle[at + 1 :] for at in range(len(handle))}
    altered |= {handle[:at] for at in range(len(handle))}
    altered |= {handle * 2, handle[::-1], handle.swapcase(), f"{handle}.", f"{handle}=="}
    for one in altered - {handle}:
        assert is_refused(one, kind=Kind.CURSOR), one


JUNK = {
    "empty": "",
    "one letter": "A",
    "short": "AAAA",
    "a nonce of nought": "A" * 22,
    "padded": "A" * 22 + "==",
    "stray bits": "A" * 21 + "B",
    "no letters": "\u00e4" * 40,
    "look-alikes": "\uff21" * 40,
    "spaces": " " * 40,
    "line ends": "AAAA\nAAAA" * 8,
    "other alphabet": "+/" * 20,
    "a null": "A" * 39 + "\0",
    "half a pair": "\ud800" * 40,
    "too long": "A" * (LONGEST_HANDLE + 1),
    "as long as may be": "A" * LONGEST_HANDLE,
    "the content itself": '["s-1","2025-11-25"]',
    "an upstream's own": "s-1",
}


@pytest.mark.parametrize("kind", Kind)
@pytest.mark.parametrize("junk", JUNK.values(), ids=list(JUNK))
def test_what_never_was_a_handle_is_unknown(junk: str, kind: Kind) -> None:
    assert is_refused(junk, kind=kind)


@given(st.text(max_size=200))
def test_no_text_at_all_is_a_handle_by_chance(text: str) -> None:
    assert is_refused(text)


@pytest.mark.parametrize("letter", ["s", '"', "\\", "\n", "\u00e4", "\U0001f511", "\x01"])
def test_the_longest_state_that_is_carried_can_be_brought_back(letter: str) -> None:
    state = letter * LONGEST_STATE
    handle = HANDLES.seal(Kind.STATE, HOLDER, state, b"digest")

    assert HANDLES.open(Kind.STATE, HOLDER, handle, b"digest") == state


@settings(max_examples=50)
@given(texts, texts)
def test_two_things_never_have_one_handle(one: str, other: str) -> None:
    sealed = HANDLES.seal(Kind.CURSOR, HOLDER, one), HANDLES.seal(Kind.CURSOR, HOLDER, other)

    assert (sealed[0] == sealed[1]) is (one == other)


def test_an_unknown_handle_tells_nothing_of_why() -> None:
    handle = HANDLES.seal(Kind.TASK, HOLDER, "task-1")
    shown = [(Holder(AGENT, "other"), handle), (HOLDER, "junk"), (HOLDER, handle[:-1] + "~")]
    told = set()
    for holder, one in shown:
        with pytest.raises(UnknownHandleError) as caught:
            HANDLES.open(Kind.TASK, holder, one)
        told.add((str(caught.value), caught.value.__cause__))

    assert told == {("task", None)}
