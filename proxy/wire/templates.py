"""URI templates of resources: what they may expand to, and what they do (RFC 6570).

Values are not known where a template is judged, so `may_expand_to` and `may_lie_under` say no only
if there are no values at all that would make it so.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote

MAX_TEMPLATE: Final = 2048
"""Characters of a template."""

MAX_EXPRESSIONS: Final = 32

_UNRESERVED: Final = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~"
_RESERVED: Final = ":/?#[]@!$&'()*+,;="

_EXPRESSION: Final = re.compile(r"\{([^{}]*)\}")
# An apostrophe is a literal by erratum 6937.
_LITERAL: Final = re.compile(
    r"(?:[!#$&-;=?-\[\]_a-z~\u00a0-\ud7ff\ue000-\ufdcf\ufdf0-\uffef\U00010000-\U0010ffff]"
    r"|%[0-9A-Fa-f]{2})++"
)
_VARIABLE: Final = re.compile(
    r"((?:\w|%[0-9A-Fa-f]{2})++(?:\.(?:\w|%[0-9A-Fa-f]{2})++)*+)(\*|:[1-9][0-9]{0,3})?", re.ASCII
)
_TRIPLET: Final = re.compile(r"(%[0-9A-Fa-f]{2})")

# What each operator writes between and into encoded values.
_JOINED: Final = {
    "": ",", "+": _RESERVED, "#": _RESERVED, ".": ".,", "/": "/,", ";": ";=,", "?": "&=,",
    "&": "&=,",
}  # fmt: skip
# What each begins with, unless it expands to nothing.
_FIRST: Final = {operator: operator.replace("+", "") for operator in _JOINED}
_NAMED: Final = frozenset("?&")
_SINGLE: Final = frozenset({"", "+", "/"})


class TemplateError(ValueError):
    """A template that is malformed or too long. The text is a sentence for whoever wrote it."""


@dataclass(frozen=True, slots=True)
class _Expression:
    """What stands in braces; `is_plain` if no variable has a modifier."""

    operator: str
    variables: tuple[str, ...]
    is_plain: bool

    @property
    def is_simple(self) -> bool:
        """Whether it is of a kind that is written here, and not only matched."""
        is_kind = self.operator in _NAMED or (self.operator in _SINGLE and len(self.variables) == 1)
        return is_kind and self.is_plain

    @property
    def characters(self) -> str:
        """All that may follow the first character of an expansion."""
        # Modified variables may be tables, written name=value.
        return _UNRESERVED + "%" + _JOINED[self.operator] + ("" if self.is_plain else "=")


@dataclass(frozen=True, slots=True)
class Template:
    """A URI template of at most 2048 characters and 32 expressions.

    `variables` are in the order in which they first occur; `prefix` is what every expansion begins
    with, up to the first expression.
    """

    text: str
    variables: tuple[str, ...]
    prefix: str
    _rest: tuple[str | _Expression, ...]

    @classmethod
    def parse(cls, text: str) -> Template:
        """Return the template that *text* is. Raises `TemplateError`."""
        if len(text) > MAX_TEMPLATE:
            raise TemplateError(f"A URI template has at most {MAX_TEMPLATE} characters.")
        parts = list(_parts(text))
        expressions = [part for part in parts if isinstance(part, _Expression)]
        if len(expressions) > MAX_EXPRESSIONS:
            raise TemplateError(f"A URI template has at most {MAX_EXPRESSIONS} expressions.")
        names = dict.fromkeys(name for one in expressions for name in one.variables)
        match parts:
            case [str(prefix), *rest]:
                return cls(text, tuple(names), prefix, tuple(rest))
            case _:
                return cls(text, tuple(names), "", tuple(parts))

    def may_expand_to(self, uri: str) -> bool:
        """Tell whether some values of the variables may give *uri*; never no if some do.

        Values are taken as anything that their operators can write, and each occurrence of a
        variable as another one.
        """
        if not uri.isascii() or not uri.startswith(self.prefix):
            return False
        places = _Places(uri)
        # Bit n is set if the parts so far may have written the first n characters.
        reached = 1 << len(self.prefix)
        for part in self._rest:
            if isinstance(part, str):
                reached = places.after(part, reached)
            else:
                begun = places.after(_FIRST[part.operator], reached)
                reached |= places.along(part.characters, begun)
        return bool(reached >> len(uri))

    def may_lie_under(self, prefix: str) -> bool:
        """Tell whether some expansion may begin with *prefix*; never no if one does."""
        if self.prefix.startswith(prefix):
            return True
        return bool(self._rest) and prefix.startswith(self.prefix)

    def expanded(self, values: Mapping[str, str]) -> str | None:
        """Return the URI that *values* give, `None` if that cannot be told.

        It can if each variable has a value that is Unicode, and stands unmodified in `{name}`,
        `{+name}`, `{/name}`, or in `{?a,b}` or `{&a,b}` of one or more.
        """
        expressions = [part for part in self._rest if isinstance(part, _Expression)]
        if not all(one.is_simple for one in expressions) or not values.keys() >= {*self.variables}:
            return None
        try:
            parts = [
                part if isinstance(part, str) else _written(part, values) for part in self._rest
            ]
        except UnicodeEncodeError:
            return None
        return self.prefix + "".join(parts)


class _Places:
    """Where characters stand in a text: bit n of a number is for its n-th character.

    A step is a few operations on whole numbers, whatever the text; so a match takes as many steps
    as the template has characters, and no text makes it take more.
    """

    def __init__(self, text: str) -> None:
        self._text = text[::-1].encode("ascii")
        self._found: dict[str, int] = {}

    def after(self, literal: str, reached: int) -> int:
        """Return where *literal* ends that begins at one of the places *reached*."""
        for character in literal:
            reached = (reached & self._of(character)) << 1
        return reached

    def along(self, characters: str, reached: int) -> int:
        """Return all places that can be had from those *reached* by passing *characters*."""
        open_ = self._of(characters)
        # The sum carries each place through the run of open ones that it stands in.
        return reached | (((reached & open_) + open_) ^ open_)

    def _of(self, characters: str) -> int:
        found = self._found.get(characters)
        if found is None:
            digits = bytearray(b"0" * 256)
            for character in characters:
                digits[ord(character)] = ord("1")
            found = int(b"0" + self._text.translate(digits), 2)
            self._found[characters] = found
        return found


def _parts(text: str) -> Iterator[str | _Expression]:
    """Return literals, as they are written in a URI, and expressions, in turn."""
    at = 0
    while at < len(text):
        if found := _EXPRESSION.match(text, at):
            yield _expression(found[1])
        elif found := _LITERAL.match(text, at):
            yield quote(found[0], safe=_RESERVED + "%")
        else:
            raise TemplateError(f"A URI template cannot go on as this one does at character {at}.")
        at = found.end()


def _expression(body: str) -> _Expression:
    operator = body[:1] if body[:1] in _JOINED else ""
    found = [_VARIABLE.fullmatch(one) for one in body[len(operator) :].split(",")]
    variables = [one for one in found if one is not None]
    if len(variables) < len(found):
        raise TemplateError(
            "Braces hold one of `+ # . / ; ? &` or none, and names of letters, digits, `_` and "
            "`.`, each with `*` or `:` and a length or neither."
        )
    return _Expression(
        operator, tuple(one[1] for one in variables), not any(one[2] for one in variables)
    )


def _written(expression: _Expression, values: Mapping[str, str]) -> str:
    """Return what a simple expression expands to. Raise `UnicodeEncodeError` for half a pair."""
    operator, names = expression.operator, expression.variables
    if operator == "+":
        return _reserved(values[names[0]])
    if operator in _NAMED:
        return operator + "&".join(f"{name}={quote(values[name], safe='')}" for name in names)
    return operator + quote(values[names[0]], safe="")


def _reserved(value: str) -> str:
    """Return *value* with what is reserved or encoded in it left alone (section 3.2.3)."""
    # What stands between the triplets is at even places.
    pieces = [
        piece if number % 2 else quote(piece, safe=_RESERVED)
        for number, piece in enumerate(_TRIPLET.split(value))
    ]
    return "".join(pieces)
