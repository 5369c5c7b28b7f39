"""A rehearsal says what the bot would do, by the very rules it does it by, and changes nothing."""

import json
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import intentcast_agent
import pytest
from click.testing import CliRunner
from intentcast_agent.bargain.bidding import DEFAULT
from intentcast_agent.cli import cli
from intentcast_agent.service import Service
from intentcast_agent.vendor.entry import Percent
from intentcast_agent.vendor.inventory.stock import StockItem
from intentcast_agent.vendor.policy import STRATEGIES, Policy, read_policy
from intentcast_agent.vendor.rehearsal import MOST_ITEMS, Sitter, rehearse
from intentcast_agent.vendor.stockroom import load
from intentcast_protocol.errors import StateError
from intentcast_protocol.testing import NOW

Table = Any  # the fixtures are conftest.py's
GOLF = StockItem("golf", {"name": "2018 Volkswagen Golf"}, "18000.00", "EUR")
SITTER = Sitter(Percent(Decimal(80)), Percent(Decimal(95)))
TEXT = """
name = "Autohof Noord"
currency = "EUR"
floor = "88%"
fees = [{name = "Registration", price = "95.00"}]
warranty = {costs = {"12 months" = "40.00", "24 months" = "180.00"}}
"""


def policy(strategy: str, more: str = "") -> Policy:
    ladder = 'ladder = ["0%", "2%", "4%", "6%"]' if strategy == "ladder" else ""
    return read_policy(f'{TEXT}strategy = "{strategy}"\n{ladder}\n{more}')


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_rehearsal_keeps_to_the_bounds_it_names(strategy: str):
    view = rehearse(policy(strategy), GOLF, SITTER, now=NOW)
    nets = [Decimal(one["net"]) for one in [view["first"], *view["rounds"]]]
    assert view["first"]["total"] == "18095.00"
    assert nets[0] == Decimal("17960.00")
    assert nets == sorted(nets, reverse=True)
    assert Decimal(view["floor"]) == Decimal("15840.00") <= Decimal(view["lowest"]) <= nets[-1]
    counters = [Decimal(one["counter"]) for one in view["rounds"]]
    assert counters[0] == Decimal("14476.00")
    assert counters == sorted(counters)
    if view["deal"]:
        assert Decimal(view["margin"]) == Decimal(view["net"]) - Decimal(view["floor"]) >= 0
        assert Decimal(view["deal"]) <= Decimal("17190.25")
    assert bool(view["deal"]) == (strategy != "hold")


def test_person_who_cannot_pay_gets_no_deal_and_one_who_can_takes_the_first_offer():
    poor = replace(SITTER, opens=Percent(Decimal(50)), pays=Percent(Decimal(60)))
    assert rehearse(policy(DEFAULT), GOLF, poor, now=NOW)["deal"] is None
    rich = replace(SITTER, opens=Percent(Decimal(100)), pays=Percent(Decimal(100)))
    view = rehearse(policy(DEFAULT), GOLF, rich, now=NOW)
    assert (view["rounds"], view["deal"]) == ([], "18095.00")
    assert rehearse(policy("linear", "rounds = 0"), GOLF, SITTER, now=NOW)["deal"] is None


def test_what_is_left_of_the_budget_bounds_the_rehearsal():
    view = rehearse(policy("linear"), GOLF, SITTER, now=NOW, left=Decimal("300.00"))
    assert view["lowest"] == "17660.00"
    assert Decimal(view["rounds"][-1]["net"]) >= Decimal("17660.00")


def test_item_that_would_not_be_offered_says_why():
    assert "currency" in rehearse(policy("hold"), replace(GOLF, currency="USD"), SITTER, now=NOW)["reason"]
    dear = read_policy(TEXT.replace("88%", "100%"))
    assert rehearse(dear, GOLF, SITTER, now=NOW)["reason"] == "the policy does not sell at this list price"


def test_command_shows_each_round_of_one_item_and_says_that_it_is_a_simulation(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("INTENTCAST_HOME", str(tmp_path / "home"))
    file = tmp_path / "policy.toml"
    file.write_text(TEXT + 'strategy = "linear"\nconcession_budget = {amount = "2000.00", within = "7d"}\n')
    stock = Path(intentcast_agent.__file__).parent / "demo" / "stock" / "autohof-noord.tsv"

    def run(*words: str) -> str:
        done = CliRunner().invoke(cli, ["vendor", *words], catch_exceptions=False)
        assert done.exit_code == 0, done.output
        return done.output

    run("init", "--relay", "ws://127.0.0.1:1")
    run("feed", "load", str(stock))
    found = json.loads(run("policy", "test", str(file), "--json"))
    assert (found["strategy"], found["budget_left"]) == ("linear", "2000.00")
    one = next(one for one in found["items"] if "first" in one)
    text = run("policy", "test", str(file), "--sku", one["sku"], "--pays", "96%")
    assert "A simulation" in text
    assert "up to 96%" in text
    assert f"{one['first']['total']}" in text
    assert "12 months" in text
    assert "Left of the concession budget: 2000.00 EUR." in text
    run("policy", "set", str(file))
    assert json.loads(run("policy", "test", "--json")) == found


async def test_verb_rehearses_the_stock_and_changes_nothing(table: Table) -> None:
    vendor = await table.vendor()
    async with vendor.store.transaction() as tx:
        await load(tx, "more", tuple(replace(GOLF, sku=f"golf-{at}") for at in range(MOST_ITEMS)))
    service = Service(vendor.agent)
    before = await vendor.rows("SELECT count(*) FROM outbox")
    found = await service.vendor_policy_test(TEXT + 'strategy = "linear"', "80%", "95%")
    assert (found["simulation"], len(found["items"]), found["total"]) == (True, MOST_ITEMS, MOST_ITEMS + 1)
    (one,) = (await service.vendor_policy_test(TEXT, "80%", "95%", sku="golf"))["items"]
    assert one["sku"] == "golf"
    with pytest.raises(StateError, match="no such item"):
        await service.vendor_policy_test(TEXT, "80%", "95%", sku="polo")
    assert await vendor.rows("SELECT count(*) FROM outbox") == before
    assert await vendor.count("session") == 0
