"""A bot with 15,000 real listings answers over a real relay, and each answer is worked out again from the file's rows.

The vendor, the person and the relay are processes, set up by their own commands. What the answer has to be is decided
here with Decimal, row by row, from the words of PROTOCOL §6.3, the mapping and the policy below: nothing of the
product's matcher, units, mapping or pricing takes part in it. The listings lie beside the repository
(../shared/data/used_cars_de.csv) and are never part of it.
"""

import csv
import json
import os
import re
import select
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from decimal import ROUND_CEILING, Decimal
from pathlib import Path
from typing import Any

import pytest
from intentcast_agent.api import ask
from intentcast_agent.home import Home, find_home

LISTINGS = Path(__file__).parents[3] / "shared" / "data" / "used_cars_de.csv"
CARS = "vehicles-parts/vehicles/motor-vehicles/cars-trucks-vans"
WITHIN = 20  # s for any one thing that is waited for
LOOK = 0.02  # s between two looks at what no event tells of

MAPPING = f"""\
currency = "EUR"
[columns.id]
path = "sku"
[columns.make]
path = "item.manufacturer"
[columns.model]
path = "item.model"
[columns.fuel]
path = "item.fuelType"
values = {{ Gasoline = "Petrol", "-/- (Fuel)" = "" }}
[columns.gear]
path = "item.vehicleTransmission"
[columns.offer_type]
path = "item.itemCondition"
values = {{ "Pre-registered" = "used", Demonstration = "used", "Employee's car" = "used" }}
[columns.price_eur]
path = "price"
[columns.mileage_km]
path = "item.mileageFromOdometer"
unit = "KMT"
[columns.power_hp]
path = "item.vehicleEngine.enginePower"
unit = "HJ"
[columns.year]
path = "item.vehicleModelDate"
[defaults]
"@type" = "Car"
category = "{CARS}"
name = "{{vehicleModelDate}} {{manufacturer}} {{model}}"
"""
POLICY = """\
name = "Fifteen Thousand Cars"
domain = "fifteen.example"
currency = "EUR"
floor = "90%"
ladder = ["2%", "4%", "7%", "12%"]
validity = "30m"
sells_in = ["DE", "NL"]
delivery = "150.00"
fees = [{name = "Registration", price = "95.00", kind = "fee"}]
rounds = 5
"""
FEES = Decimal("245.00")
FIRST, LAST, FLOOR = Decimal("0.98"), Decimal("0.88"), Decimal("0.90")


# What a demand says, and what the rows say to it


@dataclass(frozen=True)
class Wish:
    """One constraint on a column of the file; a column the file has not is unknown in every row."""

    column: str
    op: str
    value: Any
    unit: str = ""
    unknown: str = "ask"
    strength: str = "must"

    def toml(self) -> str:
        """Write it as a person would, in a draft."""
        lines = [f"[[{self.strength}]]", f'path = "{PATHS[self.column]}"', f'op = "{self.op}"']
        lines += [f"value = {json.dumps(self.value)}", f'unknown = "{self.unknown}"']
        lines += [f'{"currency" if self.column == "total" else "unit"} = "{self.unit}"'] if self.unit else []
        return "\n".join(lines)


PATHS = {
    "id": "itemOffered.sku",
    "make": "itemOffered.manufacturer",
    "model": "itemOffered.model",
    "name": "itemOffered.name",
    "fuel": "itemOffered.fuelType",
    "gear": "itemOffered.vehicleTransmission",
    "offer_type": "itemOffered.itemCondition",
    "mileage_km": "itemOffered.mileageFromOdometer",
    "power_hp": "itemOffered.vehicleEngine.enginePower",
    "year": "itemOffered.vehicleModelDate",
    "color": "itemOffered.color",
    "total": "priceSpecification",
}
UNITS = {"mileage_km": "KMT", "power_hp": "HJ", "total": "EUR"}
# To metres and to watts; a metric horsepower is 75 kgf·m/s, a mile 1609.344 m.
FACTORS = {
    "MTR": ("length", Decimal(1)), "KMT": ("length", Decimal(1_000)), "SMI": ("length", Decimal("1609.344")),
    "KWT": ("power", Decimal(1_000)), "HJ": ("power", Decimal("735.49875")), "KGM": ("mass", Decimal(1)),
}  # fmt: skip
Row = dict[str, str]


def said(row: Row, column: str) -> str:
    """Return what the mapping makes of a row's cell, in words."""
    if column == "name":
        return " ".join(f"{row['year']} {row['make']} {row['model']}".split())
    text = row.get(column, "")
    if column == "fuel":
        return {"Gasoline": "Petrol", "-/- (Fuel)": ""}.get(text, text)
    if column == "offer_type":
        return "NewCondition" if text == "New" else "UsedCondition"
    return text


def number(text: str) -> Decimal | None:
    return Decimal(text) if re.fullmatch(r"(0|[1-9]\d*)(\.\d+)?", text) else None


def holds(wish: Wish, row: Row) -> bool | None:
    """Say whether a row meets a wish; None where the row does not say, or says it in what cannot be compared."""
    text = said(row, wish.column)
    if wish.op == "exists":
        return bool(text) == wish.value
    if not text:
        return None
    if wish.op == "like":
        return set(re.findall(r"\w+", wish.value.lower())) <= set(re.findall(r"\w+", text.lower()))
    values = wish.value if isinstance(wish.value, list) else [wish.value]
    unit = UNITS.get(wish.column, "")
    if wish.op in ("eq", "in") and not unit:
        found = number(text)
        if found is not None and any(number(value) is not None for value in values):
            return found in [number(value) for value in values]
        return text.lower() in [value.lower() for value in values]
    found, bounds = number(text), [Decimal(value) for value in values]
    if found is None or (unit != wish.unit and not {unit, wish.unit} <= FACTORS.keys()):
        return None
    if unit != wish.unit:
        (own, factor), (asked, divisor) = FACTORS[unit], FACTORS[wish.unit]
        if own != asked:
            return None
        found, bounds = found * factor, [bound * divisor for bound in bounds]
    match wish.op:
        case "ge":
            return found >= bounds[0]
        case "le":
            return found <= bounds[0]
        case "between":
            return bounds[0] <= found <= bounds[1]
    return found in bounds


def cents(amount: Decimal) -> Decimal:
    return amount.quantize(Decimal("0.01"), ROUND_CEILING)


@dataclass(frozen=True)
class Case:
    """A demand of this test: wishes, words it should be like, the most to pay, and where."""

    wishes: tuple[Wish, ...]
    like: dict[str, str] = field(default_factory=dict)
    most: str = ""
    currency: str = "EUR"
    per: str = ""
    country: str = "DE"
    category: str = CARS

    def toml(self) -> str:
        """Write the draft."""
        lines = ['name = "A car"', f'category = "{self.category}"', 'type = "Car"', 'expires = "1h"']
        lines += [f'countries = ["{self.country}"]', 'admit = ["stamp:4"]']
        lines += [f'max_price = "{self.most} {self.currency}"'] if self.most else []
        lines += [f'per = "{self.per}"'] if self.per else []
        words = ", ".join(f'{PATHS[column].rpartition(".")[2]} = "{value}"' for column, value in self.like.items())
        lines += [f"like = {{ {words} }}"] if words else []
        return "\n".join([*lines, *(wish.toml() for wish in self.wishes)])

    @property
    def heard(self) -> bool:
        """Whether the vendor listens for such a demand: its category, where the policy sells."""
        return self.category == CARS and self.country in ("DE", "NL")

    def total(self, row: Row) -> Decimal | None:
        """Return what the policy asks first for a row: its first step, or the budget where haggling could reach it."""
        listed = Decimal(row["price_eur"])
        first, last = cents(listed * FIRST) + FEES, max(cents(listed * LAST), cents(listed * FLOOR)) + FEES
        if not self.most or first <= Decimal(self.most):
            return first
        return Decimal(self.most) if last <= Decimal(self.most) else None

    def answer(self, rows: list[Row]) -> "Answer | None":
        """Judge every row, and return the one to be answered with, or None.

        What fits comes before what must be asked about; then what meets more wants, then the cheaper, then by SKU.
        """
        served = self.heard and self.currency == "EUR" and not self.per
        likes = tuple(Wish(column, "eq", value, strength="want") for column, value in self.like.items())
        musts = [wish for wish in self.wishes if wish.strength == "must"]
        wants = [wish for wish in (*self.wishes, *likes) if wish.strength == "want"]
        best: Answer | None = None
        for row in rows if served else ():
            total, asks = self.total(row), False
            if total is None:
                continue
            for wish in musts:
                met = holds(wish, {**row, "total": str(total)})
                if met is False or (met is None and wish.unknown == "reject"):
                    break
                asks = asks or (met is None and wish.unknown == "ask")
            else:
                rank = (asks, -sum(holds(wish, row) is True for wish in wants), Decimal(row["price_eur"]), row["id"])
                if best is None or rank < best.rank:
                    best = Answer(rank, row, total, asks)
        return best


@dataclass(frozen=True)
class Answer:
    """What the vendor has to say: which row, for how much, and whether it must ask first."""

    rank: tuple[bool, int, Decimal, str]
    row: Row
    total: Decimal
    asks: bool


def must(column: str, op: str, value: Any, unit: str = "", unknown: str = "ask") -> Wish:
    return Wish(column, op, value, unit, unknown)


def want(column: str, op: str, value: Any, unit: str = "") -> Wish:
    return Wish(column, op, value, unit, strength="want")


VW, GOLF = must("make", "eq", "VOLKSWAGEN"), must("model", "eq", "golf")
CASES = {
    # Answered with an offer
    "anything at all": Case(()),
    "a Golf": Case((VW, GOLF)),
    "a Golf up to 90,000 km from 2017": Case(
        (VW, GOLF, must("mileage_km", "le", "90000", "KMT"), must("year", "ge", "2017")), most="18500.00"
    ),
    "a Golf up to 30,000 miles": Case((VW, GOLF, must("mileage_km", "le", "30000", "SMI"))),
    "a Golf, better automatic, diesel and recent": Case(
        (VW, GOLF, want("gear", "eq", "Automatic"), want("fuel", "eq", "diesel"), want("year", "ge", "2019"))
    ),
    "the same within a budget that leaves some wants": Case(
        (VW, GOLF, want("gear", "eq", "Automatic"), want("fuel", "eq", "diesel"), want("year", "ge", "2019")),
        most="11000.00",
    ),
    "between 90 and 110 kW": Case((must("power_hp", "between", ["90", "110"], "KWT"), must("make", "eq", "Skoda"))),
    "at least 220 kW, if power is stated": Case((must("power_hp", "ge", "220", "KWT", "reject"),)),
    "exactly 92,800 km": Case((must("mileage_km", "eq", "92800", "KMT"),)),
    "between two mileages in metres": Case((must("mileage_km", "between", ["49999000", "50001000"], "MTR"),)),
    "electric or plug-in": Case(
        (must("fuel", "in", ["electric", "Electric/Gasoline", "Electric/Diesel"]), must("year", "ge", "2019")),
        most="25000.00",
    ),
    "a small city car in the Netherlands": Case(
        (must("model", "in", ["up!", "Aygo", "i10", "forTwo"]), must("mileage_km", "le", "40000", "KMT")),
        most="9000.00", country="NL",
    ),
    "a model that is a number": Case((must("make", "eq", "Fiat"), must("model", "eq", "500"))),
    "a gear that may stay unstated": Case((must("gear", "eq", "Semi-automatic", unknown="allow"),)),
    "a gear, though cheaper ones might have it": Case((must("gear", "eq", "Semi-automatic"),)),
    "a gear, though silent ones meet a want": Case(
        (must("gear", "eq", "Semi-automatic"), want("gear", "exists", False))
    ),
    "a gear that has to be stated": Case(
        (must("gear", "eq", "Semi-automatic", unknown="reject"), want("gear", "exists", False))
    ),
    "110 metric horsepower in kW": Case((must("power_hp", "eq", "80.9048625", "KWT"),)),
    "gear not stated": Case((must("gear", "exists", False), must("make", "eq", "Opel"))),
    "petrol, as the mapping calls it": Case(
        (must("fuel", "eq", "Petrol"), must("year", "eq", "2021")), most="12000.00"
    ),
    "new": Case((must("offer_type", "eq", "NewCondition"),)),
    "like an Audi A4": Case((want("name", "like", "audi a4"), must("mileage_km", "le", "120000", "KMT"))),
    "like an Octavia, by its properties": Case((), like={"make": "Skoda", "model": "Octavia"}),
    "one listing": Case((must("id", "eq", "DE-42"),)),
    "a budget between the first and the last price": Case(
        (VW, GOLF, must("mileage_km", "le", "100", "KMT")), most="17000.00"
    ),
    "a budget that is the floor": Case((must("id", "eq", "de-42"),), most="8336.00"),
    "a colour nobody states, and that may be": Case((VW, must("color", "eq", "blue", unknown="allow"))),
    "a price as one wish among others": Case((GOLF, must("total", "le", "9000.00", "EUR"), must("year", "ge", "2014"))),
    "a price as a wish, and a want only dearer ones meet": Case(
        (must("total", "le", "9000.00", "EUR"), want("power_hp", "ge", "300", "KWT"))
    ),
    # Answered with a question
    "a colour nobody states": Case((VW, must("color", "eq", "blue"))),
    "mileage by weight": Case((must("mileage_km", "le", "90000", "KGM"), must("make", "eq", "Fiat")), most="5000.00"),
    "a gear only the silent ones may have at this price": Case((must("gear", "eq", "Semi-automatic"),), most="2500.00"),
    "a powerful car that only may be one": Case((must("power_hp", "ge", "400", "KWT"),), most="15000.00"),
    "a colour nobody states, and a want only dearer ones meet": Case(
        (must("color", "eq", "blue"), want("power_hp", "ge", "300", "KWT")), most="9000.00"
    ),
    # Not answered
    "a colour nobody states, or nothing": Case((VW, must("color", "eq", "blue", unknown="reject"))),
    "no such make": Case((must("make", "eq", "Trabant"),)),
    "newer than 2019 and older than 2016": Case((must("year", "ge", "2020"), must("year", "le", "2015"))),
    "a new Porsche for a song": Case(
        (must("make", "eq", "Porsche"), must("mileage_km", "le", "1000", "KMT")), most="9000.00"
    ),
    "for less than any price": Case((), most="500.00"),
    "a cent under the floor, though the ladder goes there": Case((must("id", "eq", "de-42"),), most="8335.99"),
    "in another currency": Case((VW,), most="20000.00", currency="CHF"),
    "by the month": Case((VW,), most="400.00", per="MON"),
    "where the vendor does not sell": Case((VW,), country="FR"),
    "something else": Case((), category="services/telecom/mobile-plans"),
}  # fmt: skip


# The processes


@dataclass
class Market:
    """A relay, a vendor with the listings, and a person, each a process."""

    rows: list[Row]
    vendor: Home
    person: Home
    loaded: dict[str, Any]
    cast: dict[str, str] = field(default_factory=dict)  # by case: the demand's short name
    answers: dict[str, "Answer | None"] = field(default_factory=dict)

    def expected(self, name: str) -> "Answer | None":
        """Return what a case has to be answered with; its rows are judged once."""
        if name not in self.answers:
            self.answers[name] = CASES[name].answer(self.rows)
        return self.answers[name]

    def demand(self, name: str, text: str) -> tuple[str, str]:
        """Cast a draft; return the demand's short name and id."""
        made = ask(self.person, "demand_preview", {"text": text})
        view = ask(self.person, "demand_cast", {"draft": made["draft"]})
        assert set(view["relays"].values()) == {"done"}
        self.cast[name] = view["name"]
        return view["name"], view["id"]

    def deal(self, demand: str) -> dict[str, Any]:
        """Wait for what the vendor made of a demand."""
        return until(lambda: self.noted(demand), f"the vendor never noted {demand}")

    def noted(self, demand: str) -> dict[str, Any] | None:
        """Return what the vendor made of a demand, if it has heard of it."""
        deals = ask(self.vendor, "vendor_deals", {})["deals"]
        return next((deal for deal in deals if deal["demand"] == demand), None)

    def offer(self, demand: str, state: str) -> dict[str, Any]:
        """Wait until the person's session with the vendor is in a state; return its whole view."""

        def view() -> dict[str, Any] | None:
            offers = ask(self.person, "offer_list", {"demand": demand})["offers"]
            assert len(offers) <= 1
            in_state = [offer for offer in offers if offer["state"] == state]
            return ask(self.person, "offer_view", {"offer": in_state[0]["name"]}) if in_state else None

        return until(view, f"no session of {demand} came to be {state}")


def until(look: Callable[[], Any], otherwise: str) -> Any:
    """Look until there is something, but not for ever."""
    deadline = time.monotonic() + WITHIN
    while not (found := look()):
        assert time.monotonic() < deadline, otherwise
        time.sleep(LOOK)
    return found


def command(home: Home, *words: str) -> dict[str, Any]:
    """Run one command of the CLI and return its JSON."""
    done = subprocess.run(
        [sys.executable, "-m", "intentcast_agent", *words, "--json"], env=environment(home), capture_output=True,
        timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr.decode()
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def environment(home: Home) -> dict[str, str]:
    return {**os.environ, "INTENTCAST_HOME": str(home.config.parent)}


def start(stack: ExitStack, log: Path, env: dict[str, str], *words: str) -> dict[str, Any]:
    """Start a process that is stopped with the stack; return the line it announces itself with."""
    process = subprocess.Popen(
        [sys.executable, *words], env=env, stdout=subprocess.PIPE, stderr=stack.enter_context(log.open("wb"))
    )
    stack.callback(stop, process)
    assert process.stdout is not None
    ready = select.select([process.stdout], [], [], WITHIN)[0]
    line = process.stdout.readline() if ready else b""
    assert line, f"{words} did not start: {log.read_text(errors='replace')[-2000:]}"
    told: dict[str, Any] = json.loads(line)
    return told


def stop(process: "subprocess.Popen[bytes]") -> None:
    assert process.stdout is not None
    process.terminate()
    try:
        process.wait(12)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    process.stdout.close()


@pytest.fixture(scope="module")
def market(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Market]:
    if not LISTINGS.exists():
        pytest.skip("NOT CHECKED ON REAL STOCK: ../shared/data/used_cars_de.csv is not beside the repository")
    with LISTINGS.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    folder = tmp_path_factory.mktemp("real")
    (folder / "mapping.toml").write_text(MAPPING, encoding="utf-8")
    (folder / "policy.toml").write_text(POLICY, encoding="utf-8")
    vendor, person = (find_home({"INTENTCAST_HOME": str(folder / name)}) for name in ("vendor", "person"))
    with ExitStack() as stack:
        database = str(folder / "relay.db")
        serve = ("-m", "intentcast_relay", "serve", "--listen", "127.0.0.1:0", "--database", database)
        relay = start(stack, folder / "relay.log", dict(os.environ), *serve, "--announce", "-")["url"]
        command(vendor, "vendor", "init", "--relay", relay)
        command(vendor, "vendor", "policy", "set", str(folder / "policy.toml"))
        loaded = command(vendor, "vendor", "feed", "load", str(LISTINGS), "--mapping", str(folder / "mapping.toml"))
        command(person, "init", "--relay", relay)
        start(
            stack, folder / "vendor.log", environment(vendor), "-m", "intentcast_agent", "vendor", "serve", "--announce"
        )
        start(stack, folder / "person.log", environment(person), "-m", "intentcast_agent", "serve", "--announce")
        yield Market(rows, vendor, person, loaded)


def test_every_listing_is_loaded(market: Market) -> None:
    assert len(market.rows) >= 15_000
    assert market.loaded["loaded"] == market.loaded["stock"] == len(market.rows)
    assert (market.loaded["errors"], market.loaded["unmapped"]) == ([], [])


@pytest.mark.parametrize("name", CASES)
def test_a_demand_gets_the_answer_that_every_row_says(name: str, market: Market) -> None:
    case = CASES[name]
    expected = market.expected(name)
    demand, demand_id = market.demand(name, case.toml())
    if not case.heard:
        # The relay passes demands on in their order: once a later one is answered, this one was never heard.
        market.deal(market.demand("a fence", Case(()).toml())[1])
        assert market.noted(demand_id) is None
        assert ask(market.person, "offer_list", {"demand": demand})["total"] == 0
        return
    deal = market.deal(demand_id)
    if expected is None:
        assert (deal["outcome"], deal["sku"], deal["state"]) == ("passed", None, None), deal
        assert ask(market.person, "offer_list", {"demand": demand})["total"] == 0
        return
    outcome = "asked" if expected.asks else "offered"
    assert (deal["outcome"], deal["sku"]) == (outcome, expected.row["id"]), deal
    if expected.asks:
        asking = market.offer(demand, "asking")
        assert asking["total"] is None
        question = next(one["text"] for one in asking["messages"] if one["type"] == "question")
        assert said(expected.row, "name") in question
        ask(market.person, "deal_answer", {"offer": asking["name"], "text": "Yes, please.", "all_the_same": True})
    check_offer(case, expected, market.offer(demand, "offered"))


def check_offer(case: Case, expected: Answer, offer: dict[str, Any]) -> None:
    """Hold the offer a person sees against the row, the policy and the demand."""
    row, told = expected.row, offer["attributes"]
    listed, total = Decimal(row["price_eur"]), Decimal(offer["total"])
    assert told["sku"] == row["id"]
    assert (told["manufacturer"], told.get("model", "")) == (row["make"], row["model"])
    assert told["mileageFromOdometer"].split()[0] == row["mileage_km"]
    assert (offer["currency"], offer["per"]) == ("EUR", None)
    assert cents(listed * FLOOR) + FEES <= total <= listed + FEES
    assert total == expected.total
    assert not case.most or total <= Decimal(case.most)
    assert sum(Decimal(one["amount"]) for one in offer["price"]) == total
    assert sorted((one["kind"], one["amount"]) for one in offer["price"] if one["kind"] in ("fee", "delivery")) == [
        ("delivery", "150.00"), ("fee", "95.00"),
    ]  # fmt: skip
    assert offer["fit"] == ("asks" if expected.asks else "fits")
    assert bool(offer["deviations"]) == expected.asks
    verdicts = {True: "met", False: "unmet", None: "unknown"}
    subject = {**row, "total": offer["total"]}
    judged = {(PATHS[wish.column], wish.strength): verdicts[holds(wish, subject)] for wish in case.wishes}
    found = {(one["path"], one["strength"]): one["verdict"] for one in offer["findings"]}
    assert judged.items() <= found.items()


def test_the_demands_get_answers_of_every_kind(market: Market) -> None:
    answers = [market.expected(name) for name in CASES]
    assert len(CASES) >= 20
    assert sum(answer is not None and not answer.asks for answer in answers) >= 15
    assert sum(answer is not None and answer.asks for answer in answers) >= 4
    assert sum(answer is None for answer in answers) >= 5
    bargain = market.expected("a budget between the first and the last price")
    assert bargain is not None
    assert bargain.total == Decimal("17000.00")
    assert len({answer.row["id"] for answer in answers if answer}) >= 15


def test_no_answer_came_later_to_a_demand_that_nothing_matches(market: Market) -> None:
    silent = [name for name in CASES if name in market.cast and market.expected(name) is None]
    until(lambda: ask(market.vendor, "status", {})["outbox"] == 0, "the vendor still has something to send")
    for name in silent:
        assert ask(market.person, "offer_list", {"demand": market.cast[name]})["total"] == 0, name
