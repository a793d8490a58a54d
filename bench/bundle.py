"""A bundle of 500 rules in ten files, of the kinds that teams write about their own tools."""

from __future__ import annotations

from bench.workload import RESOURCES
from policies.model import Entity, Fact

DOMAINS = (
    "billing", "data", "deploy", "finance", "legal", "mail", "research", "sales", "support",
)  # fmt: skip
GROUPS = 9

_TYPES = (
    """\
actor Team {}
actor Client { relations = { team: Team }; }
actor User { relations = { team: Team }; }

"""
    + RESOURCES
    + """
has_role(c: Client, role: String, r: Resource) if
  team matches Team and has_relation(c, "team", team) and has_role(team, role, r);
has_role(u: User, role: String, r: Resource) if
  team matches Team and has_relation(u, "team", team) and has_role(team, role, r);

accepted(t: Tool) if has_tag(t, "unrestricted");
accepted(t: Tool) if is_read_only(t);

allow(actor: Actor, "call", t: Tool) if
  has_permission(actor, "call", t) and accepted(t) and
  not is_suspended(actor) and not is_disabled(t);
allow(actor: Actor, "list", t: Tool) if
  has_permission(actor, "list", t) and not is_suspended(actor) and not is_disabled(t);
allow(actor: Actor, "connect", s: Server) if
  has_permission(actor, "connect", s) and not is_suspended(actor) and not is_disabled(s);
"""
)

_GROUP = """\
has_role(c: Client, "caller", t: Tool) if
  has_tag(t, "{tag}") and has_relation(c, "team", Team{{"{tag}"}});
has_role(u: User, "viewer", t: Tool) if
  has_tag(t, "{tag}") and has_relation(u, "team", Team{{"{domain}"}});
has_role(c: Client, "caller", t: Tool) if
  has_tag(t, "{tag}") and until matches Integer and lease(c, "{tag}", t, until) and
  @current_unix_time < until;
accepted(t: Tool) if
  has_tag(t, "{tag}") and n matches Integer and argument(t, "amount", n) and n <= {most};
accepted(t: Tool) if has_tag(t, "{tag}") and argument_host(t, "url", "*.{tag}.example.com");
accepted(t: Tool) if has_tag(t, "{tag}") and argument_under(t, "path", "/srv/{domain}/{group}");
"""

CLIENT = Entity("Client", "biller")
TOOL = Entity("Tool", "ledger__post")

FACTS = (
    Fact("has_tag", (TOOL, "billing-4")),
    Fact("has_relation", (CLIENT, "team", Entity("Team", "billing-4"))),
)
"""Facts by which `CLIENT` may call `TOOL` with the argument below, and not without."""

ARGUMENTS = ((Fact("argument", (TOOL, "amount", 150)), "call"),)


def sources() -> dict[str, str]:
    """Return the text of the bundle by file name."""
    texts = {"types.polar": _TYPES}
    for domain in DOMAINS:
        texts[f"{domain}.polar"] = "\n".join(_group(domain, number) for number in range(GROUPS))
    return texts


def _group(domain: str, number: int) -> str:
    most = 100 * (number + 1)
    return _GROUP.format(domain=domain, group=number, tag=f"{domain}-{number}", most=most)


def rules_in(texts: dict[str, str]) -> int:
    """Return how many rules are written in *texts*; every one here has a body."""
    return sum(text.count(" if ") + text.count(" if\n") for text in texts.values())
