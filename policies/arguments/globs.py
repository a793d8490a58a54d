r"""Globs over whole strings: `*` stays within a segment, `**` crosses `/`.

Every other character stands for itself, case included: `?`, `[`, `{` and `\` are no wildcards and
nothing escapes a star. Three stars in a row are no pattern.

A pattern is chunks between `**`, and each chunk is literals between `*`. The first chunk is held
at the start of the text, the last at its end, and each chunk between takes the first place where
it fits. No choice is ever taken back: within a chunk the first place of a literal leaves at least
as much room as any later one, because the gap before a later one holds no `/`. The time is linear
in the text for a given pattern.
"""

from __future__ import annotations

import re

from policies.arguments.text import Check, has_controls

_Chunk = tuple[str, ...]

_THREE_STARS = "In a glob `*` and `**` are wildcards, and three stars in a row mean neither."
_USE_HOST = "A URL with a wildcard in its scheme or authority proves no host; use argument_host."

# The authority ends at "/", "?" or "#" only: to some parsers a backslash does not end it.
_AUTHORITY = re.compile("[^/?#]*")
_OPEN_HTTP = re.compile(r"https?(?::[/\\]*[^/\\?#*]*)?\*", re.IGNORECASE | re.ASCII)


def glob_problem(pattern: str) -> str | None:
    r"""Return a sentence for the author of a glob that cannot be right, else `None`.

    A wildcard in the authority of a URL, or before it, is refused: `https://*.example/**` matches
    `https://evil.test\@x.example/`, and `*://a.example/**` matches `https:evil.test://a.example/`.
    A URL here is text with `//` in it, or that may turn out to begin with `http:` or `https:`.
    """
    if "***" in pattern:
        return _THREE_STARS
    return _USE_HOST if _leaves_host_open(pattern) else None


def glob_check(pattern: str) -> Check:
    """Return the check for *pattern*, a glob without problems.

    Text with a control character or a line separator is irregular: what reads it may see two
    lines where the pattern saw one.
    """
    chunks = [tuple(chunk.split("*")) for chunk in pattern.split("**")]

    def check(text: str) -> bool | None:
        return None if has_controls(text) else _matches(chunks, text)

    return check


def are_apart(one: str, other: str) -> bool:
    """Tell whether no text matches both globs, as far as what they begin with says."""
    first, second = one.partition("*")[0], other.partition("*")[0]
    begins_alike = first.startswith(second) or second.startswith(first)
    return not begins_alike


def _leaves_host_open(pattern: str) -> bool:
    scheme, slashes, rest = pattern.partition("//")
    authority = _AUTHORITY.match(rest)
    if slashes and authority is not None and "*" in scheme + authority[0]:
        return True
    return _OPEN_HTTP.match(pattern) is not None


def _matches(chunks: list[_Chunk], text: str) -> bool:
    if len(chunks) == 1:
        return _is_all(chunks[0], text)
    head, *middle, tail = chunks
    at = _end_at(head, text, 0)
    for chunk in middle:
        if at < 0:
            return False
        at = _first_end(chunk, text, at)
    return at >= 0 and _is_end(tail, text, at)


def _end_at(chunk: _Chunk, text: str, at: int) -> int:
    """Return the earliest end of *chunk* in *text* if it begins at *at*, else -1."""
    first, *rest = chunk
    if not text.startswith(first, at):
        return -1
    end = at + len(first)
    for literal in rest:
        slash = text.find("/", end)
        last = (len(text) if slash < 0 else slash) + len(literal)
        at = text.find(literal, end, last)
        if at < 0:
            return -1
        end = at + len(literal)
    return end


def _first_end(chunk: _Chunk, text: str, at: int) -> int:
    """Return the earliest end of *chunk* in *text* wherever it begins from *at* on, else -1."""
    while (begin := text.find(chunk[0], at)) >= 0:
        end = _end_at(chunk, text, begin)
        if end >= 0:
            return end
        # A later begin before the same slash meets the same slashes, and so fails as well.
        slash = text.find("/", begin)
        if slash < 0:
            return -1
        at = slash + 1
    return -1


def _is_end(chunk: _Chunk, text: str, at: int) -> bool:
    """Say whether *text* ends with *chunk*, beginning at *at* or later."""
    if len(chunk) == 1:
        return len(text) - len(chunk[0]) >= at and text.endswith(chunk[0])
    backwards = tuple(literal[::-1] for literal in reversed(chunk))
    length = _end_at(backwards, text[::-1], 0)
    return 0 <= length <= len(text) - at


def _is_all(chunk: _Chunk, text: str) -> bool:
    *front, last = chunk
    if not front:
        return text == last
    end = _end_at(tuple(front), text, 0)
    gap = len(text) - len(last)
    return 0 <= end <= gap and text.endswith(last) and "/" not in text[end:gap]
