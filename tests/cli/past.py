"""A gateway that was at work for a while: its policy changed, and so did its facts."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from typer.testing import CliRunner

from policies.enforcement import ENFORCEMENT, observing
from policies.model import Entity, Fact
from proxy.cli.main import app
from storage.facts import Change
from storage.journal import Record
from tests.cli.running import Ran
from tests.gateway.harness import CI, Rig, may, shared, until

POLICY: Final = """
actor Client {}
actor User {}
resource Server {
  roles = ["caller"];
  permissions = ["connect"];
  "connect" if "caller";
}
resource Tool {
  roles = ["caller"];
  permissions = ["call"];
  relations = { server: Server };
  "call" if "caller";
  role if role on "server";
}
declare is_suspended(Client);
declare has_tag(Tool, String);
allow(client: Client, action: String, resource: Resource) if
  acts_alone(client)
  and has_permission(client, action, resource)
  and not is_suspended(client);
"""
"""It is compiled by each command that is run, so there is little of it."""

RULE: Final = """
has_permission(client: Client, "call", tool: Tool) if
  client = Client{"bot"} and argument(tool, "mode", "read") and has_tag(tool, "open");
has_permission(client: Client, "connect", server: Server) if
  client = Client{"bot"} and server = Server{"up"};
"""
ECHO: Final = Entity("Tool", "up__echo")


@dataclass
class Past:
    """The data directory of a gateway that ended, and ids of decisions by what was asked."""

    data: Path
    policies: Path
    ids: dict[str, str] = field(default_factory=dict)

    def run(self, *args: str | Path) -> Ran:
        done = CliRunner().invoke(app, [*map(str, args), "--data-dir", str(self.data)])
        if done.exception is not None and not isinstance(done.exception, SystemExit):
            raise done.exception
        return Ran(done.exit_code, done.stdout, done.stderr)


@contextmanager
def lived(directory: Path) -> Iterator[Past]:
    """Let a gateway live, and give what it left."""
    policies = directory / "data" / "policies"
    past = Past(directory / "data", policies)
    policies.mkdir(parents=True)
    (policies / "allow.polar").write_text(POLICY, encoding="utf-8")
    with shared(directory) as rig:
        rig.run(_life(rig, past))
    yield past


async def _life(rig: Rig, past: Past) -> None:
    async def call(name: str, tool: str = "echo", client: str = CI, **arguments: Any) -> None:  # noqa: ANN401
        await rig.ask("tools/call", {"name": tool, "arguments": arguments}, client=client)
        past.ids[name] = newest(rig).id

    await call("granted")
    await call("unknown tool", "none")
    await call("stranger", client="bot", mode="read")
    await rig.state(Fact("has_tag", (ECHO, "open")))
    before = rig.gateway.standing.grounds.bundle.version
    (past.policies / "test.polar").write_text(RULE, encoding="utf-8")
    await until(lambda: rig.gateway.standing.grounds.bundle.version != before)
    await call("by an argument", client="bot", mode="read", word="hush")
    await call("for its argument", client="bot", mode="write")
    await rig.state(may("eve", "caller", "Server", "up"))
    await rig.state(Fact("is_suspended", (Entity("Client", "eve"),)))
    await call("suspended", client="eve")
    await rig.unstate(may(CI, "caller", "Server", "up"))
    await call("no longer")
    await rig.ask("what/ever", {})
    past.ids["unknown method"] = newest(rig).id
    observed = Change((observing(Entity("Server", "up")),), (), ENFORCEMENT, "System:test", "")
    await rig.gateway.standing.change(observed)
    await call("observed")
    await rig.outcome_of(newest(rig))


def newest(rig: Rig) -> Record:
    return rig.records()[-1]
