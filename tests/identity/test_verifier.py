"""The verified-token cache, and revocation (T05, R17)."""

from __future__ import annotations

import random

import pytest

from proxy.identity.issue import TokenRequest
from proxy.identity.principal import ActorType, Principal
from proxy.identity.refusal import Reason
from proxy.identity.revocations import Revocations
from tests.identity.workshop import (
    AUDIENCES,
    ENDPOINT,
    NOW,
    Plane,
    good_claims,
    outcome,
    text_of,
    trusted,
)


def is_hit(plane: Plane, token: str) -> bool:
    """Tell whether *token* is answered from memory: the very same principal, not an equal one."""
    return plane.verify(token) is plane.verify(token)


def test_ten_thousand_tokens_with_one_prefix_each_give_their_own_principal() -> None:
    plane = Plane()
    tokens = {f"client-{number:05}": plane.token(f"client-{number:05}") for number in range(10_000)}
    assert len({token[:60] for token in tokens.values()}) == 1

    cold = {plane.verify(token).id for token in tokens.values()}
    warm = [name for name, token in tokens.items() if plane.verify(token).id != name]

    assert cold == tokens.keys()
    assert warm == []
    assert len(plane.verifier) == 10_000


def test_a_token_that_starts_like_a_known_one_is_not_known() -> None:
    plane = Plane()
    token = plane.token()
    plane.verify(token)

    assert not any(
        isinstance(plane.outcome(token[:length]), Principal) for length in range(len(token))
    )


def test_what_is_remembered_is_bounded_and_the_longest_unused_goes_first() -> None:
    plane = Plane(remembered=3)
    first, second, third, fourth = (plane.token() for _ in range(4))
    kept = [plane.verify(token) for token in (first, second, third)]

    plane.verify(first)
    plane.verify(fourth)

    assert len(plane.verifier) == 3
    assert plane.verify(first) is kept[0]
    assert plane.verify(third) is kept[2]
    assert plane.verify(second) is not kept[1]


def test_refused_tokens_are_not_remembered() -> None:
    plane = Plane()

    for audience in (None, 7):
        plane.outcome(plane.signed(good_claims(aud=audience)))

    assert len(plane.verifier) == 0


def test_a_known_token_is_verified_again_after_sixty_seconds() -> None:
    plane = Plane()
    token = plane.token()
    known = plane.verify(token)

    plane.clock.now = NOW + 59.9
    assert plane.verify(token) is known
    plane.clock.now = NOW + 60
    assert plane.verify(token) is not known


def test_a_known_token_is_forgotten_at_its_end_and_refused_after_the_leeway() -> None:
    plane = Plane()
    token = plane.token(life=20)
    known = plane.verify(token)

    plane.clock.now = NOW + 19.9
    assert plane.verify(token) is known
    plane.clock.now = NOW + 20
    assert plane.verify(token) is not known
    assert len(plane.verifier) == 0
    plane.clock.now = NOW + 50
    assert plane.outcome(token) is Reason.EXPIRED


def test_a_known_token_dies_with_its_key() -> None:
    plane = Plane()
    plane.verifier.trust(trusted(plane.key, ends_at=NOW + 10))
    token = plane.token()
    known = plane.verify(token)

    plane.clock.now = NOW + 9.9
    assert plane.verify(token) is known
    plane.clock.now = NOW + 10
    assert plane.outcome(token) is Reason.KEY_ENDED


def test_a_known_token_opens_no_other_place() -> None:
    plane = Plane()
    token = plane.token()
    plane.verify(token)

    for place in (frozenset[str](), frozenset({ENDPOINT + "2"})):
        with pytest.raises(Exception, match="audience_other"):
            plane.verifier.verify(token, place)


def test_a_clock_set_back_answers_nothing_from_memory() -> None:
    plane = Plane()
    token = plane.token()
    plane.clock.now = NOW + 20
    known = plane.verify(token)

    plane.clock.now = NOW - 3600
    assert plane.outcome(token) is Reason.ISSUED_LATER
    plane.clock.now = NOW + 20
    assert plane.verify(token) is not known


def test_a_revoked_token_is_refused_at_once_and_its_neighbour_is_not() -> None:
    plane = Plane()
    one, two = plane.issue(), plane.issue()
    plane.verify(text_of(one))

    plane.verifier.refuse(Revocations().with_token(one.token_id, one.expires_at))

    assert plane.outcome(text_of(one)) is Reason.TOKEN_REVOKED
    assert plane.verify(text_of(two)).token_id == two.token_id


def test_a_revoked_identity_loses_every_token() -> None:
    plane = Plane()
    tokens = [plane.token() for _ in range(3)]
    for token in tokens:
        plane.verify(token)

    plane.verifier.refuse(Revocations().with_identity("client:ci"))

    assert {plane.outcome(token) for token in tokens} == {Reason.IDENTITY_REVOKED}
    assert plane.verify(plane.token("cd")).id == "cd"


def test_a_user_of_the_same_name_keeps_his() -> None:
    plane = Plane()
    plane.verifier.refuse(Revocations().with_identity("client:ci"))

    assert plane.verify(plane.signed(good_claims(sub="user:ci", client_id="cli"))).id == "ci"


@pytest.mark.parametrize("identity", ["client:ci", "user:alice"])
def test_a_delegated_token_falls_with_either_of_its_two(identity: str) -> None:
    plane = Plane()
    wanted = TokenRequest(ActorType.CLIENT, "ci", ENDPOINT, 600, acts_for="alice")
    token = text_of(plane.issuer.issue(wanted))
    assert plane.verify(token).acts_for == "alice"

    plane.verifier.refuse(Revocations().with_identity(identity))

    assert plane.outcome(token) is Reason.IDENTITY_REVOKED


@pytest.mark.parametrize("identity", ["client:ci", None])
def test_what_was_issued_until_a_moment_is_refused_and_what_comes_after_is_not(
    identity: str | None,
) -> None:
    plane = Plane()
    before = plane.token()
    plane.verify(before)

    plane.verifier.refuse(Revocations().with_all_until(NOW, identity))
    assert plane.outcome(before) is Reason.ISSUED_TOO_EARLY
    assert plane.outcome(plane.token()) is Reason.ISSUED_TOO_EARLY

    plane.clock.now = NOW + 1
    assert plane.verify(plane.token()).id == "ci"
    assert plane.outcome(before) is Reason.ISSUED_TOO_EARLY


def test_one_subject_revoked_until_a_moment_leaves_the_others_alone() -> None:
    plane = Plane()
    plane.verifier.refuse(Revocations().with_all_until(NOW, "client:ci"))

    assert plane.verify(plane.token("cd")).id == "cd"


def test_an_earlier_moment_revives_nothing() -> None:
    late = Revocations().with_all_until(NOW).with_all_until(NOW, "client:ci")

    assert late.with_all_until(NOW - 99).with_all_until(NOW - 99, "client:ci") == late


def test_a_clock_set_back_revives_no_revoked_token() -> None:
    plane = Plane()
    issued = plane.issue()
    revoked = Revocations().with_token(issued.token_id, issued.expires_at)

    revoked = revoked.without_ended(issued.expires_at + 3600)
    plane.verifier.refuse(revoked)
    plane.clock.now = NOW + 5

    assert plane.outcome(text_of(issued)) is Reason.TOKEN_REVOKED


def test_revoked_tokens_are_forgotten_a_day_after_their_end() -> None:
    revoked = Revocations().with_token("old", NOW - 86_400).with_token("new", NOW - 86_399)

    assert set(revoked.without_ended(NOW).tokens) == {"new"}


def test_a_revocation_changes_no_earlier_value() -> None:
    none = Revocations()
    none.with_token("t", NOW).with_identity("client:ci").with_all_until(NOW)

    assert none == Revocations()


def test_new_keys_are_known_and_old_ones_unknown_at_once() -> None:
    plane, other = Plane(), Plane()
    token = plane.token()
    plane.verify(token)

    plane.verifier.trust(trusted(other.key))

    assert plane.outcome(token) is Reason.KEY_UNKNOWN
    assert plane.verify(other.token()).id == "ci"


def test_a_verifier_without_keys_refuses_everything() -> None:
    plane = Plane()
    plane.verifier.trust([])

    assert plane.outcome(plane.token()) is Reason.KEY_UNKNOWN


def test_memory_never_changes_an_answer() -> None:
    """Two verifiers, one of which remembers nothing, agree through a random history."""
    plane, rng = Plane(remembered=8), random.Random(5)
    forgetful = Plane(remembered=0, clock=plane.clock)
    forgetful.key = plane.key
    verifier = forgetful.another_verifier()
    issued, revoked = [plane.issue(f"c{n}", life=90) for n in range(12)], Revocations()

    for _ in range(1_500):
        one = rng.choice(issued)
        match rng.randrange(40):
            case 0:
                revoked = revoked.with_token(one.token_id, one.expires_at)
            case 1:
                revoked = revoked.with_all_until(int(plane.clock.now), one.subject)
            case 2:
                issued.append(plane.issue(f"c{rng.randrange(30)}", life=rng.randrange(10, 300)))
        if rng.random() < 0.05:
            plane.verifier.refuse(revoked)
            verifier.refuse(revoked)
        plane.clock.now += rng.random()
        token = text_of(one)
        assert plane.outcome(token) == outcome(verifier, token)
    assert len(verifier) == 0


def test_a_repeated_token_is_answered_from_memory() -> None:
    plane = Plane()

    assert is_hit(plane, plane.token())
    assert plane.verifier.verify(plane.token(), AUDIENCES).audience == ENDPOINT
