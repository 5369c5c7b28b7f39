"""Plain words become slots: each keeps the words it came from, and what was not understood stays as text.

    read_words("VW Golf estate, under 18.5k, near Utrecht", now).slots

English and German. Nothing leaves the machine, and no place finer than a city is kept. DESIGN §6
"""

import re
from dataclasses import dataclass

from intentcast_agent.person.drafting.cities import CITIES
from intentcast_agent.person.drafting.dates import find_dates
from intentcast_agent.person.drafting.gazetteer import ATTRIBUTES, Makes, makes
from intentcast_agent.person.drafting.kinds import CARS, INSURANCE, PLANS, find_kind
from intentcast_agent.person.drafting.lexicon import (
    BEFORE,
    BEHIND,
    CONTRACT_FREE,
    COVERAGE,
    FILLERS,
    HINTS,
    LIKE,
    NEAR,
    NOT,
    PER,
    STRENGTH,
    TURN,
    UNTIL,
    WITHIN,
)
from intentcast_agent.person.drafting.measures import find_measures
from intentcast_agent.person.drafting.places import find_places
from intentcast_agent.person.drafting.sheet import Found, Sheet, Slot, Strength
from intentcast_agent.person.drafting.tokens import MOST

# What names a person or a door: kept out of the draft, whatever else is in the words.
_PRIVATE = re.compile(
    r"(?:[\w.+-]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63}){1,4})"
    r"|(?:(?<![\w.,])(?:\+|00)\d{1,3}(?:[ /().-]{0,2}\d{1,5}){3,6}(?![\w])"
    r"|(?<![\w.,])0\d{2,5}(?:[ /-]\d{2,9}){1,4}(?![\w]))"
    r"|(?:\b[^\W\d_]{2,30}(?:straße|strasse|str\.|weg|platz|allee|gasse|straat|laan|gracht)\s{1,2}\d{1,4}[a-z]?\b"
    r"|\b\d{1,5}\s[^\W\d_]{2,30}\s(?:street|road|avenue|lane|drive|close|crescent|boulevard)\b)"
    r"|(?-i:\b[A-Z]{1,2}\d[A-Z\d]?\s\d[A-Z]{2}\b)|(?:\bPLZ\s{0,2}|\bD-)\d{5}\b|\b\d{5}\b",
    re.IGNORECASE,
)
_CAR_SLOTS = ("body", "fuel", "gearbox", "colour", "condition")
_THING_SLOTS = ("colour", "condition")
_ALWAYS_WANTED = frozenset({"make", "model", "colour"})
_NO_STRENGTH = frozenset({"category", "near", "radius", "country", "expires"})


@dataclass(frozen=True, slots=True)
class Reading:
    """What was understood of `text`, at `now`: slots by place, the rest as text, and what was kept out of the draft."""

    text: str
    now: int
    slots: tuple[Slot, ...]
    rest: str
    withheld: tuple[str, ...] = ()
    german: bool = False

    def slot(self, name: str) -> Slot | None:
        """Return the first slot of a name, or None."""
        return next((slot for slot in self.slots if slot.name == name), None)


def read_words(text: str, now: int, *, currency: str | None = None, known: Makes | None = None) -> Reading:
    """Read what somebody wants from plain words; `now` is seconds since 1970.

    `currency` stands where none is said and no place tells, and without it euros or, beside miles, pounds; `known` is
    the makes of the vendors' feeds beside ours.
    The first MOST characters are read, the others stay in `rest`. Any text is fine; nothing is raised.
    """
    sheet = Sheet.of(text)
    withheld = _withhold(sheet)
    _name_kind(sheet, known or makes())
    find_dates(sheet, now)
    _phrases(sheet)
    if sheet.category == CARS:
        _attributes(sheet, _CAR_SLOTS)
    find_places(sheet)
    find_measures(sheet, now, currency)
    if sheet.category and sheet.category != CARS and not sheet.category.startswith("services/"):
        _attributes(sheet, _THING_SLOTS)
    _mark(sheet)
    slots = tuple(_slot(sheet, found) for found in sorted(sheet.found, key=lambda one: one.begin))
    return Reading(text, now, slots, _rest(sheet), withheld, sheet.german)


def _withhold(sheet: Sheet) -> tuple[str, ...]:
    found = []
    for hit in _PRIVATE.finditer(sheet.text[:MOST]):
        begin = next((at for at, one in enumerate(sheet.tokens) if one.end > hit.start()), len(sheet.tokens))
        end = next((at for at, one in enumerate(sheet.tokens) if one.start >= hit.end()), len(sheet.tokens))
        # Five digits are a postcode only before a city: "50667 Köln", but "18500 Euro".
        if hit[0].isdecimal() and len(hit[0]) == 5 and not (end < len(sheet.tokens) and CITIES.find(sheet.tokens, end)):
            continue
        if hit[0].isdecimal() and _is_compared(sheet, begin):
            continue
        sheet.take(begin, end)
        found.append(hit[0])
    for at in range(1, len(sheet.tokens) - 1):
        # "in 1100 Wien"
        token = sheet.tokens[at]
        is_code = len(token.text) == 4 and token.text.isdecimal() and CITIES.find(sheet.tokens, at + 1)
        if is_code and sheet.key(at - 1) in ("in", "near", "bei", "aus", "from", "nahe"):
            sheet.take(at, at + 1)
            found.append(token.text)
    return tuple(found)


def _is_compared(sheet: Sheet, at: int) -> bool:
    """Whether a number is an amount after all: "bis 10000 Bremen"."""
    ends = (BEFORE.find(sheet.tokens, start) for start in range(max(0, at - 4), at))
    return sheet.key(at - 1) in ("€", "$", "£") or any(found and found[0] in (at, at - 1) for found in ends)


def _name_kind(sheet: Sheet, known: Makes) -> None:
    """Settle the category first: what a number or a word means hangs on it."""
    models = known.find(sheet.tokens, in_car=False)
    kind = find_kind(sheet.tokens, next((begin for _, model, begin, _ in models if model), None))
    talk = _talks_of_car(sheet)
    if kind is None and (models or talk is not None):
        at = min([begin for _, _, begin, _ in models] + ([talk[0]] if talk is not None and not models else []))
        end = models[0][3] if models else talk[1] if talk else at
        kind = (CARS, at, end)
    if kind is None:
        return
    sheet.category, begin, end = kind
    sheet.found.append(Found("category", sheet.category, begin, end))
    if sheet.category != CARS:
        sheet.take(begin, end)
        return
    for make, model, start, stop in known.find(sheet.tokens, in_car=True):
        if not sheet.is_free(start, stop) or _is_refused(sheet, start):
            continue
        sheet.add(Found("make", make, start, stop))
        if model:
            sheet.add(Found("model", model, start, stop))


def _talks_of_car(sheet: Sheet) -> tuple[int, int] | None:
    """A body or a fuel and gearbox name a car as well as the word does."""
    body = next(ATTRIBUTES["body"].all(sheet.tokens), None)
    fuel, gearbox = (next(ATTRIBUTES[name].all(sheet.tokens), None) for name in ("fuel", "gearbox"))
    driven = any(token.key in ("km", "ps", "tkm", "kw", "miles") for token in sheet.tokens)
    found = body or gearbox or (fuel if driven else None)
    return (found[0], found[1]) if found else None


def _is_refused(sheet: Sheet, at: int) -> bool:
    """Whether "no", "kein" or "except" stands right before."""
    found = (
        NOT.find(sheet.tokens, near) for near in range(max(at - 2, 0), at) if sheet.clauses[near] == sheet.clauses[at]
    )
    return any(hit and hit[0] <= at for hit in found)


def _phrases(sheet: Sheet) -> None:
    if sheet.category == PLANS:
        for begin, end, _ in CONTRACT_FREE.all(sheet.tokens):
            if sheet.is_free(begin, end):
                sheet.add(Found("contract", "1", begin, end, "le", "MON"))
    if sheet.category == f"{INSURANCE}/vehicle":
        for begin, end, kind in COVERAGE.all(sheet.tokens):
            if sheet.is_free(begin, end):
                sheet.add(Found("coverage", kind, begin, end))


def _attributes(sheet: Sheet, names: tuple[str, ...]) -> None:
    for name in names:
        for begin, end, value in ATTRIBUTES[name].all(sheet.tokens):
            if not sheet.is_free(begin, end) or _is_refused(sheet, begin):
                continue
            # An ST is an estate of one make, and a sports car of others.
            if sheet.key(begin) == "st" and sheet.key(begin - 1) != "leon":
                continue
            if name == "condition" and (
                HINTS.find(sheet.tokens, begin) or sheet.key(begin - 1) in ("oder", "or", "tuv", "und", "and", "nicht")
            ):
                continue
            sheet.add(Found(name, value, begin, end))
    if "gearbox" in names and not sheet.german and not sheet.has("gearbox"):
        # "auto" is a gearbox in English, and a car in German.
        at = next(
            (at for at, token in enumerate(sheet.tokens) if token.key == "auto" and sheet.is_free(at, at + 1)), None
        )
        if at is not None and (sheet.has("make") or sheet.found[0].begin != at):
            sheet.add(Found("gearbox", "Automatic", at, at + 1))


def _mark(sheet: Sheet) -> None:
    """Settle must and want: a word of wishing or insisting rules its clause from there on, or up to there."""
    headings = [row for row in STRENGTH.all(sheet.tokens) if sheet.key(row[1]) == ":"]
    for found in sheet.found:
        sheet.take(found.begin, found.end)
        if found.strength is None:
            found.strength = _strength(sheet, found, headings)


def _strength(sheet: Sheet, found: Found, headings: list[tuple[int, int, str]]) -> Strength:
    if found.name in _NO_STRENGTH:
        return "must"
    said = ""
    begin, end = sheet.clause(found.begin)
    for at, stop, strength in STRENGTH.all(sheet.tokens, begin, end):
        apart = any(sheet.key(between) == ":" for between in range(min(at, found.end), max(stop, found.begin)))
        if apart:
            continue
        if strength == "want after" and at >= found.end:
            said = said or "want"
        elif at < found.end:
            said = strength.removesuffix(" after")
    said = said or _heading(sheet, found.begin, headings)
    if found.name in _ALWAYS_WANTED and not said:
        return "want"
    return "want" if said == "want" else "must"


def _heading(sheet: Sheet, at: int, headings: list[tuple[int, int, str]]) -> str:
    """Return the strength that a heading such as "Nice to have:" gives all that follows it up to a full stop."""
    said = ""
    for _, end, strength in headings:
        if end < at and not any(sheet.key(stop) in (".", ";") for stop in range(end, at)):
            said = strength.removesuffix(" after")
    return said


def _slot(sheet: Sheet, found: Found) -> Slot:
    start = sheet.tokens[found.begin].start
    end = sheet.tokens[max(found.end - 1, found.begin)].end
    words = sheet.text[start:end]
    assert found.strength is not None
    return Slot(found.name, found.value, found.op, found.unit, found.currency, found.strength, words, start, end)


_SMALL = FILLERS.union(
    *(table.words for table in (BEFORE, BEHIND, HINTS, LIKE, NEAR, PER, STRENGTH, TURN, UNTIL, WITHIN))
)


def _rest(sheet: Sheet) -> str:
    """Return what nothing explains, without the small words at the edges of each piece."""
    pieces, at = [], 0
    while at < len(sheet.tokens):
        end = at
        while end < len(sheet.tokens) and not sheet.taken[end] and sheet.clauses[end] == sheet.clauses[at]:
            end += 1
        begin, stop = at, end
        while begin < stop and _says_nothing(sheet, begin):
            begin += 1
        while stop > begin and _says_nothing(sheet, stop - 1):
            stop -= 1
        if begin < stop:
            pieces.append(sheet.text[sheet.tokens[begin].start : sheet.tokens[stop - 1].end])
        at = max(end, at + 1)
    beyond = sheet.text[MOST:].strip()
    return ", ".join([*pieces, *([beyond] if beyond else [])])


def _says_nothing(sheet: Sheet, at: int) -> bool:
    token = sheet.tokens[at]
    return not (token.is_word or token.is_number) or token.key in _SMALL
