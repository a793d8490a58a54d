"""A policy may state an allow as a fact, and have no rule for it."""

from __future__ import annotations

from policies.facts import FactSet
from policies.model import Entity
from policies.polar.engine import Engine
from policies.polar.program import compile_policy

POLICY = """
actor Client {}
resource Tool { roles = ["caller"]; permissions = ["call"]; "call" if "caller"; }
allow(Client{"ci"}, "call", Tool{"build"});
"""


def test_an_allow_that_is_only_stated_is_decided_like_any_other() -> None:
    engine = Engine(compile_policy({"p.polar": POLICY}), FactSet())
    client, build, other = Entity("Client", "ci"), Entity("Tool", "build"), Entity("Tool", "other")

    ruling = engine.decide(client, "call", build)

    assert ruling.proof is not None
    assert ruling.proof.goal.source == "p.polar:4"
    assert not engine.decide(client, "call", other)
    assert not engine.decide(Entity("Client", "bot"), "call", build)
    assert engine.select(client, "call", [build, other], possibly=True) == [build]
    assert engine.actions(client, build) == ["call"]
