"""The host of an http or https URL, where every parser must name the same one.

A URL is regular only in this form, the scheme and host in any case:

    http[s]://label.label[:port][/path][?query][#fragment]

Labels are ASCII letters, digits and inner hyphens, 1 to 63 of them, and the host has at most 253
characters. The port is 1 to 65535 without leading zeros; it is not compared. All else is
irregular: userinfo; an empty or bad port; an IPv6 literal; a numeric host, which is one whose
last label is all digits or `0x` and hexadecimal digits; a dot at the end; `%`, `_` or non-ASCII
in the authority. `_` is refused because some parsers then find no host, and `xn--` because only
the tables of IDNA tell whether such a label is valid, and parsers carry different ones.

Anywhere in the text: a space, or a character that is not printable (controls, zero-width,
bidirectional, unassigned, other white space). A backslash before the query; and a backslash or
`@` in a query or fragment that follows the host directly, since old parsers read on to the `@`.
"""

from __future__ import annotations

import re

from policies.arguments.text import Check

_NAME = r"(?!-)[a-z0-9-]{1,63}+(?<!-)(?:\.(?!-)[a-z0-9-]{1,63}+(?<!-))*+"
_REST = r"/[^\\?#]*+(?:[?#].*+)?|[?#][^@\\]*+"
# ASCII, or else the long s and the Kelvin sign count as letters when case is ignored.
_HOST = re.compile(_NAME, re.ASCII | re.IGNORECASE)
_URL = re.compile(
    rf"https?://(?P<host>{_NAME})(?::(?P<port>[1-9][0-9]{{0,4}}+))?(?:{_REST})?",
    re.ASCII | re.IGNORECASE,
)
_NUMERIC = re.compile(r"(?:.*\.)?(?:[0-9]+|0x[0-9a-f]*)")
_MAX_PORT = 65535
_MAX_NAME = 253

_NOT_A_NAME = (
    "The host is not an ASCII host name: write `api.example.com`, or `*.example.com` for what is "
    "below it, without scheme, userinfo, port, path or a dot at the end."
)
_NUMERIC_NAME = "The host is numeric, and a URL with a numeric host is always irregular."
_PUNYCODE = "The host has an `xn--` label, and a URL with one is always irregular."
_TOO_LONG = f"The host is longer than {_MAX_NAME} characters."


def host_of(url: str) -> str | None:
    """Return the host of *url* in lower case, or `None` if it is irregular."""
    if " " in url or not url.isprintable():
        return None
    found = _URL.fullmatch(url)
    if found is None or int(found["port"] or 1) > _MAX_PORT:
        return None
    host = found["host"].lower()
    return host if _name_problem(host) is None else None


def host_problem(pattern: str) -> str | None:
    """Return a sentence for the author of a host pattern that cannot hold, else `None`."""
    name = pattern.removeprefix("*.")
    if _HOST.fullmatch(name) is None:
        return _NOT_A_NAME
    return _name_problem(name.lower())


def host_check(pattern: str) -> Check:
    """Return the check for *pattern*, a host without problems.

    `*.example.com` passes for every host below `example.com` at any depth, not for itself.
    """
    wanted = pattern.lower().removeprefix("*")
    below = wanted.startswith(".")

    def check(url: str) -> bool | None:
        host = host_of(url)
        if host is None:
            return None
        return host.endswith(wanted) if below else host == wanted

    return check


def _name_problem(name: str) -> str | None:
    if len(name) > _MAX_NAME:
        return _TOO_LONG
    if _NUMERIC.fullmatch(name):
        return _NUMERIC_NAME
    if name.startswith("xn--") or ".xn--" in name:
        return _PUNYCODE
    return None
