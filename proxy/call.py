"""One call on its way: who makes it, where, on which grounds, and what it turned out to ask."""

from __future__ import annotations

from dataclasses import dataclass, field

from policies.enforcement import is_observed
from policies.grounds import Grounds
from policies.model import AccessRequest, Entity, Fact
from policies.supplied import Caller, caller_facts, document_facts
from proxy.identity.handles import Holder
from proxy.identity.principal import Principal
from proxy.session import Session
from proxy.telemetry.traces import ServerSpan
from proxy.upstream.server import Server
from proxy.wire.jsonrpc import Id


@dataclass(slots=True)
class Call:
    """A request of an identified principal to one server's endpoint.

    `server` is None where none of that name is registered. `now` is the Unix second that every
    question of this call is asked at, `started` the monotonic second it arrived. `id`, `method`,
    `version` and `session` are filled in as they are read, `span` where calls are traced, and
    `withheld` with the client's capabilities that the upstream is not told of.
    """

    principal: Principal
    server_name: str
    server: Server | None
    grounds: Grounds
    address: str
    now: int
    started: float
    actor: Entity = field(init=False)
    holder: Holder = field(init=False)
    facts: tuple[Fact, ...] = field(default=())
    id: Id | None = None
    method: str = ""
    version: str = ""
    session: Session | None = None
    span: ServerSpan | None = None
    withheld: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """State what holds of the caller throughout the call."""
        named = self.grounds.demands.named
        claims = self.principal.claims if "claim" in named else ()
        self.actor = self.principal.actor
        self.holder = Holder(self.principal, self.server_name)
        caller = Caller(self.actor, self.principal.acts_for, claims, self.address)
        self.facts = tuple(caller_facts(named, caller, self.now))

    @property
    def entity(self) -> Entity:
        """The server as the policy knows it, registered or not."""
        return Entity("Server", self.server_name)

    @property
    def actors(self) -> list[Entity]:
        """Who makes the call, and the user behind whoever does."""
        user = self.principal.acts_for
        return [self.actor] if user is None else [self.actor, Entity("User", user)]

    @property
    def is_observed(self) -> bool:
        """Whether denials of the policy on this server are recorded and not enforced."""
        return self.server is not None and is_observed(self.grounds.facts, self.entity, self.now)

    def request(self, action: str, resource: Entity, facts: tuple[Fact, ...] = ()) -> AccessRequest:
        """Return the question whether this caller may do *action* on *resource*."""
        return AccessRequest(self.actor, action, resource, self.facts + facts, self.now)

    def document_facts(self, document: Entity, uri: str) -> list[Fact]:
        """Return what the id of *document* says by itself."""
        return document_facts(self.grounds.demands.named, document, self.entity, uri)
