"""What a policy must name for the gateway is named in its own text, and means something."""

from __future__ import annotations

import pytest

from policies.dialect import read_policy
from policies.polar.source import PolicyError

TYPES = """
actor Client {}
actor User {}
resource Server { permissions = ["connect"]; }
resource Document { permissions = ["read"]; }
declare zone(String);
"""


def codes(condition: str) -> set[str]:
    rule = f'has_permission(c: Client, "read", d: Document) if d matches Document and {condition};'
    try:
        read_policy({"p.polar": TYPES + rule})
    except PolicyError as error:
        return {problem.code for problem in error.problems if problem.severity == "error"}
    return set()


@pytest.mark.parametrize(
    "condition",
    [
        'claim(c, "plan", "gold")',
        'claim(c, "plan", value) and value = "gold"',
        'source_address(c, "10.0.0.0/8")',
        'source_address(c, "fd00::/8")',
        'hour_of_day("Europe/Berlin", h) and h >= 9',
        'weekday("UTC", 1)',
        'uri_matches(d, "file:///srv/**")',
        'uri_under(d, "file:///srv")',
        'id_matches(d, "files|**")',
        'g in ["a*", "b*"] and id_matches(d, g)',
        "zone(g) and id_matches(d, g)",
        "id_matches(d, g) and zone(g)",
    ],
)
def test_what_the_gateway_can_state_is_taken(condition: str) -> None:
    assert codes(condition) == set()


@pytest.mark.parametrize(
    ("condition", "code"),
    [
        ('zone(name) and claim(c, name, "gold")', "variable-name"),
        ("zone(range) and source_address(c, range)", "variable-name"),
        ("zone(z) and hour_of_day(z, 9)", "variable-name"),
        ("zone(z) and weekday(z, 1)", "variable-name"),
        ("zone(g) and uri_matches(d, g)", "variable-name"),
        ("zone(p) and uri_under(d, p)", "variable-name"),
        ('source_address(c, "10.0.0.1/8")', "bad-name"),
        ('source_address(c, "everywhere")', "bad-name"),
        ('hour_of_day("Europe/Atlantis", 9)', "bad-name"),
        ('weekday("", 1)', "bad-name"),
        ('uri_matches(d, "file:///***")', "bad-name"),
        ('id_matches(d, "files***")', "bad-pattern"),
    ],
)
def test_what_the_gateway_would_never_state_is_an_error(condition: str, code: str) -> None:
    assert code in codes(condition)


def test_a_glob_through_a_parameter_is_an_error() -> None:
    text = TYPES + (
        "covers(d: Document, g: String) if id_matches(d, g);\n"
        'has_permission(c: Client, "read", d: Document) if d matches Document and covers(d, "a*");'
    )

    with pytest.raises(PolicyError) as caught:
        read_policy({"p.polar": text})

    assert "unbound-pattern" in {problem.code for problem in caught.value.problems}
