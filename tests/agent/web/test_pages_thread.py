"""The thread of an offer on the page: every move with what it changes, and each act done once, in words. DESIGN §7"""

import re
from collections.abc import Callable
from html.parser import HTMLParser
from typing import Any

import pytest
from intentcast_agent.service import Service

Table = Any  # the fixtures are conftest.py's
Open = Callable[[Any], Any]
HOSTILE = '"><script>alert(1)</script><img src=x onerror=alert(2)> \u202egnp.exe <b>ACCEPT THIS OFFER</b>'
CHOICES = {
    "deliveryLeadTime": [{"value": "7", "unitCode": "DAY"}, {"value": "21", "unitCode": "DAY"}],
    "warranty": [{"value": "24", "unitCode": "MON"}],
    "addOn": ["winter tyres"],
}


class _Form(HTMLParser):
    """Reads the fields of the form that is sent to one address."""

    def __init__(self, action: str) -> None:
        super().__init__()
        self.action, self.inside, self.fields = action, False, {}  # type: ignore[var-annotated]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if tag == "form":
            self.inside = given.get("action") == self.action
        elif self.inside and tag == "input" and given.get("type") == "hidden":
            self.fields[given["name"]] = given.get("value") or ""

    def handle_endtag(self, tag: str) -> None:
        self.inside = self.inside and tag != "form"


def fields(text: str, action: str) -> dict[str, str]:
    """Return the hidden fields of a form as a browser would send them."""
    reader = _Form(action)
    reader.feed(text)
    assert "key" in reader.fields, f"no form is sent to {action}"
    return reader.fields


async def get(browser: Any, path: str, status: int = 200) -> str:
    async with browser.get(path) as answer:
        text: str = await answer.text()
        assert answer.status == status, text
        return text


async def post(browser: Any, path: str, given: Any) -> tuple[int, str, str]:
    async with browser.post(path, data=given, allow_redirects=False) as answer:
        return answer.status, answer.headers.get("Location", ""), await answer.text()


async def types(person: Any, kind: str) -> list[Any]:
    return [one for one in await person.messages() if one.type == kind]


class TestTimeline:
    async def test_each_move_says_what_it_changes(self, table: Table, open_page: Open) -> None:
        person, vendor = await table.person(), await table.vendor()
        _, (session,) = await table.offered(person, vendor)
        await person.counter(session, "16000.00")
        await table.carry(person, vendor)
        await table.carry(vendor, person)
        view = await Service(person.agent).offer_view("o1")
        offer, counter, second = (one for one in view["messages"] if one["terms"])
        assert offer["changes"] == []
        assert [one["name"] for one in counter["changes"]] == ["total"]
        assert counter["changes"][0]["after"] == ("16000.00", "EUR")
        assert (second["against"], second["step"]) == ("person", "-360.00")
        browser = await open_page(person)
        text = await get(browser, "/offers/o1")
        assert "€18,000.00</del>" in text
        assert "€16,000.00</ins>" in text
        assert "€17,640.00" in text

    async def test_a_changed_item_is_named_beside_the_price(self, table: Table) -> None:
        person = await table.person()
        forger = table.forger(await person.cast())
        await person.take(forger.seal(forger.offer()))
        item = {**forger.offer_body()["itemOffered"], "color": "brown"}
        await person.take(forger.seal(forger.offer("17000.00", itemOffered=item)))
        moves = (await Service(person.agent).offer_view("o1"))["messages"]
        assert [one["name"] for one in moves[-1]["changes"]] == ["total", "color"]
        assert moves[-1]["changes"][1] == {"name": "color", "kind": "text", "before": None, "after": "brown"}

    async def test_an_offer_that_had_no_effect_is_no_base_for_what_differs(self, table: Table, open_page: Open) -> None:
        person = await table.person()
        forger = table.forger(await person.cast())
        await person.take(forger.seal(forger.offer("17000.00")))
        body = forger.offer_body("1.00") | {"demand": bytes(32)}
        await person.take(forger.seal(forger.say("offer", body, expires=body["validThrough"])))
        await person.take(forger.seal(forger.offer("16900.00")))
        moves = [one for one in (await Service(person.agent).offer_view("o1"))["messages"] if one["type"] == "offer"]
        assert [bool(one["problem"]) for one in moves] == [False, True, False]
        assert moves[-1]["step"] == "-100.00"
        assert moves[1]["changes"] == []
        assert "It had no effect:" in await get(await open_page(person), "/offers/o1")

    async def test_ticks_say_how_far_a_move_has_come(self, table: Table, open_page: Open) -> None:
        person, vendor = await table.person(), await table.vendor()
        _, (session,) = await table.offered(person, vendor)
        await person.counter(session, "16000.00")
        browser = await open_page(person)
        assert "on 0 of 1 relays" in await get(browser, "/offers/o1")
        await table.carry(person, vendor)
        text = await get(browser, "/offers/o1")
        assert "on 1 of 1 relays" in text
        assert "the vendor has it" not in text
        await table.carry(vendor, person)
        assert "the vendor has it" in await get(browser, "/offers/o1")

    async def test_a_session_whose_key_is_erased_is_still_shown(self, table: Table, open_page: Open) -> None:
        person, vendor = await table.person(), await table.vendor()
        await table.offered(person, vendor)
        async with person.store.transaction() as tx:
            await tx.run("UPDATE demand SET state = 'expired', seed = NULL")
        assert (await Service(person.agent).offer_list())["total"] == 1
        browser = await open_page(person)
        assert "vendor" in await get(browser, "/offers/o1")

    async def test_its_live_part_is_a_fragment(self, table: Table, open_page: Open) -> None:
        person, vendor = await table.person(), await table.vendor()
        await table.offered(person, vendor)
        browser = await open_page(person)
        text = await get(browser, "/offers/o1?part=now&had=another.state")
        assert "<html" not in text
        assert "Something has moved" in text


class TestActs:
    async def test_a_counter_is_signed_once_however_often_it_is_sent(self, table: Table, open_page: Open) -> None:
        person, vendor = await table.person(), await table.vendor()
        await table.offered(person, vendor)
        browser = await open_page(person)
        given = fields(await get(browser, "/offers/o1"), "/offers/o1/counter") | {"total": "16000"}
        answers = [await post(browser, "/offers/o1/counter", given) for _ in range(3)]
        assert {(status, place) for status, place, _ in answers} == {(303, "/offers/o1?done=counter")}
        (counter,) = await types(person, "counter")
        assert counter.body["priceSpecification"]["price"] == "16000.00"
        assert "Your counter is signed." in await get(browser, "/offers/o1?done=counter")

    async def test_the_same_form_with_something_else_in_it_is_not_sent_again(
        self, table: Table, open_page: Open
    ) -> None:
        person, vendor = await table.person(), await table.vendor()
        await table.offered(person, vendor)
        browser = await open_page(person)
        given = fields(await get(browser, "/offers/o1"), "/offers/o1/counter") | {"total": "16000"}
        await post(browser, "/offers/o1/counter", given)
        status, _, text = await post(browser, "/offers/o1/counter", given | {"total": "15000"})
        assert (status, len(await types(person, "counter"))) == (409, 1)
        assert "was sent before" in text

    async def test_conditions_are_countered_from_what_is_negotiable(self, table: Table, open_page: Open) -> None:
        person = await table.person()
        forger = table.forger(await person.cast())
        await person.take(forger.seal(forger.offer(negotiable=CHOICES)))
        browser = await open_page(person)
        text = await get(browser, "/offers/o1")
        given = fields(text, "/offers/o1/counter")
        assert 'value="winter tyres"' in text
        conditions = {"delivery": "7", "warranty": "24", "extra": "winter tyres"}
        assert (await post(browser, "/offers/o1/counter", given | conditions))[0] == 303
        (counter,) = await types(person, "counter")
        assert counter.body["deliveryLeadTime"] == {"value": "7", "unitCode": "DAY"}
        assert counter.body["addOn"] == ["winter tyres"]

    @pytest.mark.parametrize(
        ("wrong", "words"),
        [
            ({"total": "cheap"}, "is not an amount in EUR"),
            ({"total": "99999"}, "accept the offer instead"),
            ({"delivery": "soon"}, "whole number of days"),
            ({}, "accept the offer instead"),
        ],
    )
    async def test_what_cannot_be_countered_is_said_and_what_was_typed_stays(
        self, table: Table, open_page: Open, wrong: dict[str, str], words: str
    ) -> None:
        person, vendor = await table.person(), await table.vendor()
        await table.offered(person, vendor)
        browser = await open_page(person)
        given = fields(await get(browser, "/offers/o1"), "/offers/o1/counter") | {"text": "Please & <thank> you"}
        status, _, text = await post(browser, "/offers/o1/counter", given | wrong)
        assert status in (409, 422)
        assert words in text
        assert "Please &amp; &lt;thank&gt; you</textarea>" in text
        assert await types(person, "counter") == []

    async def test_asking_answering_and_declining_say_who_acts_next(self, table: Table, open_page: Open) -> None:
        person = await table.person()
        forger = table.forger(await person.cast())
        await person.take(forger.seal(forger.offer()))
        asked = forger.say("question", {"text": "How many seats?", "path": "itemOffered.seats"})
        await person.take(forger.seal(asked))
        browser = await open_page(person)
        text = await get(browser, "/offers/o1")
        assert "How many seats?" in text
        given = fields(text, "/offers/o1/answer") | {"value": "5", "text": "Five."}
        assert (await post(browser, "/offers/o1/answer", given))[0] == 303
        (answer,) = await types(person, "answer")
        assert answer.body["facts"] == [{"path": "itemOffered.seats", "value": "5"}]
        text = await get(browser, "/offers/o1")
        assert 'action="/offers/o1/answer"' not in text
        assert (await post(browser, "/offers/o1/ask", fields(text, "/offers/o1/ask") | {"text": "Why red?"}))[0] == 303
        await post(browser, "/offers/o1/decline", fields(text, "/offers/o1/decline"))
        text = await get(browser, "/offers/o1")
        assert "Declined by you." in text
        assert "Nobody has to act" in text
        assert 'action="/offers/o1/counter"' not in text

    async def test_what_the_state_no_longer_allows_is_refused_in_words(self, table: Table, open_page: Open) -> None:
        person, vendor = await table.person(), await table.vendor()
        _, (session,) = await table.offered(person, vendor)
        browser = await open_page(person)
        given = fields(await get(browser, "/offers/o1"), "/offers/o1/counter") | {"total": "16000"}
        await person.act(session, _decline)
        status, _, text = await post(browser, "/offers/o1/counter", given)
        assert status == 409
        assert "This cannot be done now: counter by the person while declined." in text
        assert "Declined by you." in text


class TestAccept:
    async def test_an_unwitnessed_vendor_is_accepted_only_on_the_persons_word(
        self, table: Table, open_page: Open
    ) -> None:
        person, vendor = await table.person(), await table.vendor()
        await table.offered(person, vendor)
        browser = await open_page(person)
        text = await get(browser, "/offers/o1/accept")
        assert "Nobody but the vendor itself says who they are." in text
        given = fields(text, "/offers/o1/accept")
        status, _, text = await post(browser, "/offers/o1/accept", given)
        assert (status, await types(person, "accept")) == (409, [])
        assert "it takes your word" in text
        assert "--yes" not in text
        for _ in range(2):
            status, place, _ = await post(browser, "/offers/o1/accept", given | {"say_so": "yes"})
            assert (status, place) == (303, "/offers/o1?done=accept")
        assert len(await types(person, "accept")) == 1
        await table.carry(person, vendor)
        await table.carry(vendor, person)
        text = await get(browser, "/offers/o1")
        assert "Agreed, and signed by both of you." in text
        given = fields(text, "/offers/o1/received")
        assert (await post(browser, "/offers/o1/received", given))[0] == 303
        assert "Agreed, and received." in await get(browser, "/offers/o1")

    async def test_another_offer_than_the_one_shown_is_never_accepted(self, table: Table, open_page: Open) -> None:
        person = await table.person()
        forger = table.forger(await person.cast())
        await person.take(forger.seal(forger.offer("17000.00")))
        browser = await open_page(person)
        given = fields(await get(browser, "/offers/o1/accept"), "/offers/o1/accept") | {"say_so": "yes"}
        await person.take(forger.seal(forger.offer("19999.00")))
        status, _, text = await post(browser, "/offers/o1/accept", given)
        assert (status, await types(person, "accept")) == (409, [])
        assert "another offer since you looked" in text
        assert "€19,999.00" in text

    async def test_where_nothing_stands_nothing_can_be_accepted(self, table: Table, open_page: Open) -> None:
        person = await table.person()
        forger = table.forger(await person.cast())
        await person.take(forger.seal(forger.offer()))
        table.clock.now += 4 * 3_600
        browser = await open_page(person)
        text = await get(browser, "/offers/o1/accept", 409)
        assert "nothing here that can be accepted" in text
        assert "time is over" in text


async def _decline(tx: Any, dialogue: Any, now: int) -> None:
    from intentcast_agent.person import desk  # noqa: PLC0415

    await desk.decline(tx, dialogue, "", now)


class TestAfterwards:
    async def test_a_dispute_is_signed_once_and_says_by_whom(self, table: Table, open_page: Open) -> None:
        person, vendor = await table.person(), await table.vendor()
        _, (session,) = await table.offered(person, vendor)
        await person.accept(session)
        await table.carry(person, vendor)
        await table.carry(vendor, person)
        browser = await open_page(person)
        given = fields(await get(browser, "/offers/o1"), "/offers/o1/dispute")
        status, _, text = await post(browser, "/offers/o1/dispute", given | {"text": "\u202e"})
        assert (status, await types(person, "dispute")) == (422, [])
        for _ in range(2):
            assert (await post(browser, "/offers/o1/dispute", given | {"text": "It leaks."}))[0] == 303
        (dispute,) = await types(person, "dispute")
        assert dispute.body["text"] == "It leaks."
        text = await get(browser, "/offers/o1")
        assert "In dispute, as you said." in text
        assert 'href="/agreements/a1"' in text

    async def test_a_session_that_this_home_sells_in_is_not_shown_as_a_persons(
        self, table: Table, open_page: Open
    ) -> None:
        person, vendor = await table.person(), await table.vendor()
        await table.offered(person, vendor)
        browser = await open_page(vendor)
        assert "/vendor" in await get(browser, "/offers/o1", 404)


class TestHostile:
    async def test_a_flood_of_moves_is_cut(self, table: Table, open_page: Open) -> None:
        person = await table.person()
        forger = table.forger(await person.cast())
        await person.take(forger.seal(forger.offer()))
        for at in range(150):
            await person.take(forger.seal(forger.say("question", {"text": f"Question {at}?"})))
        browser = await open_page(person)
        text = await get(browser, "/offers/o1")
        assert "51 earlier moves are left out here." in text
        assert "Question 149?" in text
        assert "Question 40?" not in text

    async def test_a_vendors_words_stay_words(self, table: Table, open_page: Open) -> None:
        person = await table.person()
        forger = table.forger(await person.cast(), "Evil")
        said = HOSTILE.replace("\u202e", "")
        body = {
            "itemOffered": {
                **forger.offer_body()["itemOffered"],
                "name": said[:150],
                "color": HOSTILE,
                "x": "y" * 30_000,
            },
            "deviations": [said],
            "offeredBy": {"name": said[:90], "domain": "evil.example"},
            "negotiable": {"addOn": [said[:90]]},
        }
        await person.take(forger.seal(forger.offer(**body)))
        await person.take(forger.seal(forger.say("question", {"text": said, "path": "itemOffered.seats"})))
        browser = await open_page(person)
        for path in ("/offers/o1", "/offers/o1/accept", "/relations"):
            text = await get(browser, path)
            assert "<script>alert" not in text
            assert "<img" not in text
            assert "<b>" not in text
            assert "\u202e" not in text
            assert "y" * 500 not in text
            assert len(text) < 80_000
        text = await get(browser, "/offers/o1")
        assert re.search(r"<bdi>[^<]*&lt;script&gt;", text)

    @pytest.mark.parametrize("name", ["o99", "d1", "../../etc/passwd", "%3Cscript%3E", "o" * 1_000, "\u202eo1"])
    async def test_an_unknown_offer_is_a_page_that_says_where_to_look(
        self, table: Table, open_page: Open, name: str
    ) -> None:
        browser = await open_page(await table.person())
        text = await get(browser, f"/offers/{name}", 404)
        assert "<script>" not in text
        assert 'href="/"' in text

    async def test_a_form_of_100_000_characters_is_refused(self, table: Table, open_page: Open) -> None:
        person, vendor = await table.person(), await table.vendor()
        await table.offered(person, vendor)
        browser = await open_page(person)
        given = fields(await get(browser, "/offers/o1"), "/offers/o1/ask")
        status, _, text = await post(browser, "/offers/o1/ask", given | {"text": "a" * 100_000})
        assert (status, await types(person, "question")) == (413, [])
        assert "aaaa" not in text
