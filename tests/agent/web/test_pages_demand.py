"""A new demand on the page: words become fields, what is shown is what is signed, and a wrong field keeps the rest."""

import re
from typing import Any

import pytest
from intentcast_agent.person.draft import TEMPLATE, read_template
from intentcast_agent.person.drafting.reading import read_words
from intentcast_agent.person.drafting.template import template_of
from intentcast_agent.person.exposure import hints
from intentcast_agent.web.form import Form
from intentcast_agent.web.pages.draft import LEFT_OUT, Sheet, from_form, from_template, to_template, with_words
from intentcast_agent.web.pages.mandate import Limits, from_text, to_text
from intentcast_protocol.encoding import decode
from intentcast_protocol.testing import NOW

Desk = Any  # the fixtures are conftest.py's
WORDS = (
    "used VW Golf estate like a 2019 one, under 18.5k, max 90,000 km, near Utrecht, within 2 weeks, no smell of dogs"
)


def sent(sheet: Sheet) -> Form:
    """Return a sheet as its form sends it."""
    plain = (
        "name", "description", "category", "type", "price", "currency", "per", "countries", "cells", "expires",
        "rounds", "reserve", "words",
    )  # fmt: skip
    pairs = [(name, str(getattr(sheet, name))) for name in plain]
    pairs += [(f"place.{name}", text) for name, text in sheet.place.items()]
    pairs += [("admit", rung) for rung in sheet.admit]
    pairs += [(f"like.{name}", text) for name, text in sheet.like.items()]
    for at, row in enumerate(sheet.rows, 1):
        pairs += [(f"row{at}.{name}", getattr(row, name)) for name in ("path", "op", "value", "unit", "currency",
                                                                     "strength", "unknown")]  # fmt: skip
    return Form(pairs)


class TestSheet:
    @pytest.mark.parametrize("text", [TEMPLATE, template_of(read_words(WORDS, NOW))], ids=["template", "words"])
    def test_fields_and_back_is_the_same_draft(self, text: str) -> None:
        assert read_template(to_template(from_form(sent(from_template(text))))) == read_template(text)

    def test_field_knows_the_words_it_came_from_and_what_has_no_field_is_kept(self) -> None:
        reading = read_words(WORDS, NOW)
        sheet = with_words(from_template(template_of(reading)), reading)
        assert "18.5k" in sheet.said["price"]
        assert any("90,000 km" in row.said for row in sheet.rows)
        assert "dogs" in sheet.rest

    def test_row_that_is_left_out_is_gone(self) -> None:
        form = sent(from_template(TEMPLATE))
        form.pairs = [(name, LEFT_OUT if name == "row1.strength" else text) for name, text in form.pairs]
        paths = [one["path"] for one in read_template(to_template(from_form(form))).body["constraints"]]
        assert paths == ["itemOffered.vehicleModelDate", "itemOffered.bodyType"]

    @pytest.mark.parametrize("text", ['a "quoted" \\ name', "two\nlines", "dél\x7fete", "[[must]]", "'''"])
    def test_no_text_of_a_field_can_become_a_key_of_the_draft(self, text: str) -> None:
        sheet = from_template(to_template(Sheet(name=text, category=text, description=text)))
        assert (sheet.name, sheet.category, sheet.description) == (text, text, text)


class TestMandate:
    def test_fields_are_the_text_and_the_text_is_the_fields(self) -> None:
        limits = Limits(most="16500", target="14000", rounds="4", within="30m", accept="auto", witnesses="1")
        assert from_text(to_text(limits)) == limits


class TestExposure:
    def test_words_that_name_a_person_are_sure_hints(self) -> None:
        text = "call 0612 345678 or mail me@mail.example, Dorpsstraat 12"
        assert {one.kind for one in hints({"name": text}) if one.sure} == {"email", "telephone", "address"}

    def test_ordinary_wish_gives_none(self) -> None:
        assert hints({"name": "A Golf estate, 2017 or newer, under 18500", "constraints": [{}] * 3}) == ()

    def test_narrow_place_and_many_wishes_are_hints(self) -> None:
        body = {"name": "A car", "areaServed": {"cells": ["u178", "u179"]}, "constraints": [{}] * 6}
        assert [one.kind for one in hints(body)] == ["place", "exact"]


async def post(desk: Desk, given: Any) -> tuple[int, str, str]:
    async with desk.browser.post("/demands/new", data=given, allow_redirects=False) as answer:
        return answer.status, answer.headers.get("Location", ""), await answer.text()


def hidden(text: str, name: str) -> str:
    found = re.search(rf'name="{name}" value="([^"]*)"', text)
    assert found, name
    return found[1]


class TestSteps:
    async def test_what_is_cast_are_the_bytes_that_were_shown(self, desk: Desk) -> None:
        given = sent(from_template(TEMPLATE)).pairs
        status, _, text = await post(desk, [*given, ("act", "preview")])
        assert status == 200
        shown = re.search(r'tabindex="0">([0-9a-f]{200,})</pre>', text)
        assert shown
        given += [(name, hidden(text, name)) for name in ("draft", "seen", "key")]
        status, address, _ = await post(desk, [*given, ("act", "cast")])
        assert (status, address) == (303, "/demands/d1?said=cast")
        body = (await desk.service.demand_view("d1"))["body"]
        assert decode(bytes.fromhex(shown[1]))["body"]["name"] == body["name"]
        # The form sent once more, as the back button does, casts nothing more.
        assert (await post(desk, [*given, ("act", "cast")]))[1] == address
        assert (await desk.service.demand_list())["total"] == 1

    async def test_changed_field_is_shown_before_it_is_signed(self, desk: Desk) -> None:
        given = sent(from_template(TEMPLATE)).pairs
        _, _, text = await post(desk, [*given, ("act", "preview")])
        given += [(name, hidden(text, name)) for name in ("draft", "seen", "key")]
        changed = [(name, "16000" if name == "price" else value) for name, value in given]
        status, _, text = await post(desk, [*changed, ("act", "cast")])
        assert status == 200
        assert "You changed something" in text
        assert (await desk.service.demand_list())["total"] == 0

    async def test_contact_typed_for_the_winner_is_kept_and_shown(self, desk: Desk) -> None:
        given = [*sent(from_template(TEMPLATE)).pairs, ("contact.name", "A. Person"), ("contact.home", "x")]
        await post(desk, [*given, ("act", "preview")])
        assert (await desk.service.contact_view())["contact"] == {"name": "A. Person"}

    @pytest.mark.parametrize(
        ("name", "value", "said"),
        [("countries", "Netherlands", "countr"), ("price", "cheap", "max_price"), ("row1.value", "many", "decimal")],
    )
    async def test_wrong_field_is_named_and_the_others_stay(self, desk: Desk, name: str, value: str, said: str) -> None:
        given = [(key, value if key == name else text) for key, text in sent(from_template(TEMPLATE)).pairs]
        status, _, text = await post(desk, [*given, ("act", "preview")])
        assert status == 422
        assert said in text
        assert f'value="{value}"' in text
        assert "A Golf estate" in text

    async def test_words_that_name_no_kind_come_back_with_a_way_on(self, desk: Desk) -> None:
        status, _, text = await post(desk, {"words": "zzz", "act": "read"})
        assert status == 422
        assert ">zzz</textarea>" in text
        status, _, text = await post(desk, {"words": "zzz", "act": "fields"})
        assert status == 200
        assert 'name="category"' in text

    @pytest.mark.parametrize(
        "given",
        [[("words", "x" * 9000), ("act", "read")], [("a", "1")] * 201, [("row1.path", "x"), ("act", "preview")],
         [("row999999999999.path", "x"), ("act", "cast")], [("act", "cast"), ("draft", "d9"), ("seen", "")]],
        ids=["long", "many", "half", "far", "bare"],
    )  # fmt: skip
    async def test_form_of_no_page_is_refused_and_does_nothing(self, desk: Desk, given: Any) -> None:
        status, _, text = await post(desk, given)
        assert status in (413, 422)
        assert "Traceback" not in text
        assert (await desk.service.demand_list())["total"] == 0
