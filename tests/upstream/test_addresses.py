"""Where an upstream may be (T31)."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from ipaddress import ip_address

import pytest

from proxy.upstream.addresses import AddressError, Reach, check, locate, reach, upstream

REACHES = {
    Reach.PUBLIC: """
        1.1.1.1 8.8.8.8 9.255.255.255 11.0.0.0 100.63.255.255 100.128.0.0 126.255.255.255 128.0.0.1
        169.253.255.255 169.255.0.0 172.15.255.255 172.32.0.0 192.167.255.255 192.169.0.0
        198.17.255.255 198.20.0.0 223.255.255.255 2606:4700::1111 2a00:1450:4001::1 2001:4860::8888
        ::ffff:8.8.8.8 2002:808:808::1 64:ff9b::8.8.8.8 2a00:1450::5efe:808:808
    """,
    Reach.LOOPBACK: "127.0.0.1 127.1.2.3 127.255.255.255 ::1 ::ffff:127.0.0.1 ::ffff:7f00:1",
    Reach.PRIVATE: """
        10.0.0.0 10.255.255.255 100.64.0.0 100.127.255.255 172.16.0.1 172.31.255.255 192.168.0.1
        192.168.255.255 ::ffff:10.0.0.1 fc00::1 fd12:3456::1 fdff::1
    """,
    Reach.FORBIDDEN: """
        0.0.0.0 0.1.2.3 100.100.100.200 168.63.129.16 169.254.0.1 169.254.169.254 169.254.170.2
        192.0.0.192 192.0.2.1 192.88.99.1 198.18.0.1 198.51.100.1 203.0.113.9 224.0.0.1
        239.255.255.255 240.0.0.1 255.255.255.255 :: ::2 ::127.0.0.1 ::ffff:0.0.0.0
        ::ffff:169.254.169.254 ::ffff:a9fe:a9fe ::ffff:0:127.0.0.1 64:ff9b::127.0.0.1
        64:ff9b::a9fe:a9fe 64:ff9b::10.0.0.1 64:ff9b:1::8.8.8.8 100::1 2001::1 2001:0:808:808::1
        2001:db8::1 2002:7f00:1::1 2002:a9fe:a9fe::1 2002:a00:1::1 2a00:1450::5efe:7f00:1
        2a00:1450::200:5efe:a00:1 3fff::1 4000::1 5f00::1 fd00:ec2::254 fd00:ec2::23
        fd00:c1::a9fe:a9fe fd20:ce::254 fe80::1 fe80::1%eth0 febf::1 fec0::1 ff02::1 ff0e::1
    """,
}
ROWS = [(text, near) for near, texts in REACHES.items() for text in texts.split()]


@pytest.mark.parametrize(("text", "near"), ROWS, ids=[text for text, _ in ROWS])
def test_each_spelling_of_an_address_is_as_near_as_the_machine_it_reaches(
    text: str, near: Reach
) -> None:
    assert reach(ip_address(text)) is near


@pytest.mark.parametrize("text", REACHES[Reach.FORBIDDEN].split())
def test_no_setting_allows_a_forbidden_address(text: str) -> None:
    with pytest.raises(AddressError):
        check(text, frozenset(Reach) - {Reach.FORBIDDEN})


@pytest.mark.parametrize("near", [Reach.LOOPBACK, Reach.PRIVATE])
def test_near_addresses_are_refused_unless_they_are_allowed_by_name(near: Reach) -> None:
    for text in REACHES[near].split():
        check(text, {near})
        with pytest.raises(AddressError):
            check(text, set(Reach) - {near})


def test_a_mapped_address_is_connected_to_as_the_address_it_is() -> None:
    assert check("::ffff:127.0.0.1", {Reach.LOOPBACK}) == "127.0.0.1"


@pytest.mark.parametrize(
    "text", ["", "localhost", "0x7f000001", "2130706433", "127.1", "0177.0.0.1"]
)
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(AddressError):
        check(text, set(Reach))


OTHER_SPELLINGS = """
    https://mcp.example.com https://mcp.example.com:443/mcp http://127.0.0.1:80/mcp
    https://user@mcp.example.com/ https://user:pass@mcp.example.com/ https://mcp.example.com/#part
    https://MCP.example.com/ HTTPS://mcp.example.com/ https://mcp.example.com./ https://a..b/
    https:///mcp https://:8080/mcp https://mcp.example.com:0/ https://mcp.example.com:65536/
    https://mcp.example.com:08/ https://mcp.example.com:/ https://mcp.example.com/a/../b
    https://mcp.example.com/a%2fb https://mcp.example.com/a%2Fb https://mcp.example.com/? ftp://a/
    file:///etc/passwd ws://a/ mcp.example.com/mcp //mcp.example.com/ https://2130706433/
    https://0x7f000001/ https://0177.0.0.1/ https://127.1/ https://127.0.0.1./ https://[::ffff:7f00:1/
    https://[0:0:0:0:0:0:0:1]/ https://[::1%25eth0]/ https://[fe80::1%eth0]/ https://-a.com/
    https://a-.com/ https://a~b/ https://a!b/ https://a\\b/ https://exämple.com/ https://a%2eb/
    """


@pytest.mark.parametrize("url", OTHER_SPELLINGS.split())
def test_a_url_in_another_than_its_one_spelling_is_refused(url: str) -> None:
    with pytest.raises(AddressError):
        upstream(url, loopback=True, private=True)


def test_a_url_with_blanks_controls_or_no_end_is_refused() -> None:
    for url in ("https://a b/", "https://a/\r\nX: y", "https://a/\x00", "https://a/" + "b" * 2048):
        with pytest.raises(AddressError):
            upstream(url)


def test_plain_http_is_refused_unless_a_near_address_is_allowed() -> None:
    with pytest.raises(AddressError, match="use https"):
        upstream("http://mcp.example.com/mcp")

    near = upstream("http://mcp.example.com/mcp", private=True)

    with pytest.raises(AddressError):
        check("8.8.8.8", near.allowed)


def test_a_url_is_taken_apart_and_its_target_stays_out_of_sight() -> None:
    found = upstream("https://[2606:4700::1111]:8443/mcp?key=canary")

    assert (found.host, found.port, found.target) == ("2606:4700::1111", 8443, "/mcp?key=canary")
    assert found.authority == "[2606:4700::1111]:8443"
    assert "canary" not in repr(found)


@pytest.mark.parametrize(
    "found", [[], ["8.8.8.8", "127.0.0.1"], ["10.0.0.1"], ["fe80::1%2"], ["x"]]
)
def test_one_refused_address_refuses_the_name(found: list[str]) -> None:
    async def resolver(_host: str, _port: int) -> Sequence[str]:
        return found

    with pytest.raises(AddressError):
        asyncio.run(locate(upstream("https://mcp.example.com/"), deadline=5, resolver=resolver))


def test_an_address_in_the_url_is_checked_and_not_looked_up() -> None:
    async def resolver(_host: str, _port: int) -> Sequence[str]:
        raise AssertionError

    allowed = upstream("https://8.8.8.8/")
    refused = upstream("https://[64:ff9b::7f00:1]/", loopback=True)

    assert asyncio.run(locate(allowed, deadline=5, resolver=resolver)) == ("8.8.8.8",)
    with pytest.raises(AddressError):
        asyncio.run(locate(refused, deadline=5, resolver=resolver))


def test_a_resolver_that_does_not_answer_is_late() -> None:
    async def resolver(_host: str, _port: int) -> Sequence[str]:
        never: asyncio.Future[list[str]] = asyncio.get_running_loop().create_future()
        return await never

    with pytest.raises(TimeoutError):
        asyncio.run(locate(upstream("https://a.test/"), deadline=0.01, resolver=resolver))


def test_the_system_resolver_knows_this_machine() -> None:
    here = upstream("http://localhost/", loopback=True)

    assert set(asyncio.run(locate(here, deadline=5))) <= {"127.0.0.1", "::1"}
