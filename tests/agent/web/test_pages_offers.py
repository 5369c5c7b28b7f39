"""The offers of a demand on the page: side by side, weighed anew, hostile ones inert; and the page's own files."""

import hashlib
import re
from collections.abc import Callable
from importlib.resources import files
from typing import Any

import pytest
from intentcast_agent.person.criteriafile import CriteriaError, read_criteria, read_weights, weigh, write_weights
from intentcast_agent.person.presets import PRESETS
from intentcast_agent.service import Service
from intentcast_agent.web.assets import VENDORED, assets
from intentcast_agent.web.language import Language, choose
from intentcast_agent.web.pages.matrix import PINNED, lay_out, plot, spark
from intentcast_agent.web.pages.matrix import choose as pinned
from intentcast_agent.web.render import foreign

Table = Any  # the fixtures are conftest.py's
Open = Callable[[Any], Any]
HOSTILE = (
    '"><script>alert(1)</script><img src=https://bad.example/x.png onerror=alert(2)> <a href=javascript:1>ACCEPT</a>'
)


async def get(browser: Any, path: str, status: int = 200) -> str:
    async with browser.get(path) as answer:
        text: str = await answer.text()
        assert answer.status == status, text
        return text


async def market(table: Table, *offers: dict[str, Any]) -> Any:
    """Seat a person whose demand was answered by these offers."""
    person = await table.person()
    demand = await person.cast()
    for at, changes in enumerate(offers):
        forger = table.forger(demand, changes.pop("vendor", f"Vendor {at + 1}"))
        total = changes.pop("total", "17000.00")
        item = forger.offer_body()["itemOffered"] | changes.pop("item", {})
        await person.take(forger.seal(forger.offer(total, itemOffered=item, **changes)))
    return person


class TestHostileOffers:
    async def test_every_word_of_a_vendor_stays_a_word(self, table: Table, open_page: Open) -> None:
        item = {"name": HOSTILE, "color": HOSTILE, "trim" + "x" * 60: HOSTILE}
        person = await market(table, {"vendor": HOSTILE[:60], "item": item, "deviations": [HOSTILE]}, {}, {})
        browser = await open_page(person)
        for path in ("/", "/parts/home", "/demands/d1", "/demands/d1?part=offers", "/demands/d1?part=haggle"):
            text = await get(browser, path)
            assert "<script>" not in text
            assert "<img" not in text
            assert not re.search(r"<[^>]+\son\w+=", text)
            assert not re.search(r'(?:href|src|action)="(?!/|#)', text), path
        assert "&lt;script&gt;" in text or "&lt;script&gt;" in await get(browser, "/demands/d1")

    @pytest.mark.parametrize("text", ["\u202eabc", "a\u2066b", "x" * 100_000, "a\nb\x00c", "\ufeff"])
    def test_foreign_text_is_one_short_line_in_a_direction_of_its_own(self, text: str) -> None:
        shown = str(foreign(text, 40))
        assert shown.startswith("<bdi>")
        assert len(shown) <= 40 + len("<bdi></bdi>")
        assert not re.search("[\x00-\x1f\u202a-\u202e\u2066-\u2069\ufeff]", shown)

    async def test_five_hundred_offers_are_shown_in_part_and_counted_in_full(
        self, table: Table, open_page: Open
    ) -> None:
        person = await market(table, *({"total": f"{15000 + at}.00"} for at in range(70)))
        browser = await open_page(person)
        text = await get(browser, "/demands/d1")
        assert text.count('<li class="card') == 60
        assert "Show all 70" in text
        assert (await get(browser, "/demands/d1?every=1")).count('<li class="card') == 70


class TestSideBySide:
    async def test_lowest_total_and_best_values_are_marked_in_words(self, table: Table, open_page: Open) -> None:
        near = {"mileageFromOdometer": {"value": "20000", "unitCode": "KMT"}}
        person = await market(table, {"total": "15000.00"}, {"total": "17000.00", "item": near}, {"total": "16000.00"})
        text = await get(await open_page(person), "/demands/d1")
        total = text[text.index('<tr class="total">') :].partition("</tr>")[0]
        assert re.findall(r'class="(best|)">(€[\d,]+)', total).count(("best", "€15,000")) == 1
        assert total.count("lowest") == 1
        assert "3 of 3 offers" in text

    async def test_weights_of_an_address_rank_anew_and_are_not_kept(self, table: Table, open_page: Open) -> None:
        near = {"mileageFromOdometer": {"value": "100", "unitCode": "KMT"}}
        person = await market(table, {"total": "12000.00"}, {"total": "17900.00", "item": near})
        browser = await open_page(person)
        service = Service(person.agent)
        assert (await service.offer_compare("d1"))["winner"] == "o1"
        text = await get(browser, "/demands/d1?part=offers&w.total=0")
        assert text.index("Vendor 2") < text.index("Vendor 1")
        assert (await service.offer_compare("d1"))["winner"] == "o1"

    async def test_weight_half_typed_is_said_and_shows_the_rest(self, table: Table, open_page: Open) -> None:
        person = await market(table, {})
        browser = await open_page(person)
        for given in ("w.total=-", "w.nothing=3", "w.total=1e999", "unknown=maybe", "pin=o99", "w.total=" + "9" * 5000):
            text = await get(browser, f"/demands/d1?part=offers&{given}")
            assert "Vendor 1" in text

    async def test_kept_weights_are_those_of_the_kind(self, table: Table, open_page: Open) -> None:
        person = await market(table, {})
        browser = await open_page(person)
        given = {"w.total": "1", "w.mileage": "9", "key": "abcdefgh-1"}
        async with browser.post("/demands/d1/weights", data=given, allow_redirects=False) as answer:
            assert answer.status == 303, await answer.text()
        compared = await Service(person.agent).offer_compare("d1")
        assert compared["by"]["own"]
        assert {one["name"]: one["weight"] for one in compared["criteria"]}["mileage"] == "9"

    async def test_only_differences_leaves_out_what_is_the_same(self, table: Table) -> None:
        person = await market(table, {"item": {"color": "brown"}}, {"item": {"color": "white"}})
        result = await Service(person.agent).offer_compare("d1")
        labels = {
            differences: [
                line.label for line in lay_out(result, pinned(result, ()), differences=differences).attributes
            ]
            for differences in (False, True)
        }
        assert "color" in labels[True]
        assert set(labels[True]) < set(labels[False])

    def test_pinned_offers_are_at_most_five_and_the_best_without_pins(self) -> None:
        offers = [{"name": f"o{at}", "comparison": {"cost": "1.00"}} for at in range(9)]
        result = {"offers": [*offers, {"name": "o99", "comparison": None}]}
        assert [one["name"] for one in pinned(result, ())] == ["o0", "o1", "o2", "o3", "o4"]
        assert [one["name"] for one in pinned(result, ("o7", "o99", "none"))] == ["o7"]
        assert len(pinned(result, [one["name"] for one in offers])) == PINNED

    def test_plot_keeps_every_price_inside_and_its_median_in_the_middle(self) -> None:
        offers = [{"name": f"o{at}", "comparison": {"cost": f"{cost}.00"}} for at, cost in enumerate((10, 20, 90))]
        drawn = plot({"offers": offers}, offers[:1])
        assert drawn
        assert all(0 <= dot.x <= drawn.width for dot in drawn.dots)
        assert drawn.median == "20.00"
        assert [dot.name for dot in drawn.dots if dot.name] == ["o0"]
        assert plot({"offers": offers[:2]}, ()) is None

    def test_spark_draws_each_side_and_nothing_for_one_move(self) -> None:
        said = [{"from": who, "total": total, "currency": "EUR"} for who, total in (("vendor", "10"), ("you", "8"))]
        assert spark(said) == {"vendor": "2.0,4.0", "you": "118.0,26.0"}
        assert spark(said[:1]) == {}


class TestWeights:
    @pytest.mark.parametrize("text", PRESETS.values(), ids=lambda text: str(len(text)))
    def test_written_weights_change_nothing_else(self, text: str) -> None:
        weights = read_weights("total=7.5,wants met=0")
        written = write_weights(text, weights)
        assert read_criteria(written) == weigh(read_criteria(text), weights)
        kept = set(text.splitlines()) - set(written.splitlines())
        assert all(line.startswith("weight") for line in kept)

    @pytest.mark.parametrize("given", ["total", "total=", "total=-1", "total=nan", "other=1", "total=1e30", "=1"])
    def test_weight_that_cannot_be_is_refused(self, given: str) -> None:
        with pytest.raises(CriteriaError):
            weigh(read_criteria(PRESETS[""]), read_weights(given))

    def test_criteria_written_in_an_odd_way_are_left_to_the_person(self) -> None:
        text = (
            'criterion = [{name = "total", path = "total", weight = 1, unit = "%", linear = {worst = 100, best = 5}}]'
        )
        with pytest.raises(CriteriaError, match="edit them as text"):
            write_weights(text, read_weights("total=2"))


class TestHaggling:
    async def test_mandate_of_the_form_is_given_once_and_taken_back(self, table: Table, open_page: Open) -> None:
        person = await market(table, {"vendor": HOSTILE[:60]})
        browser = await open_page(person)
        given = {"most": "16000", "currency": "EUR", "rounds": "3", "within": "30m", "expires": "1d", "vendors": "any",
                 "witnesses": "2", "accept": "person", "delivery": "14", "key": "abcdefgh-2"}  # fmt: skip
        for _ in range(2):
            async with browser.post("/demands/d1/haggle", data=given, allow_redirects=False) as answer:
                assert answer.status == 303, await answer.text()
        assert "Stop it" in await get(browser, "/demands/d1?part=haggle")
        async with browser.post("/demands/d1/stop", data={"key": "abcdefgh-3"}, allow_redirects=False) as answer:
            assert answer.status == 303
        assert "stopped, by you" in await get(browser, "/demands/d1?part=haggle")

    async def test_mandate_that_cannot_be_comes_back_with_what_was_typed(self, table: Table, open_page: Open) -> None:
        person = await market(table, {})
        browser = await open_page(person)
        given = {"most": "a lot", "currency": "EUR", "rounds": "3", "within": "30m", "target": "12345"}
        async with browser.post("/demands/d1/haggle", data=given, allow_redirects=False) as answer:
            text = await answer.text()
        assert answer.status == 422
        assert 'id="problem"' in text
        assert 'value="12345"' in text

    async def test_withdrawn_demand_says_by_whom(self, table: Table, open_page: Open) -> None:
        person = await market(table, {})
        browser = await open_page(person)
        async with browser.post("/demands/d1/withdraw", data={"key": "abcdefgh-4"}) as answer:
            text = await answer.text()
        assert "withdrawn, by you" in text
        assert "Withdraw this demand" not in text


class TestFiles:
    async def test_files_may_be_kept_for_good_and_nothing_else_is_served(self, table: Table, open_page: Open) -> None:
        browser = await open_page(await table.person())
        for asset in assets().values():
            async with browser.get(asset.url) as answer:
                assert answer.headers["Cache-Control"].endswith("immutable")
                assert await answer.read() == asset.body
        await get(browser, "/static/page.css", 404)
        await get(browser, "/static/..%2f..%2frender.py", 404)

    async def test_first_page_with_all_it_loads_is_small(self, table: Table, open_page: Open) -> None:
        text = await get(await open_page(await table.person()), "/")
        assert len(text.encode()) + sum(len(one.body) for one in assets().values()) < 150_000

    def test_script_is_one_and_no_longer_than_it_may_be(self) -> None:
        scripts = [name for name in assets() if name.endswith(".js")]
        assert scripts == ["page.js"]
        assert assets()["page.js"].body.count(b"\n") <= 300

    def test_what_others_wrote_is_listed_with_its_hash(self) -> None:
        own = {"page.css", "page.js", "mark.svg"}
        static = files("intentcast_agent.web").joinpath("static")
        shipped = {one.name: hashlib.sha256(one.read_bytes()).hexdigest() for one in static.iterdir()}
        assert {one.name: one.sha256 for one in VENDORED} == {k: v for k, v in shipped.items() if k not in own}


class TestLanguage:
    @pytest.mark.parametrize(
        ("language", "amount", "told"),
        [(Language("en"), "18500.00", "€18,500"), (Language("en"), "999.50", "€999.50"),
         (Language("en"), "-5.00", "−€5"),
         (Language("de", group=".", point=",", sign_first=False), "18500.50", "18.500,50\u00a0€")],
    )  # fmt: skip
    def test_money_is_written_as_the_language_does(self, language: Language, amount: str, told: str) -> None:
        assert language.money(amount, "EUR") == told

    @pytest.mark.parametrize("accepted", ["", "xx", "de;q=0", "*;q=9", "en-GB,en;q=0.8", "q" * 10_000, ",,;;=="])
    def test_language_whose_words_do_not_ship_is_not_chosen(self, accepted: str) -> None:
        assert choose(accepted).tag == "en"
