"""Drafting: any text is read without harm, what is private stays out, and every draft can be read back."""

import json
import random
import tomllib
from pathlib import Path

import pytest
from click.testing import CliRunner
from intentcast_agent.cli import cli
from intentcast_agent.person.draft import DraftError, read_template
from intentcast_agent.person.drafting.cities import city
from intentcast_agent.person.drafting.gazetteer import makes
from intentcast_agent.person.drafting.reading import read_words
from intentcast_agent.person.drafting.suggestions import MOST_SLOTS, check_suggestions
from intentcast_agent.person.drafting.teaching import TEACHING
from intentcast_agent.person.drafting.template import from_words, template_of, understood
from intentcast_protocol.constraint import Fit
from intentcast_protocol.testing import CARS, make_demand, offer_body, price_body

NOW = 1_795_348_800  # Sunday, 22 November 2026, 12:00 UTC
GOLF = "used VW Golf estate like a 2019 one, tow bar, under 18.5k, max 90,000 km, near Utrecht, within 2 weeks"
SENTENCES = [
    text
    for name in ("sentences.toml", "sentences_unseen.toml")
    for group in tomllib.loads((Path(__file__).parent / name).read_text(encoding="utf-8")).values()
    for text in group
]


def holds(text: str) -> None:
    """Check what is true of any text."""
    reading = read_words(text, NOW)
    for slot in reading.slots:
        assert text[slot.start : slot.end] == slot.words
        assert not slot.suggested
    assert len(understood(reading)) == len(reading.slots)
    if reading.slot("category"):
        read_template(template_of(reading))
    else:
        with pytest.raises(DraftError):
            template_of(reading)


class TestAnyText:
    @pytest.mark.parametrize("text", SENTENCES)
    def test_every_draft_can_be_read_back(self, text: str) -> None:
        holds(text)

    def test_mixed_words_and_broken_signs_are_read_without_harm(self) -> None:
        rng, words = random.Random(5), [word for text in SENTENCES for word in text.split()]
        signs = '\u202e\u0301٣\x00€.,-9k\n"\\²½\ud800😀'
        for _ in range(300):
            text = " ".join(rng.choices(words, k=rng.randrange(1, 25)))
            holds(text)
            broken = list(text)
            for _ in range(rng.randrange(1, 8)):
                broken[rng.randrange(len(broken))] = rng.choice(signs)
            holds("".join(broken))

    @pytest.mark.parametrize(
        "piece",
        ["1", "1 ", "111 ", "a", "-", ", ", "bis ", "€", "a\u0301", "a@", "a.b@", "0 12", "1.", "+49 ", "vw golf ",
         "car 9 km ", "max 5 EUR, ", "in Köln ", "\U0001f697"],
    )  # fmt: skip
    def test_a_hundred_thousand_characters_are_bounded(self, piece: str) -> None:
        text = (piece * 100_000)[:100_000]
        holds(text)
        assert len(read_words(text, NOW).slots) <= 64

    def test_what_is_not_understood_stays_as_text(self) -> None:
        assert read_words(GOLF, NOW).rest == "tow bar"

    def test_words_without_a_kind_are_refused_with_examples(self) -> None:
        with pytest.raises(DraftError, match="such as a car"):
            from_words("something nice", NOW)


class TestPrivacy:
    @pytest.mark.parametrize(
        ("words", "secret"),
        [
            ("plumber, Hauptstraße 12, 50667 Köln, max 200 EUR", "Hauptstraße 12"),
            ("Klempner in 50667 Köln, max 200 EUR", "50667"),
            ("plumber near Leeds LS1 4DY under 200 GBP", "LS1 4DY"),
            ("plumber at 14 Mill Lane, Leeds", "14 Mill Lane"),
            ("car under 900 EUR, mail me@mail.example", "me@mail.example"),
            ("Auto bis 900 EUR, Tel. 0171 2345678", "0171 2345678"),
            ("car under 900 EUR, call +49 171 2345678", "+49 171 2345678"),
            ("Maler in Hamburg-Altona", "Altona"),
        ],
    )
    def test_no_address_telephone_or_mail_enters_the_draft(self, words: str, secret: str) -> None:
        reading = read_words(words, NOW)
        assert secret not in template_of(reading)
        assert secret in reading.withheld or any(secret in slot.words for slot in reading.slots)

    def test_what_lies_beyond_what_is_read_is_not_published(self) -> None:
        words = "car " + "lovely " * 600 + "Hauptstraße 12"
        assert read_words(words, NOW).rest.endswith("Hauptstraße 12")
        assert "Hauptstraße" not in template_of(read_words(words, NOW))

    def test_a_place_is_published_as_cells_and_not_by_name(self) -> None:
        body = read_template(from_words(GOLF, NOW)).body
        assert body["areaServed"].keys() == {"cells"}
        assert "Utrecht" not in str(body)

    def test_miles_become_kilometres_of_radius(self) -> None:
        near = tomllib.loads(from_words("car within 30 miles of Leeds", NOW))["near"]
        assert near == {"lat": 53.8, "lon": -1.55, "radius_km": 48}


class TestDraft:
    def test_the_issues_own_sentence_becomes_a_demand(self) -> None:
        draft = read_template(from_words(GOLF, NOW))
        assert draft.life == 14 * 86_400
        assert draft.body["priceSpecification"] == {"maxPrice": "18500.00", "priceCurrency": "EUR"}
        like = draft.body["itemOffered"]["isSimilarTo"]
        assert like == {"@type": "Car", "manufacturer": "Volkswagen", "model": "Golf", "vehicleModelDate": "2019"}
        found = {one["path"]: (one["op"], one["value"]) for one in draft.body["constraints"]}
        assert found["itemOffered.mileageFromOdometer"] == ("le", "90000")
        assert "Kombi" in found["itemOffered.bodyType"][1]

    @pytest.mark.parametrize(
        "words",
        [
            "used diesel VW Golf estate, automatic, at least 110 kW, from 2018, under 60k km, max 18k EUR",
            "gebrauchter Golf Kombi, Diesel, DSG, 150 PS, ab Bj. 2018, max 60 tkm, 15-18k €",
            "Must be a Volkswagen from 2018 to 2020, at most 40,000 miles, under 18000 EUR",
        ],
    )
    def test_a_feeds_car_fits_what_was_drafted(self, words: str) -> None:
        body = read_template(from_words(words, NOW)).body
        demand = make_demand(constraints=body["constraints"], priceSpecification=body["priceSpecification"])[1]
        item = {
            "@type": "Car", "category": CARS, "manufacturer": "Volkswagen", "model": "Golf", "bodyType": "Estate",
            "fuelType": "Diesel", "vehicleTransmission": "Automatic", "itemCondition": "UsedCondition",
            "vehicleModelDate": "2018", "mileageFromOdometer": {"value": "58300", "unitCode": "KMT"},
            "vehicleEngine": {"enginePower": {"value": "150", "unitCode": "HJ"}},
        }  # fmt: skip
        offer = offer_body(demand.id, NOW + 3_600, itemOffered=item, priceSpecification=price_body("17150.00"))
        judged = demand.judge(offer)
        assert judged.fit is Fit.FITS, judged.why

    def test_several_models_are_one_wish(self) -> None:
        body = read_template(from_words("Opel Astra oder Ford Focus", NOW)).body
        wishes = {one["path"]: one["value"] for one in body["constraints"]}
        assert wishes["itemOffered.model"] == ["Astra", "Focus"]
        assert "isSimilarTo" not in body["itemOffered"]

    def test_a_deadline_beyond_the_longest_life_is_cut_and_said(self) -> None:
        text = from_words("Auto bis 9000 Euro, bis Ende März", NOW)
        assert read_template(text).life == 30 * 86_400
        assert "you said bis Ende März" in text

    def test_a_wished_price_ranks_and_does_not_decide(self) -> None:
        body = read_template(from_words("phone plan 20 GB, ideally under 15 EUR a month", NOW)).body
        assert "priceSpecification" not in body
        wish = next(one for one in body["constraints"] if one["path"] == "priceSpecification")
        assert (wish["strength"], wish["unitCode"], wish["priceCurrency"]) == ("want", "MON", "EUR")

    @pytest.mark.parametrize(
        ("words", "currency"),
        [("car near Leeds under 9k", "GBP"), ("Auto bei Bern unter 9k", "CHF"), ("car under 9k, max 50k miles", "GBP"),
         ("Auto unter 9k", "EUR")],
    )  # fmt: skip
    def test_a_price_without_a_currency_takes_that_of_the_place(self, words: str, currency: str) -> None:
        price = read_words(words, NOW).slot("price")
        assert price is not None
        assert price.currency == currency

    def test_a_feeds_makes_are_learnt_beside_ours(self) -> None:
        known = makes().learn([("Wiesmann", "GT MF4"), ("Volkswagen", "Amarok")])
        reading = read_words("VW Amarok or a Wiesmann", NOW, known=known)
        assert {slot.value for slot in reading.slots} >= {"Amarok", "Wiesmann", "Volkswagen"}
        assert read_words("VW Amarok", NOW).slot("model") is None

    def test_cities_are_told_apart_by_state(self) -> None:
        aurora = city("Aurora, US")
        assert aurora is not None
        places = [read_words(f"car near Aurora, {state}", NOW).slot("near") for state in ("IL", "CO")]
        assert len({slot.value for slot in places if slot}) == 2

    @pytest.mark.parametrize("kind", TEACHING)
    def test_teaching_templates_are_demands(self, kind: str) -> None:
        assert read_template(TEACHING[kind]).private


def proposal(**row: object) -> str:
    """Return a proposal of one slot."""
    return json.dumps({"slots": [row]})


class TestSuggestions:
    def test_good_slots_are_marked_as_suggested(self) -> None:
        rows = [
            {"name": "price", "value": "18500", "op": "le", "currency": "EUR", "unit": "MON", "strength": "must"},
            {"name": "mileage", "value": ["10000", "50000"], "op": "between"},
            {"name": "near", "value": "Utrecht, NL"},
            {"name": "body", "value": "Estate"},
        ]
        price, mileage, near, body = check_suggestions(json.dumps({"slots": rows}))
        assert all(slot.suggested and not slot.words for slot in (price, mileage, near, body))
        assert (price.unit, price.currency, price.strength) == ("MON", "EUR", "must")
        assert (mileage.value, mileage.unit, mileage.strength) == (("10000", "50000"), "KMT", "want")

    @pytest.mark.parametrize(
        "text",
        [
            "", "nothing", "[]", "{}", '{"slots": {}}', '{"slots": [1]}', '{"slots": [], "sign": true}', "[" * 9_000,
            json.dumps({"slots": [{"name": "body", "value": "SUV"}] * (MOST_SLOTS + 1)}), " " * 20_000,
            proposal(name="reserve", value="1"), proposal(name=[], value="1"), proposal(name="body", value=1),
            proposal(name="body", value="x" * 61), proposal(name="body", value="a\nb"), proposal(name="body"),
            proposal(name="near", value="Main Street 5, NL"), proposal(name="country", value="Netherlands"),
            proposal(name="category", value="../x"), proposal(name="price", value="18500"),
            proposal(name="price", value=18500, currency="EUR"), proposal(name="price", value="1e9", currency="EUR"),
            proposal(name="price", value="-1", currency="EUR"), proposal(name="price", value="1", currency="€"),
            proposal(name="mileage", value=["9", "1"], op="between"), proposal(name="mileage", value="1", unit="GRM"),
            proposal(name="mileage", value="1", currency="EUR"), proposal(name="year", value="2017", unit="ANN"),
            proposal(name="body", value="SUV", op="exists"), proposal(name="body", value="SUV", strength="maybe"),
            proposal(name="body", value="SUV", path="itemOffered"), proposal(name="expires", value="99999d"),
        ],
    )  # fmt: skip
    def test_anything_else_is_refused_in_words(self, text: str) -> None:
        with pytest.raises(DraftError):
            check_suggestions(text)

    def test_bytes_that_are_no_text_are_refused(self) -> None:
        with pytest.raises(DraftError, match="JSON"):
            check_suggestions(b"\xff\xfe")


class TestCommand:
    def test_draft_says_word_by_word_what_it_understood(self) -> None:
        done = CliRunner().invoke(cli, ["demand", "draft", GOLF])
        assert done.exit_code == 0
        assert "under 18.5k" in done.stderr
        assert "at most 18500 EUR" in done.stderr
        assert "Not understood, kept as text: tow bar" in done.stderr
        assert read_template(done.stdout).life == 14 * 86_400

    def test_draft_tells_a_program_the_slots(self) -> None:
        told = json.loads(CliRunner().invoke(cli, ["demand", "draft", GOLF, "--json"]).stdout)
        assert told["rest"] == "tow bar"
        assert {"name": "near", "value": "Utrecht, NL", "strength": "must", "words": "near Utrecht"} in told["slots"]

    @pytest.mark.parametrize("kind", TEACHING)
    def test_draft_prints_a_teaching_template_of_each_kind(self, kind: str) -> None:
        done = CliRunner().invoke(cli, ["demand", "draft", "--kind", kind])
        assert done.stdout.rstrip("\n") == TEACHING[kind].rstrip("\n")
