"""What to say about a token that cannot stand where it does."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import takewhile

from policies.polar.lexer import END, FOREIGN, KEYWORDS, Token
from policies.polar.source import Problem
from policies.polar.suggest import did_you_mean


@dataclass(frozen=True, slots=True)
class Place:
    """Where the grammar stopped: at `tokens[index]`, in one item; `accepted` could stand there."""

    tokens: Sequence[Token]
    index: int
    accepted: frozenset[str]

    @property
    def found(self) -> Token:
        return self.tokens[self.index]

    @property
    def before(self) -> Token | None:
        return self.tokens[self.index - 1] if self.index else None

    def type_at(self, offset: int) -> str:
        index = self.index + offset
        return self.tokens[index].type if 0 <= index < len(self.tokens) else ""

    def text_at(self, offset: int) -> str:
        index = self.index + offset
        return self.tokens[index].text if 0 <= index < len(self.tokens) else ""


def explain(place: Place) -> Problem:
    """Return the most telling problem for the token that stopped the grammar."""
    for look in _LOOKS:
        problem = look(place)
        if problem:
            return problem
    return _plain(place)


_OPERANDS = frozenset({"NAME", "ROLE", "PERMISSION", "ACTOR", "RESOURCE", "INTEGER", "NOW", "RPAR"})
_ARITHMETIC = "There is no arithmetic; let the caller supply the computed value as a fact."
_FOREIGN = {
    "==": ("no-double-equals", "Write `=` to compare."),
    "===": ("no-double-equals", "Write `=` to compare."),
    "!==": ("no-double-equals", "Write `!=` to say that two values differ."),
    "<>": ("no-double-equals", "Write `!=` to say that two values differ."),
    "=<": ("no-double-equals", "Write `<=` instead of `=<`."),
    ":=": ("no-assignment", "Write `=`: it binds a variable as well as compares."),
    "&&": ("no-symbol-operators", "Write `and` instead of `&&`."),
    "&": ("no-symbol-operators", "Write `and` instead of `&`."),
    "||": ("no-symbol-operators", "Write `or` instead of `||`."),
    "|": ("no-symbol-operators", "Write `or` instead of `|`."),
    "!": ("no-symbol-operators", "Write `not` instead of `!`."),
    ":-": ("no-symbol-operators", "Write `if` instead of `:-`."),
    "<-": ("no-symbol-operators", "Write `if` instead of `<-`."),
    "?=": ("no-inline-query", 'Put the query into a test: `test "..." { assert ...; }`.'),
    ".": (
        "no-attributes",
        "Values have no attributes; state them as facts, such as `owner(document, user)`.",
    ),
    **dict.fromkeys(("+", "-", "*", "/", "%", "**"), ("no-arithmetic", _ARITHMETIC)),
}


def _at(token: Token, code: str, message: str, hint: str = "") -> Problem:
    return Problem(code, message, token.span, hint=hint, text=token.text)


def _foreign(place: Place) -> Problem | None:
    found = place.found
    if found.type != FOREIGN:
        return None
    if found.text == "!" and place.type_at(-1) == "MATCHES":
        return _at(found, "no-exact-matches", "Write `matches` without the exclamation mark.")
    if found.text.startswith("'"):
        return _at(found, "single-quotes", 'Write strings between double quotes, `"like this"`.')
    if found.text in _FOREIGN:
        return _at(found, *_FOREIGN[found.text])
    return _at(found, "unknown-character", f"Remove `{_shown(found.text)}`; it means nothing here.")


def _signed_number(place: Place) -> Problem | None:
    found, before = place.found, place.before
    if found.type == "INTEGER" and found.text[0] in "+-" and before and before.type in _OPERANDS:
        return _at(found, "no-arithmetic", _ARITHMETIC)
    return None


def _stray_mark(place: Place) -> Problem | None:
    found = place.found
    if found.type == "RBRACE" and place.index == 0:
        return _at(found, "stray-brace", "Remove this `}`; no block is open here.")
    if found.type == "SEMI" and place.type_at(-1) in {"", "SEMI", "RBRACE", "_LBRACE"}:
        return _at(found, "stray-semicolon", "Remove this `;`; nothing ends here.")
    return None


_ITEM_WORDS = ("actor", "resource", "global", "test", "declare", "type")


def _unknown_item(place: Place) -> Problem | None:
    first = place.tokens[0]
    heads_no_rule = place.index == 1 and place.found.type in {
        "NAME", "STRING", "FIXTURE", "_LBRACE", "ACTOR", "RESOURCE",
    }  # fmt: skip
    if first.type not in {"NAME", "ROLE", "PERMISSION"} or not heads_no_rule:
        return None
    message = f"`{_shown(first.text)}` starts no item; blocks start with `actor`, `resource`, ..."
    return _at(first, "unknown-item", message, did_you_mean(first.text, _ITEM_WORDS))


FOREIGN_WORDS = {
    "cut": ("no-cut", "Remove `cut`: rules have no order, so there is nothing to cut short."),
    "new": ("no-new", 'Write the value itself, such as `Client{"ci"}`; nothing is constructed.'),
    "else": ("no-else", "Write a second rule for the other case; a rule has no `else`."),
    "forall": (
        "no-forall",
        "There is no `forall`; say that no counterexample exists: `not counterexample(...)`.",
    ),
}


def _foreign_word(place: Place) -> Problem | None:
    for token in (place.found, place.before):
        if token and token.type == "NAME" and token.text in FOREIGN_WORDS:
            return _at(token, *FOREIGN_WORDS[token.text])
    return _inside_forall(place)


def _inside_forall(place: Place) -> Problem | None:
    depth = 0
    for index in range(place.index - 1, 0, -1):
        token = place.tokens[index]
        if token.type == "SEMI":
            break
        depth += {"RPAR": 1, "LPAR": -1}.get(token.type, 0)
        if depth < 0 and place.tokens[index - 1].text == "forall":
            return _at(place.tokens[index - 1], *FOREIGN_WORDS["forall"])
    return None


def _empty_body(place: Place) -> Problem | None:
    before = place.before
    if before and before.type == "_IF" and place.found.type in {"SEMI", END, "RBRACE"}:
        return _at(before, "empty-body", "Write a condition after `if`, or remove the `if`.")
    return None


def _unknown_member(place: Place) -> Problem | None:
    before, found = place.before, place.found
    choices = ("roles", "permissions", "relations")
    if found.type == "EQ" and before and before.type in {"ROLE", "PERMISSION"}:
        word = before
    elif found.type == "NAME" and "ROLES" in place.accepted and place.type_at(1) != "LPAR":
        word = found
    else:
        return None
    message = (
        f"A block declares `roles`, `permissions` and `relations`, not `{_shown(word.text)}`."
        if place.type_at(1 if word is found else 0) == "EQ"
        else f'Write `"{_shown(word.text)}"` in quotes, if it is the word of a rule.'
    )
    return _at(word, "unknown-declaration", message, did_you_mean(word.text, choices))


def _rule_in_block(place: Place) -> Problem | None:
    if "ROLES" in place.accepted and place.found.type == "NAME":
        line = place.tokens[0].span.line
        message = f"Close the block opened at line {line} before this rule; it holds no full rules."
        return _at(place.found, "rule-in-block", message)
    return None


def _unknown_in_test(place: Place) -> Problem | None:
    found = place.found
    if "ASSERT" not in place.accepted or found.type in {"RBRACE", END}:
        return None
    if found.type == "SETUP":
        message = "Write one `setup`, and before the assertions."
        return _at(found, "misplaced-setup", message)
    message = f"A test holds `setup`, `assert` and `assert_not`, not `{_shown(found.text)}`."
    hint = did_you_mean(found.text, ("setup", "assert", "assert_not"))
    if place.type_at(1) == "LPAR":
        hint = "Put facts into `setup { ... }`."
    return _at(found, "unknown-statement", message, hint)


def _rich_shorthand(place: Place) -> Problem | None:
    if place.found.type not in {"NOT", "EQ", "CMP", "_IN", "MATCHES"} or not _in_shorthand(place):
        return None
    message = f"Write a full rule outside the block: a shorthand holds no `{place.found.text}`."
    return _at(place.found, "shorthand-too-rich", message)


def _in_shorthand(place: Place) -> bool:
    in_block = place.tokens[0].type in {"ACTOR", "RESOURCE", "GLOBAL"}
    return in_block and any(token.type == "_IF" for token in _statement_before(place))


def _type_in_body(place: Place) -> Problem | None:
    name, type_name = place.before, place.text_at(1)
    if place.found.type != "_COLON" or name is None or name.type not in _NAMES:
        return None
    if place.tokens[0].type == "DECLARE":
        message = f"Write only the type, `{_shown(type_name)}`, in a declaration."
        return _at(name, "name-in-declaration", message)
    if any(token.type in {"_IF", "IFF"} for token in _statement_before(place)):
        typed = f"{_shown(name.text)} matches {_shown(type_name)}"
        message = f"Write `{typed}`: only a head takes types after a colon."
        return _at(place.found, "type-in-body", message)
    message = f"Write a value instead of `{_shown(name.text)}`: a fact holds nothing unknown."
    return _at(name, "fact-not-ground", message)


def _statement_before(place: Place) -> list[Token]:
    """Return the tokens of this statement that stand before the place, the nearest first."""
    before = reversed(place.tokens[: place.index])
    return list(takewhile(lambda token: token.type != "SEMI", before))


def _bare_value(place: Place) -> Problem | None:
    before = place.before
    if not before or "CMP" not in place.accepted:
        return None
    if place.found.type == "NOT":
        message = f"Write `not {_shown(before.text)} in [...]`, the `not` in front."
        return _at(place.found, "misplaced-not", message)
    if place.found.type in {"SEMI", "_AND", "_OR", "RPAR", END, "RBRACE"}:
        message = f"Compare `{_shown(before.text)}` with something, or call a predicate with it."
        return _at(before, "bare-value", message)
    return None


def _unclosed_setup(place: Place) -> Problem | None:
    if place.found.type in {"ASSERT", "ASSERT_NOT"} and "FIXTURE" in place.accepted:
        message = "Close `setup` with `}` before the assertions."
        return _at(place.found, "unclosed-setup", message)
    return None


def _value_of_another_kind(place: Place) -> Problem | None:
    found = place.found
    wants_value = {"STRING", "INTEGER"} <= place.accepted
    if found.type == "_LSQB" and wants_value:
        message = "A list is no value; write `x in [...]`, or one fact for each element."
        return _at(found, "no-lists", message)
    if found.type == "_LBRACE" and wants_value:
        return _at(found, "no-dictionaries", "A dictionary is no value; write a fact for each key.")
    if found.type == "LPAR" and place.type_at(-1) == "NAME":
        called = _shown(place.text_at(-1))
        message = f"A call is no value; give `{called}` a further argument for its result."
        return _at(found, "no-nested-calls", message)
    return None


def _reserved_word(place: Place) -> Problem | None:
    word, after = place.found, place.type_at(1)
    if place.index == 1 and word.type == "LPAR":
        word, after = place.tokens[0], "LPAR"
    elif "NAME" not in place.accepted:
        return None
    if word.text not in KEYWORDS or word.type == "BOOLEAN":
        return None
    if word.type == "NOT" and place.type_at(-1) == "ASSERT":
        return _at(word, "misplaced-not", "Write `assert_not` instead of `assert not`.")
    follow = _AFTER_A_NAME - ({"SEMI", "RPAR"} if word.type in _OPERATOR_WORDS else set())
    if after not in follow or (word.type == "NOT" and after == "LPAR"):
        return None
    message = f"Choose another name: `{_shown(word.text)}` is a word of the language."
    return _at(word, "reserved-word", message)


def _missing_semicolon(place: Place) -> Problem | None:
    before, found = place.before, place.found
    if "SEMI" not in place.accepted or not before:
        return None
    if found.type in {END, "RBRACE"} or found.span.line > before.span.end_line:
        return _at(before, "missing-semicolon", f"Write `;` after `{_shown(before.text)}`.")
    return None


def _unclosed(place: Place) -> Problem | None:
    opened = any(token.type == "_LBRACE" for token in place.tokens[: place.index])
    blocks = {"ACTOR", "RESOURCE", "GLOBAL", "TEST"}
    if place.found.type != END or not opened or place.tokens[0].type not in blocks:
        return None
    first = place.tokens[0]
    message = f"Write the missing `}}`: the block opened at line {first.span.line} is never closed."
    return _at(first, "unclosed-block", message)


_LOOKS: tuple[Callable[[Place], Problem | None], ...] = (
    _foreign,
    _signed_number,
    _stray_mark,
    _foreign_word,
    _unknown_item,
    _empty_body,
    _rich_shorthand,
    _missing_semicolon,
    _unclosed,
    _unknown_member,
    _rule_in_block,
    _unknown_in_test,
    _type_in_body,
    _bare_value,
    _unclosed_setup,
    _value_of_another_kind,
    _reserved_word,
)

_OPERATOR_WORDS = frozenset({"_AND", "_OR"})
_AFTER_A_NAME = frozenset(
    {"LPAR", "RPAR", "_LBRACE", "_COMMA", "_COLON", "EQ", "CMP", "_IN", "MATCHES", "SEMI", "RSQB"}
)
_MAX_SHOWN = 40
_VALUE = frozenset({"STRING", "INTEGER", "BOOLEAN", "NOW"})
_NAMES = frozenset({"NAME", "ROLE", "PERMISSION", "ACTOR", "RESOURCE"})
_IN_WORDS = {
    "STRING": "a string",
    "INTEGER": "a number",
    "BOOLEAN": "`true` or `false`",
    "NOW": "`@current_unix_time`",
    "NAME": "a name",
    "EQ": "`=`",
    "CMP": "a comparison",
    "LPAR": "`(`",
    "RPAR": "`)`",
    "_LBRACE": "`{`",
    "RBRACE": "`}`",
    "_LSQB": "`[`",
    "RSQB": "`]`",
    "_COMMA": "`,`",
    "_COLON": "`:`",
    "SEMI": "`;`",
    END: "the end",
    **{type_: f"`{word}`" for word, type_ in KEYWORDS.items() if type_ != "BOOLEAN"},
}


def _plain(place: Place) -> Problem:
    found = "the end" if place.found.type == END else f"`{_shown(place.found.text)}`"
    items = ["a rule", "a fact", "a block"]
    choices = items if "TEST" in place.accepted else _choices(place.accepted)
    return _at(place.found, "syntax", f"Expected {_listed(choices)}, found {found}.")


def _shown(text: str) -> str:
    return text if len(text) <= _MAX_SHOWN else f"{text[:_MAX_SHOWN]}..."


def _choices(accepted: frozenset[str]) -> list[str]:
    words: list[str] = []
    if accepted >= _VALUE:
        words.append("a value")
        accepted -= _VALUE
    if {"ROLE", "PERMISSION"} < accepted and "NAME" in accepted:
        words.append("a name")
        accepted -= _NAMES
    words += [_IN_WORDS[type_] for type_ in sorted(accepted, key=list(_IN_WORDS).index)]
    return words


def _listed(words: list[str]) -> str:
    return f"{', '.join(words[:-1])} or {words[-1]}" if len(words) > 1 else "".join(words)


def nested_too_deep(token: Token, limit: int) -> Problem:
    message = f"Split this into several rules: parentheses and `not` nest at most {limit} deep."
    return _at(token, "too-deep", message)
