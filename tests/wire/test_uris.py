"""A document has one URI: any spelling that a peer would change is refused."""

from __future__ import annotations

from urllib.parse import urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import AnyUrl

from policies.model import Entity
from proxy.wire.names import UnnameableError
from proxy.wire.uris import document, uri_problem

CANONICAL = [
    "file:///readme",
    "file:///a/b.txt",
    "file:///a%20b/%C3%A9",
    "file:///",
    "test://static-text",
    "test://template/12/data",
    "ui://widget/main.html",
    "https://example.com/",
    "https://example.com:8443/a?b=c&d=%2B",
    "https://[::1]/a",
    "https://127.0.0.1/",
    "memory:///key",
    "ticket://123/a",
    "file://host/share",
    "http://example.com/a//b",
    "urn:isbn:0451450523",
    "mcpj://res/github/ZmlsZQ",
    "note://internal/...",
    "memo:a",
    "db://t/x;v=1",
    "x://h/a:b@c",
    "mailto:a@b.example",
]

IRREGULAR = [
    "", "readme", "/readme", "//h/a", "File:///a", "FILE:///a", "fi le:///a", "1x:a", ":a",
    "file:", "file://", "file:a", "file:/a", "x:/a", "x:////a", "x://?a", "file://h",
    "file://h:80/", "file://80/", "https://0x7f/", "https://127.1/", "https://1.2.3.04/",
    "https://a.1/", "https://a..b/", "https://.a/", "x://.a/b", "x:", "file:///a#b",
    "file:///a#", "file:///a?", "x://h?", "file:///../a", "file:///a/../b", "file:///a/..",
    "file:///./a", "file:///a/.", "x:..", "x:a/../b", "file:///a/..;/b", "file:///a/.;x/b",
    "file:////etc", "file:///a//b", "file:///a%2fb", "file:///a%2Fb", "file:///a%5Cb",
    "file:///a%5cb", "file:///a\\b", "file:///a%00", "file:///a\x00", "file:///a%0A",
    "file:///a%7F", "file:///a%C2%85", "file:///%2E%2E/a", "file:///%2e/a", "file:///%61",
    "file:///a%7Eb", "file:///%5F", "file:///a%c3%a9", "file:///a%C3", "file:///a%C0%AF",
    "file:///a%ED%A0%80", "file:///a%", "file:///a%2", "file:///a%GG", "file:///a%252fb",
    "file:///a%252Fb", "file:///a%2500", "file:///a%EF%BC%8Fb", "file:///%E2%80%A4%E2%80%A4/a",
    "file:///a%E2%80%A8b", "file:///caf\xe9", "file:///a b", "file:///a\tb", "file:///a\n",
    " file:///a", "file:///a ", "file:///{a}", "file:///a|b", "file:///a<b", 'file:///a"b',
    "file:///a^b", "file:///a`b", "file:///a[b]", "\uff46ile:///a", "file:///\ud800",
    "file://localhost/a", "file://LOCALHOST/a", "https://u@example.com/",
    "https://u:p@example.com/", "https://@example.com/", "https://EXAMPLE.com/",
    "test://Static", "https://example.com", "https://example.com?a=b", "https:///a", "https:a",
    "https:/a", "https://example.com:443/", "http://example.com:80/", "https://example.com:/",
    "https://example.com:0443/", "https://example.com:x/", "https://example.com./",
    "https://ex%61mple.com/", "https://ex\xe4mple.com/", "https://[::0001]/", "https://[::1/",
    "https://::1/", "https://[fe80::1%25eth0]/", "https://[::FFFF]/", "https://a\\@b/",
    "x://h:99999999/a",
]  # fmt: skip


@pytest.mark.parametrize("uri", CANONICAL)
def test_a_canonical_uri_names_a_document(uri: str) -> None:
    assert uri_problem(uri) is None
    assert document("github", uri) == Entity("Document", f"github|{uri}")


@pytest.mark.parametrize("uri", IRREGULAR)
def test_any_other_spelling_names_none(uri: str) -> None:
    with pytest.raises(UnnameableError) as caught:
        document("github", uri)
    assert str(caught.value).endswith(".")


def test_the_id_of_a_document_has_a_limit_like_any_other() -> None:
    assert document("s", "x:" + "a" * 380).id
    with pytest.raises(UnnameableError):
        document("s", "x:" + "a" * 381)
    with pytest.raises(UnnameableError):
        document("a__b", "file:///a")


PIECES = [
    *("file:", "https:", "x:", "//", "/", "a", "B", ".", "..", "%2F", "%2e", "%20", "%C3%A9", "%"),
    *(";", "?", "#", "@", ":", "\\", "[", "]", "h.example", "EX", "\u00e9", " ", "\0", "80"),
    *("{a}", "localhost"),
]


@given(st.lists(st.sampled_from(PIECES), max_size=9).map("".join))
def test_no_peer_changes_what_is_accepted(uri: str) -> None:
    if uri_problem(uri) is None:
        assert uri.isascii()
        # Python drops the slashes of a host that is empty.
        assert urlsplit(uri).geturl() in {uri, uri.replace(":///", ":/", 1)}
        assert str(AnyUrl(uri)) == uri
        assert document("s", uri).id.partition("|") == ("s", "|", uri)


@given(st.text())
def test_any_text_gets_an_answer(text: str) -> None:
    problem = uri_problem(text)

    assert problem is None or problem.endswith(".")
