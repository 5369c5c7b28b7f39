"""The policy file says what may be offered, and every mistake in it is named."""

import re
from contextlib import suppress
from decimal import Decimal
from pathlib import Path

import intentcast_agent
import pytest
from hypothesis import given
from hypothesis import strategies as st
from intentcast_agent.bargain.bidding import DEFAULT
from intentcast_agent.vendor.entry import DAY, Percent, PolicyError, parse_duration
from intentcast_agent.vendor.menu import Menu
from intentcast_agent.vendor.policy import POLICY_TEMPLATE, ConcessionBudget, Fee, read_policy
from intentcast_protocol.area import Area
from intentcast_protocol.conditions import Choices, Conditions
from intentcast_protocol.offer import Seller
from intentcast_protocol.terms import ROSTER

DEMO = Path(intentcast_agent.__file__).parent / "demo"
SEVEN = ", ".join(f'e{at} = "1.00"' for at in range(7))
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
    assert re.findall(r'strategy = "(\w+)"', POLICY_TEMPLATE) == [DEFAULT]
    lines = [line for line in POLICY_TEMPLATE.splitlines() if line and not line.startswith("#")]
    assert 8 <= len(lines) <= 12


def test_keys_that_the_template_shows_in_comments_are_valid_too():
    text = re.sub(r"^# ([a-z_]+ = \{|[a-z_]+ = \[)", r"\1", POLICY_TEMPLATE, flags=re.MULTILINE)
    policy = read_policy(text.replace("ladder =", f'strategy = "{DEFAULT}" #', 1))
    assert policy.strategy == DEFAULT
    assert policy.ages == ((60 * DAY, Percent(Decimal(88))),)
    assert policy.budget == ConcessionBudget(Decimal("2000.00"), 7 * DAY)
    assert policy.menu.choices == Choices((3, 14), (12, 24), ("Winter tyres",))


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
max_work = 18
strategy = "ladder"
floor_by_age = [{after = "60d", floor = "14000.00"}, {after = "120d", floor = "80%"}]
concession_budget = {amount = "2000.00", within = "7d"}
extras = {costs = {"Winter tyres" = "240.00", "Roof rack" = "90.00"}, first = ["Winter tyres"]}
[delivery_in]
costs = {"3 days" = "120.00", "14 days" = "5.00"}
[warranty]
costs = {"1 month" = "0.00", "24 months" = "180.00"}
first = "24 months"
""")
    assert policy.ages == ((60 * DAY, Decimal("14000.00")), (120 * DAY, Percent(Decimal(80))))
    assert policy.budget == ConcessionBudget(Decimal("2000.00"), 7 * DAY)
    assert policy.menu.first == Conditions(14, 24, ("Winter tyres",))
    assert policy.menu.choices == Choices((3, 14), (1, 24), ("Roof rack", "Winter tyres"))
    assert len(policy.menu.costs) == 16
    assert policy.menu.costs[Conditions(3, 1, ("Roof rack", "Winter tyres"))] == 450
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
    assert policy.step(Decimal("17900.00"), 30) == policy.least(Decimal("17900.00")) == Decimal("17900.00")
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
        ('strategy = "bulware"', "strategy", "Did you mean boulware?"),
        ("strategy = 1", "strategy", "no such strategy"),
        ('strategy = "ladder"', "strategy", "a ladder goes with"),
        ('strategy = "linear"\nladder = ["0%"]', "strategy", "with no other"),
        ("floor_by_age = []", "floor_by_age", "list them as"),
        ('floor_by_age = ["60d"]', "floor_by_age", "list them as"),
        ('floor_by_age = [{after = "60d"}]', "floor_by_age.floor", "missing"),
        ('floor_by_age = [{after = "60m", floor = "80%"}]', "floor_by_age.after", "1d to 3650d"),
        ('floor_by_age = [{age = "60d", floor = "80%"}]', "floor_by_age.age", "no such key"),
        ('floor = "90%"\nfloor_by_age = [{after = "60d", floor = "91%"}]', "floor_by_age", "never rises with age"),
        ('floor_by_age = [{after = "9d", floor = "8%"}, {after = "9d", floor = "7%"}]', "floor_by_age", "older stock"),
        ('concession_budget = "2000.00"', "concession_budget", "write {amount ="),
        ('concession_budget = {amount = "2000", within = "7d"}', "concession_budget.amount", '"95.00"'),
        ('concession_budget = {amount = "2000.00"}', "concession_budget.within", "missing"),
        ('concession_budget = {amount = "2000.00", within = "7m"}', "concession_budget.within", "1h to 366d"),
        ('delivery_in = "3 days"', "delivery_in", "write {costs ="),
        ("delivery_in = {costs = {}}", "delivery_in.costs", "1 to 8 choices"),
        ('delivery_in = {costs = {"3 days" = 120}}', "delivery_in.costs", "in quotes"),
        ('delivery_in = {costs = {"3" = "0.00"}}', "delivery_in", '"14 days"'),
        ('delivery_in = {costs = {"3 months" = "0.00"}}', "delivery_in", '"14 days"'),
        ('delivery_in = {costs = {"3651 days" = "0.00"}}', "delivery_in", "at most 3650"),
        ('delivery_in = {costs = {"1 day" = "0.00", "1 days" = "5.00"}}', "delivery_in.costs", "the same"),
        ('delivery_in = {costs = {"3 days" = "0.00"}, first = "4 days"}', "delivery_in.first", "has a cost"),
        ('delivery_in = {costs = {"3 days" = "0.00"}, frist = "3 days"}', "delivery_in.frist", "Did you mean first?"),
        ('warranty = {costs = {"1 month" = "-1.00"}}', "warranty.costs", "not negative"),
        ('extras = {costs = {"" = "1.00"}}', "extras.costs", "1 to 100 characters"),
        ('extras = {costs = {"a" = "1.00"}, first = "a"}', "extras.first", "list those"),
        ('extras = {costs = {"a" = "1.00"}, first = ["b"]}', "extras.first", "list those"),
        (f"extras = {{costs = {{{SEVEN}}}}}", "extras", "more than 64 ways"),
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
    assert str(policy.step(Decimal(price), 0)) == step
    assert str(policy.least(Decimal(price))) == floor


def test_ladder_stops_at_its_last_step_and_at_the_rounds_cap():
    policy = read_policy(f'{HEAD}ladder = ["0%", "10%", "20%", "30%"]\nrounds = 2')
    assert [policy.step(Decimal(100), rounds) for rounds in range(5)] == [100, 90, 80, 80, 80]
    policy = read_policy(f'{HEAD}ladder = ["0%", "10%"]')
    assert [policy.step(Decimal(100), rounds) for rounds in range(4)] == [100, 90, 90, 90]


def test_floor_falls_with_age_whatever_its_lines_mix():
    policy = read_policy(
        f'{HEAD}floor = "90%"\nfloor_by_age = [{{after = "10d", floor = "95.00"}}, {{after = "20d", floor = "85%"}}]'
    )
    ages = (None, 0, 10 * DAY - 1, 10 * DAY, 20 * DAY, 99 * DAY)
    assert [policy.least(Decimal(100), age) for age in ages] == [90, 90, 90, 90, 85, 85]
    assert [policy.least(Decimal(200), age) for age in ages] == [180, 180, 180, 95, 95, 95]
    assert policy.least(Decimal(200), -5) == 180


def test_conditions_that_are_not_on_the_menu_mean_the_nearest_that_are():
    menu = read_policy(f"""{HEAD}
delivery_in = {{costs = {{"3 days" = "120.00", "14 days" = "0.00"}}}}
warranty = {{costs = {{"12 months" = "0.00", "24 months" = "180.00"}}}}
extras = {{costs = {{"Winter tyres" = "240.00"}}}}
""").menu
    assert menu.first == Conditions(14, 12)
    assert menu.nearest(Conditions(1, 99, ("Champagne", "Winter tyres"))) == Conditions(3, 24, ("Winter tyres",))
    assert menu.nearest(Conditions()) == Conditions(14, 12)
    assert menu.nearest(Conditions(8, 18)) == Conditions(3, 12)
    assert Menu().nearest(Conditions(1, 99, ("Champagne",))) == Conditions()
    assert Menu().choices == Choices()
    assert read_policy(f'{HEAD}delivery_in = {{costs = {{"3 days" = "0.00"}}}}').menu.choices == Choices()


def test_repr_of_a_policy_hides_what_a_person_must_not_learn():
    policy = read_policy(f"""{HEAD}floor = "91.37%"
ladder = ["3.41%"]
floor_by_age = [{{after = "60d", floor = "80.53%"}}]
concession_budget = {{amount = "2543.21", within = "7d"}}
extras = {{costs = {{"Winter tyres" = "247.77"}}}}
""")
    for secret in ("91.37", "3.41", "80.53", "2543.21", "247.77"):
        assert secret not in repr(policy)


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
