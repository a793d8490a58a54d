"""What an administrator says of a server that he registers or changes."""

from __future__ import annotations

from typing import Annotated, Any, Final

from pydantic import AfterValidator, Field, SecretStr, ValidationInfo, field_validator

from proxy.admin.identities import Why
from proxy.admin.wording import Text
from proxy.identity.sealing import Secret
from proxy.upstream.addresses import AddressError
from proxy.upstream.presented import (
    Presented,
    header_problem,
    names_problem,
    token_problem,
    value_problem,
)
from proxy.upstream.reach import Network, located
from proxy.upstream.terms import HIDDEN, SessionMode, Terms
from proxy.wire.names import UnnameableError, check_server

_SERVED: Final = frozenset({"http", "streamable_http"})
_LATER: Final = frozenset({"sse", "stdio"})
_MOST_URL: Final = 2048


def _name(text: str) -> str:
    try:
        return check_server(text)
    except UnnameableError as error:
        raise ValueError(f"Invalid server name. {error}") from None


def _transport(text: str) -> str:
    if text in _LATER:
        raise ValueError(f"Servers over {text} are not served yet; register one over http.")
    if text not in _SERVED:
        raise ValueError("Write http.")
    return text


def _unserved(value: object) -> object:
    """Let what another product writes by default pass where it asks for nothing."""
    if value:
        raise ValueError("Processes and OAuth of servers are not served yet; leave this out.")
    return value


def _url(text: str) -> str:
    if text.endswith(f"?{HIDDEN}"):
        raise ValueError("The query is not shown here; write it anew, or leave the URL as it is.")
    return text


def _token(value: SecretStr) -> SecretStr:
    text = value.get_secret_value()
    problem = token_problem(text) if text else None  # an empty one is none
    if problem is not None:
        raise ValueError(problem)
    return value


def _headers(values: dict[str, SecretStr]) -> dict[str, SecretStr]:
    problems = [header_problem(name) for name in values]
    problems += [value_problem(value.get_secret_value()) for value in values.values()]
    problem = next((one for one in problems if one is not None), names_problem(values))
    if problem is not None:
        raise ValueError(problem)
    return values


ServerName = Annotated[str, AfterValidator(_name)]
Transport = Annotated[str, AfterValidator(_transport)]
Url = Annotated[str, Field(max_length=_MOST_URL), AfterValidator(_url)]
Token = Annotated[SecretStr, AfterValidator(_token)]
Headers = Annotated[dict[str, SecretStr], AfterValidator(_headers)]
Unserved = Annotated[Any, AfterValidator(_unserved)]


class _Said(Why):
    """Nothing secret of it shows in a `repr`."""

    transport: Transport = "http"
    network: Network = "public"
    description: Text = ""
    session_mode: SessionMode = "stateful"
    bearer_token: Token | None = None
    headers: Headers | None = None
    command: Unserved = None
    args: Unserved = None
    env: Unserved = None
    oauth_redirect_uri: Unserved = None
    oauth_client_id: Unserved = None
    oauth_client_secret: Unserved = None
    oauth_scopes: Unserved = None

    @property
    def bearer(self) -> Secret | None:
        text = "" if self.bearer_token is None else self.bearer_token.get_secret_value()
        return Secret(text.encode()) if text else None

    @property
    def secret_headers(self) -> dict[str, Secret]:
        found = self.headers or {}
        return {name: Secret(one.get_secret_value().encode()) for name, one in found.items()}


class ServerTerms(_Said):
    """All that is said of a server: what is not, is not any more."""

    url: Url

    @field_validator("url")
    @classmethod
    def _is_reachable(cls, value: str, info: ValidationInfo) -> str:
        if "network" in info.data:
            try:
                located(value, info.data["network"])
            except AddressError as error:
                raise ValueError(str(error)) from None
        return value

    @property
    def terms(self) -> Terms:
        return Terms(
            url=self.url,
            network=self.network,
            session_mode=self.session_mode,
            description=self.description,
            presented=Presented(self.bearer, self.secret_headers),
        )


class NewServer(ServerTerms):
    """A server to be registered; with `force` in the place of another one of its name."""

    name: ServerName
    force: bool = False


class ServerChanges(_Said):
    """What shall be different of a server: what is not named stays, secrets too."""

    url: Url = Field("", validate_default=False, min_length=1)

    def of(self, terms: Terms) -> Terms:
        """Return *terms* with these changes."""
        named = self.model_fields_set
        before = terms.presented
        return Terms(
            url=self.url if "url" in named else terms.url,
            network=self.network if "network" in named else terms.network,
            session_mode=self.session_mode if "session_mode" in named else terms.session_mode,
            description=self.description if "description" in named else terms.description,
            presented=Presented(
                self.bearer if "bearer_token" in named else before.bearer,
                self.secret_headers if "headers" in named else before.headers,
            ),
        )
