"""Where a credential may be (T06, T07)."""

from __future__ import annotations

import random
import string

import pytest

from proxy.identity.bearer import bearer
from proxy.identity.principal import Principal
from proxy.identity.refusal import Reason, RefusedError
from tests.identity.workshop import AUDIENCES, Plane

Headers = list[tuple[str, str]]

TABLE: list[tuple[Headers, str, int, Reason]] = [
    ([], "", 401, Reason.CREDENTIAL_ABSENT),
    ([("X-Api-Key", "t"), ("Proxy-Authorization", "Bearer t")], "", 401, Reason.CREDENTIAL_ABSENT),
    ([("Authorization_", "Bearer t")], "", 401, Reason.CREDENTIAL_ABSENT),
    ([("X-Authorization", "Bearer t")], "", 401, Reason.CREDENTIAL_ABSENT),
    ([("Authorization", "")], "", 401, Reason.CREDENTIAL_MALFORMED),
    ([("Authorization", "Bearer")], "", 401, Reason.CREDENTIAL_MALFORMED),
    ([("Authorization", "Bearer ")], "", 401, Reason.CREDENTIAL_MALFORMED),
    ([("Authorization", "Bearer a b")], "", 401, Reason.CREDENTIAL_MALFORMED),
    ([("Authorization", "Bearer a\tb")], "", 401, Reason.CREDENTIAL_MALFORMED),
    ([("Authorization", "Bearer\ta")], "", 401, Reason.CREDENTIAL_MALFORMED),
    ([("Authorization", 'Bearer "a"')], "", 401, Reason.CREDENTIAL_MALFORMED),
    ([("Authorization", "Bearer a\n")], "", 401, Reason.CREDENTIAL_MALFORMED),
    ([("Authorization", "Bearer a\x00")], "", 401, Reason.CREDENTIAL_MALFORMED),
    ([("Authorization", "Bearer \u0430")], "", 401, Reason.CREDENTIAL_MALFORMED),
    ([("Authorization", "Bearer/a.b.c")], "", 401, Reason.CREDENTIAL_MALFORMED),
    ([("Authorization", "Bearer =")], "", 401, Reason.CREDENTIAL_MALFORMED),
    ([("Authorization", "Basic YTpi")], "", 401, Reason.SCHEME_OTHER),
    ([("Authorization", "DPoP t")], "", 401, Reason.SCHEME_OTHER),
    ([("Authorization", "t")], "", 401, Reason.SCHEME_OTHER),
    ([("Authorization", "Bearerr t")], "", 401, Reason.SCHEME_OTHER),
    ([("Authorization", "Bearer: t")], "", 401, Reason.CREDENTIAL_MALFORMED),
    (
        [("Authorization", "Bearer a"), ("Authorization", "Bearer a")],
        "", 400, Reason.CREDENTIAL_REPEATED,
    ),
    (
        [("Authorization", "Bearer a"), ("authorization", "Bearer b")],
        "", 400, Reason.CREDENTIAL_REPEATED,
    ),
    (
        [("Authorization", "Basic a"), ("AUTHORIZATION", "Bearer b")],
        "", 400, Reason.CREDENTIAL_REPEATED,
    ),
    ([("Authorization", ""), ("Authorization", "Bearer b")], "", 400, Reason.CREDENTIAL_REPEATED),
    ([("Authorization", "Bearer a, Bearer b")], "", 400, Reason.CREDENTIAL_REPEATED),
    ([("Authorization", "Bearer a,")], "", 400, Reason.CREDENTIAL_REPEATED),
    ([("Authorization", "Bearer a")], "access_token=b", 400, Reason.CREDENTIAL_IN_QUERY),
    ([("Authorization", "Bearer a")], "x=1&access_token=a", 400, Reason.CREDENTIAL_IN_QUERY),
    ([], "access_token=a", 400, Reason.CREDENTIAL_IN_QUERY),
    ([], "ACCESS_token=a", 400, Reason.CREDENTIAL_IN_QUERY),
    ([], "access%5Ftoken=a", 400, Reason.CREDENTIAL_IN_QUERY),
    ([], "access_token", 400, Reason.CREDENTIAL_IN_QUERY),
    ([], "authorization=Bearer+a", 400, Reason.CREDENTIAL_IN_QUERY),
    ([("Cookie", "access_token=a")], "", 400, Reason.CREDENTIAL_IN_COOKIE),
    ([("Cookie", "a=1; Authorization=x")], "", 400, Reason.CREDENTIAL_IN_COOKIE),
    (
        [("Authorization", "Bearer a"), ("cookie", "access_token=b")],
        "", 400, Reason.CREDENTIAL_IN_COOKIE,
    ),
]  # fmt: skip


@pytest.mark.parametrize(("headers", "query", "status", "reason"), TABLE, ids=range(len(TABLE)))
def test_a_request_without_exactly_one_bearer_header_is_refused(
    headers: Headers, query: str, status: int, reason: Reason
) -> None:
    with pytest.raises(RefusedError) as caught:
        bearer(headers, query)

    assert (caught.value.status, caught.value.reason) == (status, reason)


@pytest.mark.parametrize(
    "value", ["Bearer a.b.c", "bearer a.b.c", "BEARER a.b.c", "  Bearer   a.b.c\t"]
)
def test_the_scheme_is_read_in_any_case(value: str) -> None:
    headers = [("Host", "x"), ("aUTHORIZATION", value), ("Cookie", "theme=dark")]

    assert bearer(headers, "page=2&token_kind=x") == "a.b.c"


def test_no_answer_tells_a_wrong_token_from_an_unknown_scheme() -> None:
    answers = set()
    for value in ("Bearer", "Basic YTpi", "Bearer a b"):
        with pytest.raises(RefusedError) as caught:
            bearer([("Authorization", value)])
        answers.add((caught.value.status, caught.value.code, caught.value.public))

    assert len(answers) == 1


def any_value(rng: random.Random, token: str) -> str:
    """Return a header value: noise, or a genuine one bent in one place."""
    signs = rng.choice([string.printable, string.ascii_letters + "._-=, ", "Bearer .,\t"])
    noise = "".join(rng.choices(signs, k=rng.randrange(40)))
    cut = rng.randrange(len(token))
    bent = token[:cut] + rng.choice(["", noise, chr(rng.randrange(0x250))]) + token[cut + 1 :]
    longer = f"Bearer {token}{noise}x"
    return rng.choice([noise, f"Bearer {noise}", f"Bearer {bent}", longer, f"{noise} {token}"])


def principals(count: int, seed: int) -> list[tuple[str, Principal]]:
    """Return the values that gave a principal and are not the genuine token itself."""
    plane, rng = Plane(), random.Random(seed)
    token = plane.token()
    plane.verify(token)
    found = []
    for _ in range(count):
        value = any_value(rng, token)
        try:
            principal = plane.verifier.verify(bearer([("Authorization", value)]), AUDIENCES)
        except RefusedError:
            continue
        scheme, _, rest = value.strip(" \t").partition(" ")
        if (scheme.lower(), rest.strip(" \t")) != ("bearer", token):
            found.append((value, principal))
    return found


def test_no_header_value_but_a_genuine_one_gives_a_principal() -> None:
    assert principals(20_000, seed=6) == []


@pytest.mark.fuzz
@pytest.mark.parametrize("seed", range(5))
def test_no_header_value_of_very_many_gives_a_principal(seed: int) -> None:
    assert principals(100_000, seed) == []
