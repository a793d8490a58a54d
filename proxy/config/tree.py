"""Every setting there is, with its type, its default and what it is for."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, PlainSerializer
from pydantic_core import PydanticUndefined

from proxy.config.problems import Problem
from proxy.config.values import (
    Address,
    Argument,
    Bearer,
    BrowserOrigin,
    Database,
    Endpoint,
    Header,
    Host,
    ItemName,
    Listen,
    Network,
    Origin,
    Place,
    SigningKey,
    Syslog,
    Text,
    Variable,
)
from proxy.identity.claims import LONGEST_LIFE_SECONDS

KIB: Final = 1024
MIB: Final = 1024**2
GIB: Final = 1024**3
YEAR_SECONDS: Final = 366 * 86_400


def setting(
    description: str,
    default: Any = PydanticUndefined,  # noqa: ANN401  a default has its field's type
    *,
    least: int | None = None,
    most: int | None = None,
    shown: str | None = None,
) -> Any:  # noqa: ANN401  as pydantic's own Field
    """Declare a setting. *shown* tells its default where other settings make it."""
    return Field(
        default, description=description, ge=least, le=most, json_schema_extra={"shown": shown}
    )


class Branch(BaseModel):
    """A table of settings: closed, typed strictly, never changed once read."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, strict=True, hide_input_in_errors=True, validate_default=True
    )


def _fixed(table: Mapping[str, Any]) -> Mapping[str, Any]:
    return MappingProxyType(dict(table))


def _hidden(table: Mapping[str, object]) -> dict[str, str]:
    return dict.fromkeys(table, "(hidden)")


_FIXED = AfterValidator(_fixed)


class DataListener(Branch):
    listen: Listen = setting("Where agents connect.", Address("127.0.0.1", 8080))
    allowed_hosts: tuple[Host, ...] = setting(
        "Values of the Host header accepted besides those of `public_url` and `data.listen`.", ()
    )
    allowed_origins: tuple[BrowserOrigin, ...] = setting(
        "Origins of web pages that may call, besides `public_url`.", ()
    )
    trusted_proxies: tuple[Network, ...] = setting(
        "Addresses whose X-Forwarded headers are believed.", ()
    )


class AdminListener(Branch):
    listen: Listen = setting(
        "Where the control plane, metrics and health answer.", Address("127.0.0.1", 8081)
    )
    allowed_hosts: tuple[Host, ...] = setting(
        "Values of the Host header accepted besides those of `admin_url` and `admin.listen`.", ()
    )
    allowed_origins: tuple[BrowserOrigin, ...] = setting(
        "Origins of web pages that may call, besides `admin_url`.", ()
    )
    stdio_registration: bool = setting(
        "Let administrators register stdio upstreams, that is, start processes here.",
        default=False,
    )


class DatabaseSettings(Branch):
    url: Database = setting(
        "Where state is kept: SQLite or PostgreSQL.", shown="sqlite:///{data_dir}/northgate.db"
    )


class PolicySettings(Branch):
    source: Literal["directory", "database"] = setting(
        "Where the policy comes from: files on this node, or bundles pushed to the database.",
        "directory",
    )
    path: Place = setting("The directory of the policy's files.", shown="{data_dir}/policies")
    portable: bool = setting("Refuse policy text that Oso Cloud would not load.", default=True)


class PdpSettings(Branch):
    kind: Literal["embedded", "oso_cloud"] = setting("What answers questions.", "embedded")
    deadline_ms: int = setting(
        "Milliseconds for one decision; a late one is no decision.", 250, least=1, most=60_000
    )
    max_context_facts: int = setting(
        "Facts sent with one question to Oso Cloud; more leave it undecided.",
        20,
        least=1,
        most=1000,
    )
    url: Endpoint | None = setting("Where Oso Cloud, or a server of its API, is.", None)
    api_key: Bearer | None = setting("The key for `pdp.url`.", None)


class CatalogueSettings(Branch):
    trust: Literal["first", "all", "none"] = setting(
        "Which tool definitions are approved unseen: those at registration, all, or none.",
        "first",
    )
    refresh_seconds: int = setting(
        "Seconds at least between two looks at what a server offers, whatever causes them.",
        10,
        least=1,
        most=86_400,
    )
    interval_seconds: int = setting(
        "Seconds until what a server offers is looked at again without a cause; 0 for never.",
        300,
        least=0,
        most=86_400,
    )
    verbatim_names: tuple[ItemName, ...] = setting(
        "Irregular names of tools and prompts that are accepted as they are.", ()
    )


class Sink(Branch):
    kind: Literal["stdout", "otlp", "syslog", "webhook"] = setting("What kind of sink it is.")
    kinds: tuple[Literal["decision", "outcome", "change", "checkpoint"], ...] = setting(
        "Which kinds of record it is sent.",
        ("decision", "outcome", "change", "checkpoint"),
        shown="all of them",
    )
    url: Endpoint | None = setting("Where a webhook is; https, unless on loopback.", None)
    address: Syslog | None = setting("Where a syslog server is.", None)
    endpoint: Endpoint | None = setting(
        "Where logs are sent over OTLP/HTTP, without `/v1/logs`.",
        None,
        shown="telemetry.otlp_endpoint",
    )
    headers: Annotated[Mapping[str, Header], _FIXED, PlainSerializer(_hidden)] = setting(
        "Headers sent with every batch, for otlp and webhook.", {}
    )
    bearer: Bearer | None = setting("The token for an otlp or webhook sink.", None)
    signing_key: SigningKey | None = setting(
        "The key of the HMAC-SHA256 of each body, for webhook.", None
    )
    facility: Literal[
        "user", "daemon", "auth", "authpriv", "audit", "local0", "local1", "local2", "local3",
        "local4", "local5", "local6", "local7",
    ] = setting("The facility of syslog messages.", "audit")  # fmt: skip
    ca_file: Place | None = setting(
        "The certificates (PEM) of the authorities that are trusted instead of the system's.", None
    )
    batch_records: int = setting("Records sent at once.", 500, least=1, most=1000)
    timeout_seconds: int = setting("Seconds for a batch to be taken.", 10, least=1, most=300)


class RecordSettings(Branch):
    arguments: Literal["facts", "digest", "full"] = setting(
        "What is kept of arguments: results of tests, a digest alone, or all of them.", "facts"
    )
    deadline_ms: int = setting(
        "Milliseconds for a record to be durable; later the call is refused.",
        1000,
        least=1,
        most=60_000,
    )
    require: Literal["journal", "database"] = setting(
        "What must hold a decision before its call is forwarded.", "journal"
    )
    journal_bytes: int = setting(
        "Bytes that the journal of all workers may take on disk. When a tenth is left, the oldest "
        "that is copied is removed.",
        GIB,
        least=64 * MIB,
        most=1024 * GIB,
    )
    keep_days: int = setting(
        "Days that records, their copies, and policies that they cite are kept; 0 for as long as "
        "there is room.",
        0,
        least=0,
        most=3660,
    )
    sinks: Annotated[Mapping[str, Sink], _FIXED, PlainSerializer(dict)] = {}


class TokenSettings(Branch):
    gateway_wide: bool = setting(
        "Accept tokens whose audience is `public_url` at every data endpoint.", default=True
    )
    longest_life_seconds: int = setting(
        "Seconds that a token may live.", LONGEST_LIFE_SECONDS, least=60, most=YEAR_SECONDS
    )
    key_days: int = setting(
        "Days until a signing key is followed by another by itself; 0 for never.",
        90,
        least=0,
        most=3660,
    )
    requests_per_second: int = setting(
        "Requests for tokens per second from one address.", 10, least=1, most=100_000
    )


class LimitSettings(Branch):
    body_bytes: int = setting("Bytes of a request's body.", MIB, least=KIB, most=64 * MIB)
    header_bytes: int = setting("Bytes of a request's headers.", 32 * KIB, least=8 * KIB, most=MIB)
    header_seconds: int = setting("Seconds for headers to arrive.", 10, least=1, most=300)
    body_seconds: int = setting("Seconds for a body to arrive.", 30, least=1, most=3600)
    connect_seconds: int = setting("Seconds to connect to an upstream.", 5, least=1, most=300)
    call_seconds: int = setting(
        "Seconds for an upstream to answer one call.", 60, least=1, most=3600
    )
    stream_idle_seconds: int = setting(
        "Seconds that a stream may be silent.", 300, least=2, most=86_400
    )
    keep_alive_seconds: int = setting(
        "Seconds between signs of life on a stream.", 15, least=1, most=3600
    )
    session_idle_seconds: int = setting(
        "Seconds before an unused upstream session or process is ended.",
        3600,
        least=1,
        most=30 * 86_400,
    )
    shutdown_seconds: int = setting(
        "Seconds for running calls to end at shutdown.", 30, least=0, most=3600
    )
    streams_per_principal: int = setting(
        "Open streams of one principal, in each worker.", 64, least=1, most=10_000
    )
    calls_per_second: int = setting(
        "Calls per second of one principal, in each worker.", 50, least=1, most=1_000_000
    )


class StateSettings(Branch):
    max_staleness_seconds: int = setting(
        "Seconds that the last known state serves while the database is out of reach.",
        300,
        least=1,
        most=86_400,
    )


class TelemetrySettings(Branch):
    metrics: bool = setting("Serve /metrics on the control listener.", default=True)
    otlp_endpoint: Endpoint | None = setting(
        "Where metrics and traces are sent over OTLP; nowhere if not set.", None
    )
    log_level: Literal["debug", "info", "warning", "error"] = setting(
        "The least severe events that are logged.", "info"
    )


class UpstreamAuth(Branch):
    bearer: Bearer | None = setting("The token that the upstream wants from the gateway.", None)


class Upstream(Branch):
    transport: Literal["http", "sse", "stdio"] = setting(
        "Streamable HTTP, the HTTP+SSE transport of 2024, or a process.", "http"
    )
    url: Endpoint | None = setting("Where it is, for http and sse.", None)
    network: Literal["public", "private", "loopback"] = setting(
        "Where its address may be. What the URL names as an address, or localhost, is allowed.",
        "public",
    )
    description: Text | None = setting("What it is for, in a line.", None)
    headers: Annotated[Mapping[str, Header], _FIXED, PlainSerializer(_hidden)] = setting(
        "Headers sent with every request, for http and sse. An Authorization beats `auth.bearer`.",
        {},
    )
    command: Text | None = setting("The program to start, for stdio.", None)
    args: tuple[Argument, ...] = setting("The program's arguments, for stdio.", ())
    env: Annotated[Mapping[str, Variable], _FIXED, PlainSerializer(_hidden)] = setting(
        "All of the program's environment, for stdio.", {}
    )
    session_mode: Literal["stateful", "stateless"] = setting(
        "Whether each principal keeps sessions of its own, or the upstream keeps no state.",
        "stateful",
    )
    auth: UpstreamAuth = UpstreamAuth()


class Settings(Branch):
    """All settings, complete and consistent. Made by `load` alone.

    `warnings` are no settings: they tell what was accepted and should be looked at.
    """

    mode: Literal["enterprise", "development"] = setting(
        "`development` serves loopback only, and calls without a token.", "enterprise"
    )
    data_dir: Place = setting(
        "The directory of everything the gateway keeps.", shown="northgate-data"
    )
    public_url: Origin = setting(
        "How agents know the data listener; tokens name it.", "http://localhost:8080"
    )
    admin_url: Origin = setting(
        "How administrators know the control listener; their tokens name it.",
        "http://localhost:8081",
    )
    support_contact: Text | None = setting("Whom a denied caller may ask.", None)
    data: DataListener = DataListener()
    admin: AdminListener = AdminListener()
    database: DatabaseSettings
    policy: PolicySettings
    pdp: PdpSettings = PdpSettings()
    catalogue: CatalogueSettings = CatalogueSettings()
    record: RecordSettings = Field(default_factory=RecordSettings)
    tokens: TokenSettings = TokenSettings()
    limits: LimitSettings = LimitSettings()
    state: StateSettings = StateSettings()
    telemetry: TelemetrySettings = TelemetrySettings()
    upstreams: Annotated[Mapping[str, Upstream], _FIXED, PlainSerializer(dict)] = {}
    warnings: tuple[Problem, ...] = ()
