"""Gateways that several modules of tests share: who may do what there, and how patient they are."""

from __future__ import annotations

from contextlib import AbstractContextManager
from pathlib import Path

from policies.model import Entity, Fact
from tests.gateway.desk import offering
from tests.gateway.harness import Rig, free_port, may, shared

EYE, FEW, NOBODY, PUZZLED = "eye", "few", "nobody", "puzzled"

# The last rule takes more steps than a question may, and finds nothing.
_POLICY = """
declare number(Integer);

has_permission(client: Client, "call", tool: Tool) if
  client = Client{"puzzled"} and tool = Tool{"up__fetch"}
  and number(a) and number(b) and a > b
  and number(c) and b > c and c > a;
"""
_ANSWERING = (
    may("ci", "caller", "Server", "up"),
    may("ci", "caller", "Server", "off"),
    may(EYE, "viewer", "Server", "up"),
    may(FEW, "caller", "Tool", "up__echo"),
    may(FEW, "caller", "Prompt", "up__greet"),
    may(FEW, "caller", "Document", "up|note://one"),
    may(PUZZLED, "viewer", "Tool", "up__echo"),
    Fact("has_role", (Entity("Client", "ci"), "caller", Entity("Tool", "up__fetch"))),
    Fact("has_tag", (Entity("Tool", "up__fetch"), "guarded")),
    Fact("allowed_host", (Entity("Tool", "up__fetch"), "ok.example")),
    *(Fact("number", (n,)) for n in range(160)),
)
_FORWARDING = (
    may("ci", "caller", "Server", "up"),
    may("ci", "caller", "Server", "gone"),
    may(FEW, "caller", "Tool", "up__echo"),
)


IMPATIENT = {
    "limits.connect_seconds": 1,
    "limits.call_seconds": 2,
    "limits.keep_alive_seconds": 1,
    "limits.stream_idle_seconds": 2,
}


def answering(directory: Path) -> AbstractContextManager[Rig]:
    """Run a gateway with all the ways there are to be refused."""
    settings = {
        "support_contact": "security@desk.example",
        "limits.connect_seconds": 1,
        "limits.call_seconds": 2,
    }
    speeches = {"up": offering(), "off": offering()}
    return shared(directory, speeches=speeches, policy=_POLICY, settings=settings, facts=_ANSWERING)


def forwarding(directory: Path) -> AbstractContextManager[Rig]:
    """Run a gateway with little patience, one of whose upstreams is not there."""
    urls = {"gone": f"http://127.0.0.1:{free_port()}/mcp"}
    return shared(directory, settings=IMPATIENT, urls=urls, facts=_FORWARDING)
