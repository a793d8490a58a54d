"""URIs of documents: only the canonical spelling is one (RFC 3986, section 6.2.2).

Peers read a URI in their own ways: they fold its host, decode it once or twice, drop dot segments,
turn backslashes. A rule about `file:///reports/` must not be passed by a spelling that an upstream
then reads as `file:///secrets/`, so a URI that any of them would change is refused, not repaired.
"""

from __future__ import annotations

import re
from ipaddress import IPv4Address, IPv6Address
from typing import Final
from unicodedata import normalize

from policies.model import Entity
from proxy.wire.names import UnnameableError, check_server, identified

_PARTS: Final = re.compile(r"([a-z][a-z0-9+.-]*):(?://([^/?#]*))?([^?#]*)(?:\?([^#]*))?")
_WRITTEN: Final = re.compile(r"(?:[A-Za-z0-9\-._~:/?@!$&'()*+,;=]|%[0-9A-F]{2})*")
_ESCAPES: Final = re.compile(r"(?:%[0-9A-F]{2})+")
_UNRESERVED: Final = re.compile(r"[A-Za-z0-9\-._~]")
_FORBIDDEN: Final = re.compile("[/\\\\\x00-\x1f\x7f-\x9f\u2028\u2029]")
_AGAIN: Final = re.compile(r"%25[0-9A-Fa-f]{2}")
_HOST: Final = re.compile(r"(\[[0-9a-f:.]+\]|[a-z0-9._~!$&'()*+,;=-]*)(?::([1-9][0-9]{0,4}))?")
# Parsers of the web take any of 80, 1.2, 0x7f for an IPv4 address.
_NUMERIC: Final = re.compile(r"(?:^|\.)(?:[0-9]+|0x[0-9a-f]*)$")
_DOTS: Final = frozenset({".", ".."})
_LOOKS: Final = frozenset("/\\.%~")

# Schemes whose hosts and paths have rules of their own, with the port each leaves out.
_SPECIAL: Final = {"http": "80", "https": "443", "ws": "80", "wss": "443", "file": ""}


def document(server: str, uri: str) -> Entity:
    """Return `Document{"server|uri"}`. Raises `UnnameableError`."""
    problem = uri_problem(uri)
    if problem is not None:
        raise UnnameableError(problem)
    return identified("Document", f"{check_server(server)}|{uri}")


def uri_problem(uri: str) -> str | None:
    """Return a sentence that says why *uri* is not canonical, or `None` if it is."""
    parts = _PARTS.fullmatch(uri)
    if parts is None:
        return "A URI begins with a scheme in lower case and has no fragment."
    scheme, authority, path, query = parts.groups()
    if query == "" or not (authority or path or query):
        return "A URI names something, and ends in no bare `?`."
    if _WRITTEN.fullmatch(path + (query or "")) is None:
        return "A URI is ASCII; anything else in it is percent-encoded, in upper-case digits."
    return (
        _escape_problem(path)
        or _escape_problem(query or "")
        or _authority_problem(scheme, authority, path)
        or _path_problem(scheme, path)
    )


def _escape_problem(part: str) -> str | None:
    if _AGAIN.search(part):
        return "A URI is percent-encoded once."
    for run in _ESCAPES.findall(part):
        try:
            text = bytes.fromhex(run.replace("%", "")).decode()
        except ValueError:
            return "What a URI percent-encodes is UTF-8."
        if _UNRESERVED.search(text):
            return "A URI does not percent-encode letters, digits, `-`, `.`, `_` or `~`."
        if _FORBIDDEN.search(text):
            return "A URI encodes no slash, backslash or control character."
        if not text.isascii() and not _LOOKS.isdisjoint(normalize("NFKC", text)):
            return "A URI encodes no character that may be read as a slash, dot, `%` or `~`."
    return None


def _authority_problem(scheme: str, authority: str | None, path: str) -> str | None:
    if authority is None:
        # Peers write x:/a and x:///a for each other.
        is_short = scheme in _SPECIAL or path.startswith("/")
        return "Two slashes stand before the path of a URI." if is_short else None
    if "@" in authority:
        return "A URI holds no user or password."
    found = _HOST.fullmatch(authority)
    if found is None or (found[1] and "" in found[1].split(".")):
        return "The host of a URI is in lower case, without empty labels, and its port a number."
    host, port = found.groups()
    if host.startswith("[") and not _is_canonical(IPv6Address, host[1:-1]):
        return "An IPv6 address is written in its shortest form."
    if scheme in _SPECIAL:
        return _special_problem(scheme, host, port, path)
    if not host and (not path or path.startswith("//")):
        return "A URI without a host has a path that begins with one slash."
    return None


def _special_problem(scheme: str, host: str, port: str | None, path: str) -> str | None:
    """Judge what every web browser's parser would change (WHATWG URL, "special schemes")."""
    if _NUMERIC.search(host) and not _is_canonical(IPv4Address, host):
        return "An IPv4 address is four plain numbers, and no other host ends in a number."
    if not path:
        return "A web or file URI has a path, be it only `/`."
    if scheme == "file":
        return (
            "A file URI leaves out localhost and a port." if port or host == "localhost" else None
        )
    if not host or port == _SPECIAL[scheme]:
        return "A web URI names a host and leaves out the default port."
    return None


def _path_problem(scheme: str, path: str) -> str | None:
    segments = path.split("/")
    # Some servers drop what follows a semicolon before they look for dots.
    if any(segment.partition(";")[0] in _DOTS for segment in segments):
        return "The path of a URI has no `.` or `..` segment."
    if scheme == "file" and "" in segments[1:-1]:
        return "The path of a file URI has no empty segment."
    return None


def _is_canonical(address: type[IPv4Address | IPv6Address], text: str) -> bool:
    try:
        return address(text).compressed == text
    except ValueError:
        return False
