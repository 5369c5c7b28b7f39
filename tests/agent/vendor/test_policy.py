"""The policy file says what may be offered, and every mistake in it is named."""

import re
from contextlib import suppress
from decimal import Decimal
from pathlib import Path

import intentcast_agent
import pytest
from hypothesis import given
from hypothesis import strategies as st
from intentcast_agent.vendor.policy import POLICY_TEMPLATE, Fee, Percent, PolicyError, parse_duration, read_policy
from intentcast_protocol.area import Area
from intentcast_protocol.offer import Seller
from intentcast_protocol.terms import ROSTER

DEMO = Path(intentcast_agent.__file__).parent / "demo"
HEAD = 'name = "Autohof Noord"\ncurrency = "EUR"\n'


def test_template_is_a_valid_policy_of_about_ten_lines():
    policy = read_policy(POLICY_TEMPLATE)
    assert policy.floor == Percent(Decimal(92))
    assert [step.value for step in policy.ladder] == [0, 2, 4, 6]
    assert policy.validity == 1_800
    assert policy.area == Area((), ("NL", "DE"))
    assert policy.fees == (
        Fee("fee", "Registration", Decimal("95.00")), Fee("delivery", "Delivery", Decimal("150.00")),
    )  # fmt: skip
    assert policy.terms == (ROSTER["SD-BASE-DP"], ROSTER["SD-BASE"])
    lines = [line for line in POLICY_TEMPLATE.splitlines() if line and not line.startswith("#")]
    assert 8 <= len(lines) <= 12


def test_every_key_is_read():
    policy = read_policy("""
name = "Autohof Noord"
domain = "autohof-noord.example"
jurisdiction = "NL"
currency = "EUR"
floor = "15000.00"
ladder = ["0.5%", "2.25%"]
validity = "2h"
sells_in = ["NL"]
cells = ["u15", "u17"]
categories = ["services/home/plumbing"]
fees = [{name = "Set-up", price = "5.00", unit = "MON"}, {name = "VAT", price = "0.00", kind = "tax"}]
answers_alternatives = true
delay = "3s"
accepts_terms = ["SD-BASE"]
rounds = 2
max_open = 7
""")
    assert policy.seller == Seller("Autohof Noord", "autohof-noord.example", "NL")
    assert policy.floor == Decimal("15000.00")
    assert policy.ladder == (Percent(Decimal("0.5")), Percent(Decimal("2.25")))
    assert policy.area == Area(("u15", "u17"), ("NL",))
    assert policy.categories == ("services/home/plumbing",)
    assert policy.fees == (Fee("fee", "Set-up", Decimal(5), "MON"), Fee("tax", "VAT", Decimal(0)))
    assert (policy.validity, policy.delay, policy.rounds, policy.max_open) == (7_200, 3, 2, 7)
    assert policy.answers_alternatives
    assert policy.terms == (ROSTER["SD-BASE"],)


def test_what_is_left_out_is_the_careful_choice():
    policy = read_policy(HEAD)
    assert policy.allowed(Decimal("17900.00"), 0) == policy.allowed(Decimal("17900.00"), 30) == Decimal("17900.00")
    assert (policy.fees, policy.area, policy.answers_alternatives, policy.delay) == ((), Area(), False, 0)


@pytest.mark.parametrize(
    ("line", "key", "words"),
    [
        ('flor = "92%"', "flor", "Did you mean floor?"),
        ('zzz = "92%"', "zzz", "The keys are name,"),
        ("floor = 0.92", "floor", 'such as "92%"'),
        ('floor = "92"', "floor", "an amount in EUR"),
        ('floor = "15000.0"', "floor", '"95.00"'),
        ('floor = "101%"', "floor", "from 0% to 100%"),
        ('floor = "-1.00"', "floor", "not negative"),
        ('ladder = "2%"', "ladder", "list 1 to"),
        ("ladder = []", "ladder", "list 1 to"),
        ('ladder = ["4%", "2%"]', "ladder", "no step may be smaller"),
        ("ladder = [0, 2]", "ladder", "in quotes"),
        ('validity = "30"', "validity", "write a duration"),
        ("validity = 30", "validity", "write a duration"),
        ('validity = "59s"', "validity", "1m to 7d"),
        ('validity = "8d"', "validity", "1m to 7d"),
        ('delay = "2d"', "delay", "0s to 1d"),
        ('sells_in = ["Netherlands"]', "sells_in", "country codes"),
        ('sells_in = "NL"', "sells_in", "country codes"),
        ('cells = ["u15xyz"]', "cells", "geohash"),
        ('categories = ["Cars & Vans"]', "categories", "paths of slugs"),
        ('categories = "cars"', "categories", "paths of slugs"),
        ('fees = [{name = "Registration", price = 95.0}]', "fees.price", "in quotes"),
        ('fees = [{nam = "Registration", price = "95.00"}]', "fees.nam", "Did you mean name?"),
        ('fees = [{price = "95.00"}]', "fees.name", "1 to 100 characters"),
        ('fees = [{name = "x", price = "95.00", kind = "discount"}]', "fees.kind", "fee, delivery or tax"),
        ('fees = [{name = "x", price = "95.00", unit = "month"}]', "fees.unit", "unit code"),
        ("fees = [1]", "fees", "list them as"),
        ('delivery = "-1.00"', "delivery", "not negative"),
        ('domain = "Autohof Noord"', "domain", "host name"),
        ('jurisdiction = ""', "jurisdiction", "1 to 100"),
        ('accepts_terms = ["SD-BASE-PD"]', "accepts_terms", "Did you mean SD-BASE"),
        ("accepts_terms = []", "accepts_terms", "list names"),
        ("rounds = 31", "rounds", "0 to 30"),
        ("rounds = true", "rounds", "whole number"),
        ('rounds = "5"', "rounds", "whole number"),
        ("max_open = 0", "max_open", "1 to"),
        ("answers_alternatives = 1", "answers_alternatives", "true or false"),
    ],
)  # fmt: skip
def test_mistake_is_named_by_its_key(line: str, key: str, words: str):
    with pytest.raises(PolicyError) as caught:
        read_policy(f"{HEAD}{line}\n")
    assert caught.value.key == key
    assert str(caught.value).startswith(f"{key}: ")
    assert words in str(caught.value)
    assert str(caught.value).endswith((".", "?"))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "currency: this line is missing."),
        ('currency = "EUR"', "name: this line is missing."),
        ('name = "A"\ncurrency = "euro"', 'currency: write three capitals, such as "EUR".'),
        ('name = "A\\u202e"\ncurrency = "EUR"', "name: it holds control or reordering characters."),
    ],
)
def test_what_must_be_said_is_asked_for(text: str, words: str):
    with pytest.raises(PolicyError, match=re.escape(words)):
        read_policy(text)


@pytest.mark.parametrize(
    "text", ["floor = 92%", "a = 1\na = 2", "=" * 9, "[" * 5_000, "a=" + "[" * 5_000, "a=" + "9" * 5_000]
)
def test_broken_toml_is_a_policy_error(text: str):
    with pytest.raises(PolicyError, match="not valid TOML"):
        read_policy(text)


@given(st.text(max_size=60))
def test_any_text_is_a_policy_or_a_policy_error(text: str):
    for candidate in (text, HEAD + text, f"{HEAD}floor = '''{text}'''"):
        with suppress(PolicyError):
            assert read_policy(candidate).name


@pytest.mark.parametrize(("text", "seconds"), [("0s", 0), ("30s", 30), ("15m", 900), ("2h", 7_200), ("7d", 604_800)])
def test_duration_is_a_whole_number_and_a_letter(text: str, seconds: int):
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "s", "1", "01m", "1.5h", "-1s", "1 h", "1w", "1h30m", "١s", None, 30])
def test_duration_in_other_words_is_refused(text: object):
    with pytest.raises(ValueError, match="duration"):
        parse_duration(text)


@pytest.mark.parametrize(
    ("currency", "price", "step", "floor"),
    [("EUR", "99.99", "97.00", "92.00"), ("JPY", "2500001", "2425001", "2300001"), ("KWD", "0.001", "0.001", "0.001")],
)
def test_rounding_to_the_currencys_digits_never_costs_the_vendor(currency: str, price: str, step: str, floor: str):
    policy = read_policy(f'name = "A"\ncurrency = "{currency}"\nfloor = "92%"\nladder = ["3%", "50%"]')
    assert str(policy.allowed(Decimal(price), 0)) == step
    assert str(policy.allowed(Decimal(price), 1)) == str(policy.least(Decimal(price))) == floor


def test_ladder_stops_at_its_last_step_and_at_the_rounds_cap():
    policy = read_policy(f'{HEAD}floor = "50%"\nladder = ["0%", "10%", "20%", "30%"]\nrounds = 2')
    assert [policy.allowed(Decimal(100), rounds) for rounds in range(5)] == [100, 90, 80, 80, 80]
    policy = read_policy(f'{HEAD}floor = "85.00"\nladder = ["0%", "10%", "20%"]')
    assert [policy.allowed(Decimal(100), rounds) for rounds in range(4)] == [100, 90, 85, 85]


def test_repr_of_a_policy_hides_floor_and_ladder():
    policy = read_policy(f'{HEAD}floor = "91.37%"\nladder = ["3.41%"]')
    assert "91.37" not in repr(policy)
    assert "3.41" not in repr(policy)


def test_every_demo_stock_file_has_a_policy_that_reads():
    stock = {path.stem for path in (DEMO / "stock").iterdir() if path.suffix in (".tsv", ".csv", ".jsonld")}
    policies = {path.stem: read_policy(path.read_text()) for path in (DEMO / "policies").glob("*.toml")}
    assert stock <= policies.keys()
    assert all(policy.currency == "EUR" and policy.validity == 600 for policy in policies.values())
    assert sum(policy.answers_alternatives for policy in policies.values()) == 1
    assert sum(policy.delay > 0 for policy in policies.values()) == 1
    assert (
        len({policy.name for policy in policies.values()})
        == len({p.domain for p in policies.values()})
        == len(policies)
    )
