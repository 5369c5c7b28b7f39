"""A mandate file: what it means, what is left out, and every typo refused by name."""

import re
from decimal import Decimal

import pytest
from intentcast_agent.person.draft import DraftError
from intentcast_agent.person.mandate import (
    MANDATE_TEMPLATE,
    Instructions,
    read_instructions,
    restore_instructions,
    write_instructions,
    write_template,
)
from intentcast_protocol.conditions import Conditions, write_conditions
from intentcast_protocol.identity import public_key
from intentcast_protocol.mandate import Act, check
from intentcast_protocol.testing import NOW, make_demand, offer_body, price_body, seed

_, DEMAND = make_demand()
SALT = bytes(range(16))


def read(text: str) -> Instructions:
    return read_instructions(text, DEMAND, NOW, SALT)


def decide(given: Instructions, kind: str, total: str, days: int | None = None) -> tuple[str, str]:
    body = offer_body(DEMAND.id, NOW + 600, priceSpecification=price_body(total)) | write_conditions(Conditions(days))
    act = Act(kind, public_key(seed("V")), "a.example", 2, 0, body)  # type: ignore[arg-type]
    found = check(given.mandate, act, DEMAND, NOW)
    return found.decision, found.clause


def uncommented(*keys: str) -> str:
    return re.sub(rf"(?m)^# ({'|'.join(keys)}) =", r"\1 =", MANDATE_TEMPLATE)


def test_the_template_is_a_mandate() -> None:
    given = read(uncommented("ask_above", "target"))
    assert (given.most, given.target, given.currency) == (Decimal(17900), Decimal(15500), "EUR")
    assert decide(given, "counter", "17500.00") == ("allowed", "acts.counter")
    assert decide(given, "counter", "17500.01") == ("person", "person.1")
    assert decide(given, "counter", "17900.01") == ("denied", "bounds.1")
    assert decide(given, "accept", "17000.00") == ("person", "acts.accept")
    assert decide(given, "decline", "17000.00") == ("denied", "acts.decline")


def test_the_commented_lines_of_the_template_are_right_too() -> None:
    rows = re.sub(r"(?m)^# ", "", MANDATE_TEMPLATE[MANDATE_TEMPLATE.index("# [[bound]]") :])
    given = read('most = "17900 EUR"\n' + rows)
    assert decide(given, "counter", "17000.00", 15) == ("denied", "bounds.2")
    assert decide(given, "counter", "17000.00", 14) == ("allowed", "acts.counter")


def test_a_template_for_a_demand_names_its_reserve_or_budget_and_its_rounds() -> None:
    for reserve, most in (((Decimal(17123), "EUR"), "17123"), (None, "18500")):
        given = read(write_template(DEMAND, reserve))
        assert (given.most, given.mandate.rounds) == (Decimal(most), DEMAND.max_rounds)
    _, plan = make_demand(priceSpecification={"maxPrice": "30.00", "priceCurrency": "EUR", "unitCode": "MON"})
    monthly = read_instructions(write_template(plan, None), plan, NOW, SALT)
    assert (monthly.most, monthly.unit) == (Decimal(30), "MON")


def test_a_template_without_any_amount_asks_for_one() -> None:
    _, nothing = make_demand(priceSpecification=None)
    with pytest.raises(DraftError, match="most"):
        read(write_template(nothing, None))


def test_what_is_left_out_is_the_careful_choice() -> None:
    given = read('most = "17900 EUR"')
    assert given.mandate.acts == {"ask": "auto", "counter": "auto", "accept": "person", "decline": "never"}
    assert given.mandate.witnesses == 2
    assert given.mandate.categories == (DEMAND.category,)
    assert given.target is None


def test_haggling_ends_with_the_demand_at_the_latest() -> None:
    given = read('most = "17900 EUR"\nwithin = "20d"\nexpires = "30d"')
    assert given.mandate.deadline == given.mandate.expires == DEMAND.expires


@pytest.mark.parametrize(
    ("line", "word"),
    [
        ("mots = 1", "most"), ('most = "0.00 EUR"', "most"),
        ('most = "17900"', "most"), ('most = "nan EUR"', "most"), ('most = "1e999 EUR"', "most"),
        ('most = "17900 EUR"\nask_above = "1 USD"', "ask_above"),
        ('most = "17900 EUR"\ntarget = "17900 EUR"', "target"),
        ('most = "17900 EUR"\nrounds = 99', "rounds"), ('most = "17900 EUR"\nwithin = "soon"', "within"),
        ('most = "17900 EUR"\nexpires = "99d"', "expires"), ('most = "17900 EUR"\nvendors = "some"', "vendors"),
        ('most = "17900 EUR"\n[acts]\nacept = "auto"', "accept"),
        ('most = "17900 EUR"\n[acts]\naccept = "yes"', "auto"),
        ('most = "17900 EUR"\nacts = 1', "acts"), ('most = "17900 EUR"\n[[bound]]\npaht = "x"', "path"),
        ('most = "17900 EUR"\n[[bound]]\npath = "x"\nop = "is"', "op"), ('most = "17900 EUR"\nbound = 3', "bound"),
        ('most = "17900 EUR"\n[[ask_when]]\nop = "le"', "path"), ("most = [", "TOML"), ("", "most"),
        ('most = "17900 EUR"\nper = ""', "unitCode"), ('most = "17900 EUR"\nper = 0', "unitCode"),
        ('most = "17900 EUR"\n' + "[[bound]]\n" * 61, "60"),
    ],
)  # fmt: skip
def test_a_typo_is_refused_by_name(line: str, word: str) -> None:
    with pytest.raises(DraftError, match=word):
        read(line)


def test_instructions_survive_writing_and_reading() -> None:
    given = read(uncommented("ask_above", "target"))
    assert restore_instructions(write_instructions(given)) == given


def test_no_amount_is_in_its_repr() -> None:
    shown = repr(read(uncommented("ask_above", "target")))
    assert not any(amount in shown for amount in ("17900", "17500", "15500"))
