"""The page in a real browser, with real relays and vendors: from the address of `open` to offers side by side.

A page that logs an error, or that breaks its own policy of what may load, fails the test that opened it.
"""

import os
import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Dialog, Page, Request, expect, sync_playwright

CHROMIUM = Path("/usr/bin/chromium")
FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
)  # fmt: skip
SOON = 20_000  # ms a browser waits for what ought to come
WORDS = "An estate car, from 2015, under 18500 EUR, max 90000 km, in NL"
CAR = "{id}\t{title}\t{price}.00 EUR\t916\tVolkswagen\tGolf\t{year}\t{km} km\testate\n"
# What a stranger may call themselves and their car; none of it may become anything but letters.
NAME = "<img src=x onerror=alert(1)> Cars"
TITLE = "</td></table><script>alert(2)</script> https://bad.example/x.png <a href=javascript:alert(3)>Accept</a>"
POLICY = """\
name = "{name}"
currency = "EUR"
floor = "90%"
ladder = ["0%", "3%"]
validity = "30m"
sells_in = ["NL"]
"""

# Where CI says so, a missing browser fails; elsewhere it is told as skipped.
pytestmark = [
    pytest.mark.reliability,
    pytest.mark.skipif(not CHROMIUM.exists() and not os.environ.get("CI"), reason="there is no Chromium here"),
]


@dataclass
class Market:
    """A person's agent with its page, and the browser that looks at it."""

    person: Any
    browser: Browser
    trouble: list[str]

    def open(self, **options: Any) -> Page:
        """Open the page in a browser of its own, by an address that is good once."""
        context = self.browser.new_context(reduced_motion="reduce", **options)
        context.set_default_timeout(SOON)
        expect.set_options(timeout=SOON)
        page = context.new_page()
        page.on("console", self._hear)
        page.on("pageerror", lambda error: self.trouble.append(str(error)))
        page.on("dialog", self._dialog)
        page.on("request", self._watch)
        page.goto(self.person.json("open", "--no-browser")["url"])
        return page

    def _hear(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self.trouble.append(message.text)

    def _dialog(self, dialog: Dialog) -> None:
        self.trouble.append(f"a dialog: {dialog.message}")
        dialog.dismiss()

    def _watch(self, request: Request) -> None:
        if not request.url.startswith("http://127.0.0.1:"):
            self.trouble.append(f"asked for {request.url}")


@pytest.fixture(scope="module")
def market(shared_stage: Any) -> Iterator[Market]:
    """Give a person with one relay, an honest vendor and one whose every word is an attack."""
    shared_stage.relay("north")
    for name, policy, title, price, km in (
        ("honest", POLICY.format(name="Honest Cars"), "Volkswagen Golf Variant", 16500, 60000),
        ("hostile", POLICY.format(name=NAME), TITLE, 13500, 88000),
    ):
        stock = CAR.format(id="g1", title=title, price=price, year=2018, km=km)
        shared_stage.vendor(name, "north", stock=stock, policy=policy).serve("vendor")
    person = shared_stage.person("person", "north")
    person.serve()
    with ExitStack() as exits:
        playwright = exits.enter_context(sync_playwright())
        browser = playwright.chromium.launch(executable_path=str(CHROMIUM), args=list(FLAGS))
        exits.callback(browser.close)
        yield Market(person, browser, [])


@pytest.fixture
def open_page(market: Market) -> Iterator[Callable[..., Page]]:
    """Give a way to open the page; whatever it complained of fails the test."""
    market.trouble.clear()
    contexts = []

    def opened(**options: Any) -> Page:
        page = market.open(**options)
        contexts.append(page.context)
        return page

    yield opened
    for context in contexts:
        context.close()
    assert not market.trouble


@pytest.fixture(scope="module")
def demand(market: Market) -> str:
    """Give the address of a demand that was cast in the page, with both offers there."""
    page = market.open()
    page.get_by_label("In your own words").fill(WORDS)
    page.get_by_role("button", name="See what it comes to").click()
    page.get_by_role("button", name="Sign and cast").click()
    expect(page.locator("#offers .card")).to_have_count(2)
    address = page.url.partition("?")[0]
    page.context.close()
    return address


def test_first_screen_says_what_was_done_and_asks_for_no_decision(open_page: Callable[..., Page]) -> None:
    page = open_page()
    expect(page.get_by_role("heading", level=1)).to_have_text("What do you want to buy?")
    expect(page.locator("#first-run")).to_contain_text("Keys were made")
    expect(page.locator("#first-run")).to_contain_text("no telemetry")
    assert "token" not in page.url


def test_changed_field_is_shown_again_before_it_is_signed(open_page: Callable[..., Page]) -> None:
    page = open_page()
    page.goto(f"{page.url}demands/new")
    page.get_by_label("In your own words").fill(WORDS)
    page.get_by_role("button", name="See what it comes to").click()
    expect(page.locator(".tab-panel").first).to_contain_text("€18,500")
    page.get_by_label("At most, in all").fill("17000")
    page.get_by_role("button", name="Sign and cast").click()
    expect(page.get_by_role("alert")).to_contain_text("You changed something")
    expect(page.locator(".tab-panel").first).to_contain_text("€17,000")
    assert page.url.endswith("/demands/new")


def test_draft_that_cannot_be_keeps_what_was_typed_and_says_what_is_wrong(
    open_page: Callable[..., Page], market: Market
) -> None:
    page = open_page()
    page.goto(f"{page.url}demands/new?start=car")
    page.get_by_role("button", name="See what it comes to").click()
    page.get_by_label("Countries").fill("Netherlands")
    with page.expect_response(lambda answer: answer.status == 422):
        page.get_by_role("button", name="Look again").last.click()
    expect(page.locator("#problem")).to_be_visible()
    expect(page.get_by_label("Countries")).to_have_value("Netherlands")
    # The status that says so too is one a browser notes as an error.
    assert len(market.trouble) == 1
    assert "422" in market.trouble.pop()


def test_offers_of_a_cast_demand_arrive_by_themselves_with_what_was_checked(
    open_page: Callable[..., Page], demand: str
) -> None:
    page = open_page()
    page.goto(demand)
    card = page.locator("#offers .card", has_text="Honest Cars")
    expect(card.locator(".tick.done")).to_have_text(["sealed", "opened", "signature verified"])
    expect(card).to_contain_text("Your turn")
    expect(page.locator("table.compare tbody tr").first).to_contain_text("€13,500")
    expect(page.locator("#live-word")).to_be_attached()


def test_weight_that_moves_ranks_the_offers_anew_in_place(open_page: Callable[..., Page], demand: str) -> None:
    page = open_page()
    page.goto(demand)
    first = page.locator("table.compare thead th").first
    expect(first).not_to_contain_text("Honest")
    page.evaluate("window.stayed = true")
    page.locator("#w1").fill("0")
    expect(first).to_contain_text("Honest Cars")
    expect(page.locator("#r1")).to_have_value("0")
    assert page.evaluate("window.stayed")
    assert "w.total=0" in page.url


def test_page_reads_and_its_forms_work_without_a_script(open_page: Callable[..., Page], demand: str) -> None:
    page = open_page(java_script_enabled=False)
    expect(page.locator("#home-now")).to_contain_text("2 offers to accept")
    page.goto(demand)
    expect(page.locator("#offers .card")).to_have_count(2)
    expect(page.locator("#r1")).to_be_hidden()
    page.locator("#w1").fill("0")
    page.get_by_label("Show only what differs").check()
    page.get_by_role("button", name="Rank anew").click()
    expect(page.locator("table.compare thead th").first).to_contain_text("Honest Cars")
    expect(page.locator("table.compare")).not_to_contain_text("manufacturer")


def test_hostile_words_of_a_vendor_stay_letters(open_page: Callable[..., Page], demand: str) -> None:
    page = open_page()
    page.goto(demand)
    card = page.locator("#offers .card", has_text="onerror")
    expect(card).to_contain_text("<script>")
    foreign = page.locator("#offers")
    for inert in ("img", "script", "iframe", "style", "a:not([href^='/'])", "[onerror]", "[style]"):
        expect(foreign.locator(inert)).to_have_count(0)
    assert not re.search("[\u202a-\u202e\u2066-\u2069]", page.content())
    assert card.locator("h3 bdi").count() == 1


def test_agent_haggles_within_the_form_and_stops_when_told(open_page: Callable[..., Page], demand: str) -> None:
    page = open_page()
    page.goto(demand)
    page.get_by_label("Never above, in all").fill("16000")
    page.get_by_role("button", name="Start haggling").click()
    expect(page.locator("#haggle-now tbody tr")).to_have_count(2)
    stop = page.get_by_role("button", name="Stop it")
    # It may be over before anybody can stop it; either way the page says how it stands and whose word it was.
    if stop.is_visible():
        stop.click()
    expect(page.locator("#haggle-now .badge").first).to_have_text(re.compile("stopped, by you|yours to decide|ended"))


def test_narrow_page_needs_no_sideways_scrolling(open_page: Callable[..., Page], demand: str) -> None:
    page = open_page(viewport={"width": 360, "height": 740})
    for address in (page.url, f"{page.url}demands/new", demand):
        page.goto(address)
        assert page.evaluate("document.documentElement.scrollWidth") <= 360, address
