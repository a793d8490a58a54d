"""The identity that a verified token stands for."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from enum import StrEnum

from policies.model import Entity

# Names of ours hold no colon: identities of other issuers are written `issuer:subject`, and
# nobody may be called what one of those is called.
_NAME = re.compile(r"[\x21-\x39\x3b-\x7e]{1,128}")


class ActorType(StrEnum):
    """What kind of actor an identity is to the policy."""

    CLIENT = "Client"
    USER = "User"

    @property
    def prefix(self) -> str:
        """What the subject of a token starts with, so that no user can be taken for a client."""
        return f"{self.value.lower()}:"


def is_name(text: object) -> bool:
    """Tell whether *text* may name a client or user of ours: 1 to 128 visible ASCII, no colon."""
    return isinstance(text, str) and _NAME.fullmatch(text) is not None


@dataclass(frozen=True, slots=True)
class Principal:
    """A caller whose token was verified; there is no other way to have one.

    `type` and `id` name the actor that the policy is asked about. A client that acts for a user
    is the actor, and `acts_for` is the user's id. `subject` is the token's `sub` as it stood.
    `expires_at` is in seconds since the epoch, `audience` the one URL the token is good for.
    `key_id` names the key that signed the token.
    """

    type: ActorType
    id: str
    issuer: str
    subject: str
    client_id: str
    token_id: str
    expires_at: int
    audience: str
    scope: frozenset[str] = frozenset()
    acts_for: str | None = None
    key_id: str = field(default="", compare=False)
    actor: Entity = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Raise `ValueError` for an identity that is not whole, so that none can be built."""
        if not isinstance(self.type, ActorType):
            raise ValueError("A principal is a Client or a User.")  # noqa: TRY004  as the others
        required = (
            self.id, self.issuer, self.subject, self.client_id, self.token_id, self.audience,
        )  # fmt: skip
        if not all(isinstance(text, str) and text for text in required):
            raise ValueError("A principal has an id, issuer, subject, client, token id, audience.")
        if type(self.expires_at) is not int or self.expires_at <= 0:
            raise ValueError("A principal's token ends at a whole second.")
        if self.acts_for is not None and not (self.acts_for and self.type is ActorType.CLIENT):
            raise ValueError("Only a client acts for a user, and the user has a name.")
        # Every question is about it, so it is made once.
        object.__setattr__(self, "actor", Entity(self.type.value, self.id))

    @property
    def claims(self) -> tuple[tuple[str, str], ...]:
        """What the token said, for a policy to ask of; each word of the scope by itself."""
        said = (
            ("iss", self.issuer),
            ("sub", self.subject),
            ("client_id", self.client_id),
            ("jti", self.token_id),
            ("aud", self.audience),
        )
        return (*said, *(("scope", word) for word in sorted(self.scope)))
