"""Where the connections to an upstream may go, by its settings."""

from __future__ import annotations

import pytest

from proxy.upstream.addresses import AddressError, Reach
from proxy.upstream.reach import Network, located


@pytest.mark.parametrize(
    ("url", "network", "allowed"),
    [
        ("https://api.example.com/mcp", "public", {Reach.PUBLIC}),
        ("http://localhost:3000/mcp", "public", {Reach.LOOPBACK}),
        ("http://127.0.0.1:3000/mcp", "public", {Reach.LOOPBACK}),
        ("http://[::1]:3000/mcp", "public", {Reach.LOOPBACK}),
        ("http://10.1.2.3/mcp", "public", {Reach.PRIVATE}),
        ("http://[fd12::1]/mcp", "public", {Reach.PRIVATE}),
        ("http://mcp.internal/mcp", "private", {Reach.PRIVATE}),
        ("https://mcp.internal/mcp", "private", {Reach.PUBLIC, Reach.PRIVATE}),
        ("http://dev.example/mcp", "loopback", {Reach.LOOPBACK}),
    ],
)
def test_what_the_url_names_and_what_the_network_allows_may_be_reached(
    url: str, network: Network, allowed: set[Reach]
) -> None:
    assert located(url, network).allowed == allowed


@pytest.mark.parametrize(
    "url",
    [
        "http://api.example.com/mcp",
        "http://localhost.example.com/mcp",
        "http://8.8.8.8/mcp",
        "http://169.254.169.254/latest",
        "http://127.0.0.1.example.com/mcp",
        "http://10.0.0.1.example.com/mcp",
    ],
)
def test_plain_http_goes_nowhere_that_the_url_does_not_name_as_near(url: str) -> None:
    with pytest.raises(AddressError):
        located(url, "public")
