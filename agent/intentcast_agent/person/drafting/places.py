"""Where: a city or a country after a word of place, or a city with a capital by itself.

What a draft holds is a city's middle and a radius, never an address.
"""

from functools import cache
from typing import Final

from intentcast_agent.person.drafting.cities import CITIES, CITY_WORDS, CODES, COUNTRIES, LARGE
from intentcast_agent.person.drafting.lexicon import FILLERS, NEAR
from intentcast_agent.person.drafting.sheet import Found, Sheet
from intentcast_agent.person.drafting.tokens import Vocabulary, listed

CURRENCY: Final = {
    "GB": "GBP", "US": "USD", "CH": "CHF", "LI": "CHF", "CA": "CAD", "SE": "SEK", "DK": "DKK", "NO": "NOK", "PL": "PLN",
    "CZ": "CZK", "HU": "HUF", "RO": "RON", "MX": "MXN", "IS": "ISK", "TR": "TRY", "UA": "UAH", "RS": "RSD", "BG": "EUR",
}  # fmt: skip
# Cities that are also everyday words: only after a word such as "near", and with a capital.
_EVERYDAY = listed("reading mobile nice essen orange independence split hagen bath halle worms celle fargo hamm moers")


def find_places(sheet: Sheet) -> None:
    """Find ``near`` and ``country``: after a word of place, or a plain city with a capital."""
    for begin, end, _ in NEAR.all(sheet.tokens):
        start = end + (sheet.key(end) in ("the", "der", "den", "die", "dem", "of", "von", "um", ":"))
        if start < len(sheet.tokens) and sheet.is_free(start, start + 1):
            _place(sheet, begin if sheet.is_free(begin, end) else start, start)
    for at in range(len(sheet.tokens)):
        if sheet.is_free(at, at + 1) and not sheet.has("near"):
            _bare(sheet, at)
        country = COUNTRIES.find(sheet.tokens, at)
        is_named = country and sheet.tokens[at].text[0].isupper() and sheet.is_free(at, country[0])
        if country and is_named and not (sheet.has("country") or sheet.has("near")):
            sheet.add(Found("country", country[1], at, country[0]))


def _place(sheet: Sheet, begin: int, at: int) -> None:
    """Read what a word of place points at; a slip of the finger in a city's name is forgiven here."""
    token = sheet.tokens[at]
    if token.text in CODES:
        sheet.add(Found("country", token.text, begin, at + 1))
        return
    country = COUNTRIES.find(sheet.tokens, at)
    if country and (token.key != "us" or token.text.isupper()):
        sheet.add(Found("country", country[1], begin, country[0]))
        return
    found = CITIES.find(sheet.tokens, at)
    if found is None and token.text[0].isupper() and token.key not in FILLERS:
        fixed = _names().correct(token.key)
        if fixed != token.key:
            hit = CITIES.find([token.__class__(fixed, fixed, 0, 0)], 0)
            found = (at + 1, hit[1]) if hit else None
    if found is None or (token.key in _EVERYDAY and not token.text[0].isupper()) or sheet.has("near"):
        return
    if token.key in FILLERS:
        return
    end = _with_quarter(sheet, found[0])
    sheet.add(Found("near", found[1].label, begin, end))
    # "Leeds, UK" says the country, too; it is the city's own.
    behind = COUNTRIES.find(sheet.tokens, end + 1) if sheet.key(end) == "," and end + 1 < len(sheet.tokens) else None
    if behind and behind[1] == found[1].country and behind[0] - end < 4:
        sheet.take(end, behind[0])


def _bare(sheet: Sheet, at: int) -> None:
    token = sheet.tokens[at]
    found = CITIES.find(sheet.tokens, at)
    if found is None or len(token.key) < 4 or token.key in FILLERS or token.key in _EVERYDAY:
        return
    quiet = not any(one.text[0].isupper() for one in sheet.tokens)
    begins = at == 0 or sheet.key(at - 1) == ":" or sheet.clauses[at] != sheet.clauses[at - 1]
    big = found[1].label in LARGE
    if (token.text[0].isupper() and (big or begins)) or (quiet and big and len(token.key) > 4):
        sheet.add(Found("near", found[1].label, at, _with_quarter(sheet, found[0])))


def _with_quarter(sheet: Sheet, end: int) -> int:
    """Take the part of a town along, "Hamburg-Altona", which nobody is told."""
    follows = end + 1 < len(sheet.tokens) and sheet.key(end) == "-" and sheet.tokens[end + 1].is_word
    return end + 2 if follows and sheet.tokens[end + 1].start == sheet.tokens[end].end else end


@cache
def _names() -> Vocabulary:
    return Vocabulary(CITY_WORDS, FILLERS)
