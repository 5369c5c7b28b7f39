"""Agreements and relationships on the page: proven as they are shown, carried away as they were signed. DESIGN §7"""

import json
from collections.abc import Callable
from typing import Any

import pytest
from intentcast_agent.service import Service
from intentcast_protocol.agreement import verify_agreement
from intentcast_protocol.identity import cid

Table = Any  # the fixtures are conftest.py's
Open = Callable[[Any], Any]
HOSTILE = "</script><script>alert(1)</script><img src=x onerror=alert(2)>"


async def get(browser: Any, path: str, status: int = 200) -> str:
    async with browser.get(path) as answer:
        text: str = await answer.text()
        assert answer.status == status, text
        return text


async def agreed(table: Table, **offer: Any) -> Any:
    """Return a person who has an agreement with a vendor in the test's own hand."""
    person = await table.person()
    forger = table.forger(await person.cast())
    await person.take(forger.seal(forger.offer(**offer)))
    async with person.store.transaction() as tx:
        await tx.put_private("contact", {"name": "A. Person", "email": "me@mail.example"})
    accept = await person.accept(forger.session)
    await person.take(forger.seal(forger.say("confirm", {"accept": accept.id, "reply": forger.offer_body()["reply"]})))
    return person


class TestAgreement:
    async def test_it_is_told_in_words_and_in_terms(self, table: Table, open_page: Open) -> None:
        browser = await open_page(await agreed(table))
        assert "/agreements/a1" in await get(browser, "/agreements")
        text = await get(browser, "/agreements/a1")
        proven = await Service(table.parties[0].agent).agreement_view("a1")
        told = ("Verified just now", "€17,900.00", "A small car", "SD-BASE-DP", "the vendor names none")
        for word in (*told, proven["id"], proven["person"], proven["vendor_key"]):
            assert word.lower() in text.lower(), word
        assert "<svg" in text
        assert "style=" not in text

    async def test_the_bundle_that_is_downloaded_proves_itself(self, table: Table, open_page: Open) -> None:
        browser = await open_page(await agreed(table))
        async with browser.get("/agreements/a1/bundle") as answer:
            found = verify_agreement(await answer.read())
            assert answer.headers["Content-Disposition"] == 'attachment; filename="a1.agreement"'
        assert cid(found.id) in await get(browser, "/agreements/a1")

    async def test_the_order_is_a_view_that_says_so_and_brings_no_context_of_the_vendors(
        self, table: Table, open_page: Open
    ) -> None:
        person = await agreed(table, itemOffered={
            "@type": "Car", "category": "vehicles-parts/vehicles/motor-vehicles/cars-trucks-vans", "name": "A car",
            "mileageFromOdometer": {"value": "1000", "unitCode": "KMT", "@context": "https://evil.example/context"},
            "@id": "https://evil.example/",
        }, deliveryLeadTime={"value": "14", "unitCode": "DAY"})  # fmt: skip
        browser = await open_page(person)
        async with browser.get("/agreements/a1/order") as answer:
            text = await answer.text()
            assert answer.headers["Content-Type"].startswith("application/ld+json")
            assert answer.headers["Content-Disposition"].startswith("attachment")
        order = json.loads(text)
        assert (order["@context"], order["@type"]) == ("https://schema.org", "Order")
        assert "proves nothing" in order["description"]
        assert order["acceptedOffer"]["priceSpecification"]["price"] == "17900.00"
        assert order["acceptedOffer"]["deliveryLeadTime"]["unitCode"] == "DAY"
        assert "evil" not in text
        assert "kind" not in text

    async def test_a_damaged_agreement_says_so_and_what_to_do(self, table: Table, open_page: Open) -> None:
        person = await agreed(table)
        async with person.store.transaction() as tx:
            row = await tx.one("SELECT * FROM agreement")
            data = bytearray(tx.open("agreement", "bundle", row["id"], row["bundle"]))
            data[-100] ^= 1
            cell = tx.seal("agreement", "bundle", row["id"], bytes(data))
            await tx.run("UPDATE agreement SET bundle = ?", cell)
        browser = await open_page(person)
        text = await get(browser, "/agreements/a1", 422)
        assert "does not verify" in text
        assert "may still prove it" in text
        assert "Verified just now" not in text
        text = await get(browser, "/agreements")
        assert "does not verify" in text

    @pytest.mark.parametrize("name", ["a9", "o1", "<script>", "a" * 1_000])
    @pytest.mark.parametrize("rest", ["", "/bundle", "/order"])
    async def test_an_unknown_agreement_is_a_page_that_says_where_to_look(
        self, table: Table, open_page: Open, name: str, rest: str
    ) -> None:
        browser = await open_page(await table.person())
        text = await get(browser, f"/agreements/{name}{rest}", 404)
        assert "<script>" not in text
        assert "listed under Agreements" in text

    async def test_without_agreements_the_next_step_is_named(self, table: Table, open_page: Open) -> None:
        browser = await open_page(await table.person())
        text = await get(browser, "/agreements")
        assert "No agreements yet." in text
        assert 'href="/demands/new"' in text

    async def test_a_vendors_words_stay_words(self, table: Table, open_page: Open) -> None:
        item = {"category": "cars", "name": HOSTILE, "x": "y" * 40_000}
        browser = await open_page(await agreed(table, itemOffered=item, deviations=[HOSTILE]))
        for path in ("/agreements", "/agreements/a1", "/relations"):
            text = await get(browser, path)
            assert "<script>alert" not in text
            assert "<img" not in text
            assert "y" * 500 not in text


class TestRelations:
    async def test_what_was_told_is_shown_with_when_and_why(self, table: Table, open_page: Open) -> None:
        browser = await open_page(await agreed(table))
        text = await get(browser, "/relations")
        for word in ("Autohof Noord", "knows how to reach you", "me@mail.example", "the winner of an agreement", "o1"):
            assert word in text

    async def test_an_answer_counts_as_told(self, table: Table, open_page: Open) -> None:
        person = await table.person()
        forger = table.forger(await person.cast())
        await person.take(forger.seal(forger.offer()))
        await person.take(forger.seal(forger.say("question", {"text": "Where do you live?"})))
        service = Service(person.agent)
        browser = await open_page(person)
        assert "knows only the public demand" in await get(browser, "/relations")
        await service.deal_answer("o1", "Near Utrecht.")
        text = await get(browser, "/relations")
        assert "knows what you answered" in text
        assert "Near Utrecht." in text

    async def test_one_vendor_of_two_demands_is_one_relationship(self, table: Table) -> None:
        person, vendor = await table.person(), await table.vendor(quantity=2)
        await table.offered(person, vendor)
        await table.offered(person, vendor)
        listed = await Service(person.agent).relation_list()
        assert listed["total"] == len(listed["relations"]) == 1
        assert [one["name"] for one in listed["relations"][0]["sessions"]] == ["o2", "o1"]

    async def test_with_nobody_the_next_step_is_named(self, table: Table, open_page: Open) -> None:
        browser = await open_page(await table.person())
        assert "Nobody has answered yet" in await get(browser, "/relations")
