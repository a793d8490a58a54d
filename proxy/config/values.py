"""The types of single settings: each is read from text once, and says what it wants.

A reader raises `ValueError` with a sentence that says what to write. No sentence quotes the value:
it might be a secret in the wrong place.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final
from urllib.parse import SplitResult, urlsplit

from pydantic import PlainSerializer, PlainValidator

from proxy.identity.sealing import Secret
from proxy.upstream.presented import value_problem

MOST_CHARACTERS: Final = 4096
"""Of any one value."""

_PORT: Final = r"(?::(?P<port>[0-9]{1,5}))?"
_HOST: Final = r"(?P<host>[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])"
_AUTHORITY: Final = re.compile(_HOST + _PORT)
_LISTEN: Final = re.compile(r"(?:\[(?P<six>[0-9A-Fa-f:.]+)\]|(?P<host>[^:\[\]]+)):(?P<port>[0-9]+)")
_URL: Final = re.compile(r"[!-~]+")
_VISIBLE: Final = re.compile(r"[!-~]+")
_USUAL_PORTS: Final = {"http": 80, "https": 443}
_MOST_PORT: Final = 65_535
_SYSLOG: Final = ("udp", "tcp", "tls")
_SHORTEST_KEY: Final = 16


@dataclass(frozen=True, slots=True)
class Kind:
    """How the reference names a type; it completes "This has to be"."""

    text: str


@dataclass(frozen=True, slots=True)
class SyslogAddress:
    """Where a syslog server takes messages, and how."""

    transport: str
    host: str
    port: int

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.transport}://{host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Address:
    """Where a listener listens. Port 0 lets the system choose."""

    host: str
    port: int

    @property
    def is_loopback(self) -> bool:
        return is_loopback(self.host)

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def is_loopback(host: str) -> bool:
    """Tell whether *host* is `localhost` or a loopback address; any other name might be moved."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def _text(value: object) -> str:
    if not isinstance(value, str) or not 0 < len(value) <= MOST_CHARACTERS:
        raise ValueError("Write a text that is not empty.")
    if not value.isprintable():
        raise ValueError("Write it without line breaks and control characters.")
    return value


def read_address(value: object) -> Address:
    """Return an IP address or `localhost`, with a port."""
    if isinstance(value, Address):
        return value
    found = _LISTEN.fullmatch(_text(value))
    if found is None or len(found["port"]) > 5 or int(found["port"]) > _MOST_PORT:  # noqa: PLR2004  digits of 65535
        raise ValueError("Write HOST:PORT, for example 127.0.0.1:8080 or [::1]:8080.")
    host = found["six"] or found["host"]
    if host != "localhost":
        try:
            host = str(ipaddress.ip_address(host))
        except ValueError:
            raise ValueError("Write an IP address or localhost before the port.") from None
    return Address(host, int(found["port"]))


def _split(value: object) -> SplitResult:
    text = _text(value)
    if _URL.fullmatch(text) is None or any(sign in text for sign in '\\"<>{}^`|'):
        raise ValueError("Write a URL in ASCII, without spaces, braces, quotes and backslashes.")
    try:
        parts = urlsplit(text)
    except ValueError:
        raise ValueError("Write an absolute URL, http or https.") from None
    if parts.scheme not in _USUAL_PORTS or not text.startswith(f"{parts.scheme}://"):
        raise ValueError("Write an absolute URL that begins with https:// or http://.")
    if "@" in parts.netloc:
        raise ValueError("Leave user and password out of the URL.")
    if "#" in text:
        raise ValueError("Leave the fragment, from # on, out of the URL.")
    _check_authority(parts.netloc)
    return parts


def _check_authority(netloc: str) -> None:
    found = _AUTHORITY.fullmatch(netloc)
    if found is None or not _is_host(found["host"]):
        raise ValueError("Write a host, and if need be a port, after the scheme.")
    if found["port"] is not None and not 0 < int(found["port"]) <= _MOST_PORT:
        raise ValueError("Write a port from 1 to 65535.")


def _is_host(host: str) -> bool:
    if not host.startswith("["):
        return all(label and not label.startswith("-") for label in host.split("."))
    try:
        ipaddress.IPv6Address(host[1:-1])
    except ValueError:
        return False
    return True


def read_endpoint(value: object) -> str:
    """Return an absolute http or https URL without userinfo and fragment."""
    return _split(value).geturl()


def read_syslog(value: object) -> SyslogAddress:
    """Return where a syslog server is: `udp`, `tcp` or `tls`, its host and its port."""
    if isinstance(value, SyslogAddress):
        return value
    transport, _, authority = _text(value).partition("://")
    found = _AUTHORITY.fullmatch(authority)
    if transport not in _SYSLOG or found is None or found["port"] is None:
        raise ValueError("Write udp://HOST:PORT, tcp://HOST:PORT or tls://HOST:PORT.")
    _check_authority(authority)
    return SyslogAddress(transport, found["host"].strip("[]"), int(found["port"]))


def read_origin(value: object) -> str:
    """Return scheme, host and port exactly as clients write them: tokens name this text.

    https, unless the host is loopback.
    """
    parts = _split(value)
    if parts.path or "?" in str(value):
        raise ValueError("Leave out the path, the query and the slash at the end.")
    if parts.netloc != parts.netloc.lower():
        raise ValueError("Write the host in lower case, as clients send it.")
    if parts.port == _USUAL_PORTS[parts.scheme]:
        raise ValueError("Leave out the port, which is the usual one.")
    if parts.scheme == "http" and not is_loopback(parts.hostname or ""):
        raise ValueError("Use https; plain http is for loopback hosts only.")
    return parts.geturl()


def read_host(value: object) -> str:
    """Return `host` or `host:port` as it stands in a Host header."""
    text = _text(value)
    _check_authority(text)
    if text != text.lower():
        raise ValueError("Write the host in lower case.")
    return text


def read_network(value: object) -> str:
    """Return an address range in CIDR notation."""
    try:
        return str(ipaddress.ip_network(_text(value)))
    except ValueError:
        raise ValueError("Write an address range such as 10.0.0.0/8 or fd00::/8.") from None


def read_path(value: object) -> Path:
    """Return a path; a relative one starts at the working directory."""
    return value if isinstance(value, Path) else Path(_text(value))


def read_argument(value: object) -> str:
    """Return a command-line argument: any text without NUL."""
    if not isinstance(value, str) or "\0" in value or len(value) > MOST_CHARACTERS:
        raise ValueError("Write each argument as a text without NUL.")
    return value


def read_bearer(value: object) -> Secret:
    """Return a token that can stand in an Authorization header."""
    secret = read_secret(value)
    if _VISIBLE.fullmatch(_decoded(secret)) is None:
        raise ValueError("A token is visible ASCII in one line, without the word Bearer.")
    return secret


def read_header(value: object) -> Secret:
    """Return what can stand as the value of a header."""
    secret = read_secret(value)
    problem = value_problem(_decoded(secret))
    if problem is not None:
        raise ValueError(problem)
    return secret


def read_signing_key(value: object) -> Secret:
    """Return a key that both ends of a sink know."""
    secret = read_secret(value)
    if len(secret.reveal()) < _SHORTEST_KEY:
        raise ValueError(f"Write at least {_SHORTEST_KEY} bytes, made by chance.")
    return secret


def read_environment_value(value: object) -> Secret:
    """Return what a child process finds in a variable."""
    secret = read_secret(value)
    if b"\0" in secret.reveal():
        raise ValueError("A variable's value has no NUL in it.")
    return secret


def read_database(value: object) -> Secret:
    """Return a database URL, hidden because it may hold a password."""
    secret = read_secret(value)
    scheme, separator, rest = _decoded(secret).partition("://")
    if scheme == "postgres":
        scheme = "postgresql"
    if not separator or scheme not in {"sqlite", "postgresql"} or not rest.isprintable():
        raise ValueError("Write sqlite:///PATH or postgresql://USER:PASSWORD@HOST/DATABASE.")
    if scheme == "sqlite" and (not rest.startswith("/") or rest == "/"):
        raise ValueError("Write sqlite:/// and the file's path.")
    if scheme == "postgresql" and not rest.strip("/"):
        raise ValueError("Write the host and the database after postgresql://.")
    return Secret(f"{scheme}://{rest}".encode())


def read_secret(value: object) -> Secret:
    """Return what the loader has wrapped already; nothing else is a secret."""
    if not isinstance(value, Secret):
        raise ValueError("Write a text, ${VARIABLE} or file:PATH.")  # noqa: TRY004  pydantic reports ValueError only
    return value


def _decoded(secret: Secret) -> str:
    try:
        return secret.reveal().decode()
    except UnicodeDecodeError:
        raise ValueError("This has to be UTF-8.") from None


def _hidden(_secret: Secret) -> str:
    return "(hidden)"


_HIDDEN = PlainSerializer(_hidden, return_type=str)

Listen = Annotated[
    Address,
    PlainValidator(read_address),
    PlainSerializer(str, return_type=str),
    Kind("an address HOST:PORT"),
]
Text = Annotated[str, PlainValidator(_text), Kind("a text")]
Argument = Annotated[str, PlainValidator(read_argument), Kind("texts")]
Origin = Annotated[str, PlainValidator(read_origin), Kind("a URL without a path")]
Endpoint = Annotated[str, PlainValidator(read_endpoint), Kind("a URL")]
Syslog = Annotated[
    SyslogAddress,
    PlainValidator(read_syslog),
    PlainSerializer(str, return_type=str),
    Kind("an address such as tls://HOST:PORT"),
]
Host = Annotated[str, PlainValidator(read_host), Kind("hosts")]
BrowserOrigin = Annotated[str, PlainValidator(read_origin), Kind("URLs without a path")]
Network = Annotated[str, PlainValidator(read_network), Kind("address ranges")]
ItemName = Annotated[str, PlainValidator(_text), Kind("names")]
Place = Annotated[
    Path, PlainValidator(read_path), PlainSerializer(str, return_type=str), Kind("a path")
]
Bearer = Annotated[Secret, PlainValidator(read_bearer), _HIDDEN, Kind("a secret")]
Header = Annotated[Secret, PlainValidator(read_header), _HIDDEN, Kind("a secret")]
SigningKey = Annotated[Secret, PlainValidator(read_signing_key), _HIDDEN, Kind("a secret")]
Variable = Annotated[Secret, PlainValidator(read_environment_value), _HIDDEN, Kind("a secret")]
Database = Annotated[Secret, PlainValidator(read_database), _HIDDEN, Kind("a URL, kept secret")]
