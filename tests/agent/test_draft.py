"""Drafts that cannot be a demand are refused with the key named, never with a fault."""

import tomllib

import pytest
from intentcast_agent.person.draft import TEMPLATE, DraftError, read_template
from intentcast_agent.person.drafting.template import from_words

NOW = 1_795_348_800
LADDER, NEAR = 'admit = ["domain", "invite", "stamp:18"]', "near = { lat = 52.09, lon = 5.12, radius_km = 50 }"


@pytest.mark.parametrize("admit", ["5", '"stamp:18"', '["stamp:x"]', '["stamp:99"]', "[]", "[18]",
                                   '["domian"]', '["invite", "stamp:99"]'])  # fmt: skip
def test_admit_that_no_vendor_could_meet_is_refused_by_name(admit: str) -> None:
    with pytest.raises(DraftError, match="admit"):
        read_template(TEMPLATE.replace(LADDER, f"admit = {admit}"))


@pytest.mark.parametrize(
    "place",
    ["lat = 500, lon = 5, radius_km = 5", "lat = nan, lon = 5, radius_km = 5", "lat = 52, lon = 5, radius_km = 0"],
)
def test_place_that_is_nowhere_is_refused_by_name(place: str) -> None:
    with pytest.raises(DraftError, match="near"):
        read_template(TEMPLATE.replace(NEAR, f"near = {{ {place} }}"))


@pytest.mark.parametrize("words", ["a car\nunder 900 EUR", 'a "red" car', "a car \\ or two", "ein Auto für mich, car"])
def test_any_words_make_a_draft_that_can_be_read(words: str) -> None:
    text = from_words(words, NOW)
    assert tomllib.loads(text)["name"] == " ".join(words.split())
    assert read_template(text).body["admit"] == ["domain", "invite", "stamp:18"]
