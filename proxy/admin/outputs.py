"""What routes give: the forms of the answers to what went well."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import JsonValue, RootModel

from proxy.admin.routes import Output
from proxy.identity.keyring import KeyState
from storage.definitions import Kind, State

PlaneName = Literal["data", "control"]


class Healthy(Output):
    status: Literal["ok"]


class Ready(Output):
    status: Literal["ready"]


class NotReady(Output):
    status: Literal["not ready"]
    reasons: list[str]


class Metadata(Output):
    version: str


class Exposition(RootModel[str]):
    """The text that scrapers read."""


class Identity(Output):
    """What identities of each kind have in common. Moments are in Unix seconds."""

    name: str
    description: str
    is_suspended: bool
    created_at: int
    created_by: str


class AccessTokenDocument(Output):
    """What is told of an access token, which has an end or none."""

    has_access_token: bool
    access_token_id: str | None
    access_token_expires_at: int | None


class ClientDocument(Identity, AccessTokenDocument):
    allow_list: list[str]
    teams: list[str]


class ChangedClient(ClientDocument):
    """`warnings` tell what whoever wrote the allow-list may not have meant."""

    warnings: list[str]


class ClientsPage(Output):
    clients: list[ClientDocument]
    next: str | None


class SuspendedClients(Output):
    suspended: list[str]


class UserDocument(Identity, AccessTokenDocument):
    teams: list[str]
    roles: list[str]


class UsersPage(Output):
    users: list[UserDocument]
    next: str | None


class TeamDocument(Identity):
    pass


class TeamWithMembers(TeamDocument):
    members: list[str]


class TeamsPage(Output):
    teams: list[TeamDocument]
    next: str | None


class IssuedDocument(Output):
    """A token without its text. Moments are in Unix seconds."""

    token_id: str
    subject: str
    audience: str
    issued_at: int
    expires_at: int


class AdminToken(IssuedDocument):
    admin_access_token: str


class NewToken(IssuedDocument):
    token: str


class TokenDocument(IssuedDocument):
    plane: PlaneName
    client_id: str
    issued_by: str
    revoked_at: int | None
    revoked_by: str | None


class RevokedTokens(Output):
    revoked: int


class TokensPage(Output):
    tokens: list[TokenDocument]
    next: str | None


class WhoAmI(Output):
    type: Literal["Client", "User"]
    id: str
    issuer: str
    client: str
    token_id: str
    acts_for: str | None
    audience: str
    expires_at: int
    scope: list[str]


class KeyDocument(Output):
    plane: PlaneName
    key_id: str
    algorithm: Literal["EdDSA", "ES256", "RS256"]
    state: KeyState
    made_at: int
    since: int
    ends_at: int | None


class KeysDocument(Output):
    keys: list[KeyDocument]


class SecretDocument(Output):
    secret_id: str
    created_at: int
    created_by: str
    expires_at: int | None


class SecretsDocument(Output):
    secrets: list[SecretDocument]


class NewSecretDocument(SecretDocument):
    """The only answer that tells the secret."""

    client_id: str
    client_secret: str


class PublicKeyDocument(Output):
    key_id: str
    created_at: int
    created_by: str
    expires_at: int | None
    jwk: dict[str, str]


class PublicKeysDocument(Output):
    keys: list[PublicKeyDocument]


class GrantWords(Output):
    """`until` is a Unix second."""

    actor: str
    role: str
    resource: str
    until: int | None


class GrantDocument(GrantWords):
    id: str
    origin: str
    version: int
    added_at: int
    added_by: str
    why: str


class MadeGrant(RootModel[GrantDocument | GrantWords]):
    """A grant, without its history if it was ended in the same moment."""


class GrantsPage(Output):
    grants: list[GrantDocument]
    version: int
    next: str | None


class EndedGrant(GrantWords):
    origin: str


class EndedGrants(Output):
    ended: list[EndedGrant]


class EntityDocument(Output):
    type: str
    id: str


class FactDocument(Output):
    """`version` is that of the facts since it is so."""

    predicate: str
    args: list[str | int | bool | EntityDocument]
    version: int


class DefinitionDocument(Output):
    """`definition` is all that whoever approves it should have read."""

    server: str
    kind: Kind
    name: str
    state: State
    hash: str
    description: JsonValue
    definition: dict[str, Any]


class DefinitionsPage(Output):
    definitions: list[DefinitionDocument]
    next: str | None
