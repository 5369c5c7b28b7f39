"""Settings and the vendor's console on the page: what is kept, what is refused and why. DESIGN §7"""

import re
from collections.abc import Callable
from typing import Any

import pytest
from intentcast_agent.service import Service
from intentcast_agent.settings import read_settings
from intentcast_protocol.testing import CARS

Table = Any  # the fixtures are conftest.py's
Open = Callable[[Any], Any]
HOSTILE = "</textarea><script>alert(1)</script>"


async def get(browser: Any, path: str, status: int = 200) -> str:
    async with browser.get(path) as answer:
        text: str = await answer.text()
        assert answer.status == status, text
        return text


async def post(browser: Any, path: str, **given: str) -> tuple[int, str, str]:
    given.setdefault("key", "a-key-of-this-test" + path)
    async with browser.post(path, data=given, allow_redirects=False) as answer:
        return answer.status, answer.headers.get("Location", ""), await answer.text()


class TestContact:
    async def test_contact_is_kept_and_an_empty_field_forgotten(self, table: Table, open_page: Open) -> None:
        person = await table.person()
        browser = await open_page(person)
        status, place, _ = await post(browser, "/settings/contact", name="A. Person", email="me@mail.example")
        assert (status, place) == (303, "/settings?done=contact#contact")
        assert 'value="me@mail.example"' in await get(browser, "/settings")
        await post(browser, "/settings/contact", key="another-key", name="A. Person", email="")
        assert (await Service(person.agent).contact_view())["contact"] == {"name": "A. Person"}

    async def test_contact_that_could_not_be_told_is_refused_in_words(self, table: Table, open_page: Open) -> None:
        person = await table.person()
        browser = await open_page(person)
        status, _, text = await post(browser, "/settings/contact", name="x" * 301)
        assert status == 422
        assert "1 to 300 characters" in text
        assert (await Service(person.agent).contact_view())["contact"] == {}


class TestRelays:
    async def test_a_relay_that_does_not_answer_is_added_only_on_the_persons_word(
        self, table: Table, open_page: Open
    ) -> None:
        person = await table.person()
        browser = await open_page(person)
        assert "fewer than two" in await get(browser, "/settings")
        status, _, text = await post(browser, "/settings/relay-add", relay="ws://127.0.0.1:2")
        assert status == 409
        assert "cannot be reached" in text
        assert 'name="anyway"' in text
        assert read_settings(person.home).relays == ("ws://127.0.0.1:1",)
        status, _, _ = await post(
            browser, "/settings/relay-add", key="another-key", relay="ws://127.0.0.1:2", anyway="yes"
        )
        assert status == 303
        assert (
            read_settings(person.home).relays
            == person.agent.settings.relays
            == ("ws://127.0.0.1:1", "ws://127.0.0.1:2")
        )
        assert (await post(browser, "/settings/relay-remove", relay="ws://127.0.0.1:1"))[0] == 303
        assert read_settings(person.home).relays == ("ws://127.0.0.1:2",)

    async def test_the_last_relay_stays(self, table: Table, open_page: Open) -> None:
        person = await table.person()
        browser = await open_page(person)
        status, _, text = await post(browser, "/settings/relay-remove", relay="ws://127.0.0.1:1")
        assert status == 409
        assert "add another one first" in text
        assert read_settings(person.home).relays == ("ws://127.0.0.1:1",)

    @pytest.mark.parametrize(
        "relay", ["http://relay.example", 'ws://x"]\nrelays=["ws://evil', HOSTILE, "", "ws://" + "a" * 400]
    )
    async def test_what_is_no_address_changes_nothing(self, table: Table, open_page: Open, relay: str) -> None:
        person = await table.person()
        browser = await open_page(person)
        before = person.home.config.read_text()
        status, _, text = await post(browser, "/settings/relay-add", relay=relay, anyway="yes")
        assert status == 422
        assert "<script>alert" not in text
        assert person.home.config.read_text() == before
        await get(
            browser, "/settings/relay?url=" + relay.replace("\n", "").replace('"', "%22").replace("<", "%3C"), 422
        )

    async def test_checking_a_relay_says_what_was_found(self, table: Table, open_page: Open) -> None:
        browser = await open_page(await table.person())
        assert "cannot be reached now" in await get(browser, "/settings/relay?url=ws://127.0.0.1:2")


class TestCriteria:
    async def test_criteria_are_kept_by_category_and_forgotten(self, table: Table, open_page: Open) -> None:
        person = await table.person()
        browser = await open_page(person)
        text = (await Service(person.agent).criteria_view(CARS))["text"].replace("weight = 6", "weight = 7")
        status, place, _ = await post(browser, "/settings/criteria", text=text, category=CARS)
        assert (status, place) == (303, f"/settings?done=criteria&category={CARS}#criteria")
        assert "weight = 7" in await get(browser, f"/settings?category={CARS}")
        await post(browser, "/settings/criteria-reset", category=CARS)
        assert (await Service(person.agent).criteria_view(CARS))["own"] is False

    async def test_a_mistake_is_named_by_its_key_and_what_was_typed_stays(self, table: Table, open_page: Open) -> None:
        person = await table.person()
        browser = await open_page(person)
        status, _, text = await post(browser, "/settings/criteria", text=f"wieght = 1\n# {HOSTILE}", category="")
        assert status == 422
        assert "wieght" in text
        assert "&lt;/textarea&gt;" in text
        assert "<script>alert" not in text
        assert (await Service(person.agent).criteria_view())["kept"] == []

    async def test_a_category_that_is_none_is_refused(self, table: Table, open_page: Open) -> None:
        browser = await open_page(await table.person())
        status, _, text = await post(browser, "/settings/criteria", text="", category="Cars And <b>")
        assert status == 422
        assert "<b>" not in text
        await get(browser, "/settings?category=../x")


class TestRest:
    async def test_a_backup_needs_its_passphrase_twice(self, table: Table, open_page: Open) -> None:
        person = await table.person()
        browser = await open_page(person)
        assert "There is none yet" in await get(browser, "/settings")
        status, _, text = await post(browser, "/settings/backup", passphrase="one thing", again="another")
        assert status == 422
        assert "passphrases differ" in text
        assert "one thing" not in text
        assert not list(person.home.exports.glob("*.backup"))
        status, place, _ = await post(
            browser, "/settings/backup", passphrase="three words here", again="three words here"
        )
        assert (status, place) == (303, "/settings?done=backup#backup")
        (kept,) = person.home.exports.glob("*.backup")
        text = await get(browser, place)
        assert "The backup is written." in text
        assert kept.name in text
        assert "three words" not in text

    async def test_it_shows_no_secret_and_no_public_identity(self, table: Table, open_page: Open) -> None:
        person = await table.person()
        browser = await open_page(person)
        demand = await person.cast()
        text = await get(browser, "/settings")
        assert "no public identity" in text
        assert "Keys of demands held</dt><dd>1<" in text
        assert demand.author.hex() not in text
        assert "did:key" not in text

    async def test_an_act_that_is_none_is_no_page(self, table: Table, open_page: Open) -> None:
        browser = await open_page(await table.person())
        assert (await post(browser, "/settings/self-destruct"))[0] in (404, 405)

    async def test_no_form_or_button_leads_nowhere(self, table: Table, open_page: Open) -> None:
        person, vendor = await table.person(), await table.vendor()
        await table.offered(person, vendor)
        browser = await open_page(person)
        for page in ("/settings", "/offers/o1", "/relations", "/agreements"):
            text = await get(browser, page)
            for action in set(re.findall(r'<form[^>]*method="post" action="([^"]+)"', text)):
                async with browser.get(action) as answer:
                    # Either the address is there for POST alone, or it is a page as well.
                    assert answer.status in (200, 405), action


class TestVendor:
    async def test_a_persons_agent_is_told_that_it_sells_nothing(self, table: Table, open_page: Open) -> None:
        browser = await open_page(await table.person())
        assert "sells nothing" in await get(browser, "/vendor")

    async def test_what_became_of_each_demand_is_shown_with_why(self, table: Table, open_page: Open) -> None:
        person, vendor = await table.person(), await table.vendor()
        await table.offered(person, vendor)
        browser = await open_page(vendor)
        text = await get(browser, "/vendor")
        for word in ("golf", "offered", "In stock</dt><dd>1"):
            assert word in text

    async def test_a_question_that_waits_is_answered_once(self, table: Table, open_page: Open) -> None:
        person, vendor = await table.person(), await table.vendor()
        _, (session,) = await table.offered(person, vendor)
        await person.act(session, _ask)
        await table.carry(person, vendor)
        browser = await open_page(vendor)
        text = await get(browser, "/vendor")
        assert "Any &lt;b&gt;rust&lt;/b&gt;?" in text
        path = re.search(r'action="(/vendor/o1/answer)"', text)
        assert path
        for _ in range(2):
            assert (await post(browser, path[1], text="None."))[0] == 303
        assert len([one for one in await vendor.messages() if one.type == "answer"]) == 1
        assert "None. What stock can answer" in await get(browser, "/vendor")
        status, _, text = await post(browser, "/vendor/o1/answer", key="another-key", text="Again.")
        assert status == 409
        assert "asked nothing" in text

    async def test_a_rehearsal_changes_nothing(self, table: Table, open_page: Open) -> None:
        vendor = await table.vendor()
        browser = await open_page(vendor)
        text = await get(browser, "/vendor/rehearsal?opens=80%25&pays=100%25")
        assert "A rehearsal, not a forecast" in text
        assert "2018 VW Golf" in text
        assert await vendor.count("session") == 0
        assert "opens" in await get(browser, "/vendor/rehearsal?opens=cheap", 422)
        assert "no such item" in await get(browser, "/vendor/rehearsal?sku=none", 404)


async def _ask(tx: Any, dialogue: Any, now: int) -> None:
    from intentcast_agent import talk  # noqa: PLC0415

    await talk.ask(tx, dialogue, "Any <b>rust</b>?", now)
