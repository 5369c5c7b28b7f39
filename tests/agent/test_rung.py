"""The cheapest way in goes first, and the next one only after that was refused more than once. PROTOCOL §10.2"""

import pytest
from intentcast_agent.rung import LOOKED_AT, TRIES, Rung, climbable, rung_after

LADDER = ["domain", "invite", "stamp:18"]
DOMAIN, INVITE, STAMP = Rung("domain"), Rung("invite"), Rung("stamp", 18)


@pytest.mark.parametrize(
    ("domain", "invited", "work", "rungs"),
    [
        (True, True, 20, (DOMAIN, INVITE, STAMP)),
        (False, True, 20, (INVITE, STAMP)),
        (False, False, 20, (STAMP,)),
        (True, False, 17, (DOMAIN,)),
        (False, False, 17, ()),
    ],
)
def test_rungs_are_climbed_from_the_cheapest_on(domain: bool, invited: bool, work: int, rungs: object) -> None:
    for admit in (LADDER, LADDER[::-1], tuple(LADDER)):
        assert climbable(admit, domain=domain, invited=invited, work=work) == rungs


def test_stamp_of_no_bits_goes_before_what_is_spent_or_remembered() -> None:
    assert climbable(["domain", "stamp:0"], domain=True, invited=True, work=20) == (Rung("stamp", 0), DOMAIN)


@pytest.mark.parametrize("admit", [None, "domain", 5, {"domain": 1}, [], [5, None, b"domain"], ["stamp:29", "Domain"]])
def test_admit_that_is_none_lets_nobody_in(admit: object) -> None:
    assert climbable(admit, domain=True, invited=True, work=28) == ()


def test_rung_past_those_that_relays_look_at_is_as_if_absent() -> None:
    assert climbable([*["x"] * LOOKED_AT, "domain"], domain=True, invited=False, work=20) == ()


def test_next_rung_is_tried_only_after_the_one_before_was_refused_twice() -> None:
    rungs = (DOMAIN, INVITE, STAMP)
    tried = [rung_after(rungs, refusals) for refusals in range(9)]
    assert tried == [DOMAIN] * TRIES + [INVITE] * TRIES + [STAMP] * (9 - 2 * TRIES)
    assert rung_after((), 3) is None
