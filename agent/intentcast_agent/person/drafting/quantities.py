"""Numbers among words: thousands in both styles, k and tkm, ranges, comparators, units, currencies, per what.

``18.5k``, ``18.500 €``, ``12-15k``, ``max £8,750``, ``90 tkm``, ``two years``. What a number is about is decided
elsewhere.
"""

from dataclasses import dataclass
from decimal import Decimal

from intentcast_agent.person.drafting.lexicon import (
    BEFORE,
    BEHIND,
    CURRENCIES,
    HINTS,
    MULTIPLES,
    NUMBERS,
    PER,
    TO,
    UNITS,
)
from intentcast_agent.person.drafting.sheet import Sheet
from intentcast_agent.person.drafting.tokens import Token, listed

_DASHES = frozenset("-–—‐‑")
LENGTHS = frozenset({"HUR", "DAY", "WEE", "MON", "ANN"})
_REACH = 6  # tokens before a number among which a comparator is looked for
_GAP = frozenset(
    [
        "-",
        ".",
        ":",
        "=",
        "~",
        "a",
        "an",
        "the",
        "of",
        "is",
        "at",
        "price",
        "only",
        "mit",
        "von",
        "der",
        "die",
        "das",
        "den",
        "dem",
        "einem",
        "einer",
        "eine",
        "ein",
        "preis",
        "etwa",
        "ca",
        "my",
        "be",
        "to",
        "it",
        "for",
        "für",
        "fur",
        "fuer",
        "costs",
        "kosten",
        "about",
        "around",
        "circa",
        "baujahr",
        "bj",
        "ez",
        "erstzulassung",
        "laufleistung",
        "budget",
        "mileage",
        "year",
        "power",
        "leistung",
        "total",
        "insgesamt",
        "genau",
        "exactly",
        "data",
        "datenvolumen",
        "daten",
        "a",
        "model",
        "just",
        "nur",
        "selbstbeteiligung",
        "sb",
        "excess",
        "from",
        "ab",
    ]
)
_NUMBERLESS = listed(
    "l liter litre litres zimmer raume rooms room seats seat sitze sitzer turer turen turig doors door m qm m2 "
    "sqm quadratmeter gang gange zoll inch inches kg personen people uhr stuck x am pm cm mm kwh lines line "
    "bedrooms floor watt volt zylinder mpg kids bedroom etage stock og jahrige jahriger g jahriges"
)


@dataclass(slots=True)
class Amount:
    """A number or range among the tokens `begin` to `end`; `first` is where its first number stands."""

    begin: int
    first: int
    end: int
    low: Decimal
    high: Decimal | None = None
    op: str = ""  # le, ge, gt, lt, or nothing
    unit: str | None = None
    currency: str | None = None
    per: str | None = None
    about: bool = False
    plain: bool = True  # four digits without a mark or multiple, as a year is written
    bare: bool = True  # no unit, no currency, and no word behind it that would be one

    @property
    def top(self) -> Decimal:
        """The larger of the two."""
        return self.low if self.high is None else self.high


@dataclass(slots=True)
class _Number:
    value: Decimal
    end: int
    multiple: int = 1
    unit: str | None = None
    currency: str | None = None
    plain: bool = False


def read_decimal(text: str) -> Decimal:
    """Read digits whose points and commas are thousands' marks or the decimal point, as their places tell."""
    for gap in " \u00a0\u202f'’":
        text = text.replace(gap, "")
    marks = [sign for sign in text if sign in ".,"]
    whole, _, tail = text.rpartition(marks[-1]) if marks else (text, "", "")
    is_thousands = bool(marks) and len(tail) == 3 and len(set(marks)) == 1 and text.split(marks[0])[0] not in ("", "0")
    if not marks or is_thousands or marks.count(marks[-1]) > 1:
        return Decimal(text.replace(".", "").replace(",", "")[:15])
    return Decimal(f"{whole.replace('.', '').replace(',', '')}.{tail}")


def find_amounts(sheet: Sheet) -> list[Amount]:
    """Return every number that nothing has explained yet, with what belongs to it."""
    found, at = [], 0
    while at < len(sheet.tokens):
        one = _amount(sheet, at) if sheet.is_free(at, at + 1) else None
        if one is None:
            at += 1
        else:
            found.append(one)
            at = one.end
    return found


def _amount(sheet: Sheet, at: int) -> Amount | None:
    tokens = sheet.tokens
    number = _number(tokens, at)
    if number is None:
        return None
    one = Amount(at, at, number.end, number.value, unit=number.unit, currency=number.currency, plain=number.plain)
    _compare(sheet, one)
    second, begin = _second(tokens, number, one)
    if second:
        # "12-15k", "5 bis 7 Tausend": the multiple and the unit are said once.
        low = number.value * (second.multiple if number.multiple == 1 and number.value < second.value else 1)
        one.low, one.high, one.end, one.op = low, second.value, second.end, ""
        one.unit, one.currency = second.unit or one.unit, second.currency or one.currency
        one.plain = one.plain and second.plain
        one.first = begin
    _behind(sheet, one)
    one.bare = not (one.unit or one.currency) and sheet.key(one.end) not in _NUMBERLESS
    return one


def _number(tokens: list[Token], at: int) -> _Number | None:
    """Read one number with its multiple, unit and currency; a number in words counts only before a length of time."""
    token = tokens[at]
    if not token.is_number:
        word = NUMBERS.find(tokens, at)
        unit = UNITS.find(tokens, word[0]) if word and word[0] < len(tokens) else None
        if not word or not unit or unit[1] not in LENGTHS or len(tokens[word[0]].key) < 3:
            return None
        return _Number(Decimal(word[1]), unit[0], unit=unit[1])
    number = _Number(read_decimal(token.text), at + 1, plain=len(token.text) == 4 and token.text.isdecimal())
    if tokens[at - 1].text in "€$£" and at:
        number.currency = CURRENCIES.find(tokens, at - 1)[1]  # type: ignore[index]
    # "2019er", "25.000,-"
    if number.end < len(tokens) and tokens[number.end].key == "er" and tokens[number.end].start == token.end:
        number.end += 1
    if [one.text for one in tokens[number.end : number.end + 2]] in ([",", "-"], [".", "-"], [",", "–"]):
        number.end += 2
    _multiply(tokens, number)
    _measure(tokens, number)
    return number


def _multiply(tokens: list[Token], number: _Number) -> None:
    if number.end >= len(tokens):
        return
    key = tokens[number.end].key
    found = MULTIPLES.find(tokens, number.end)
    if key in ("tkm", "tsdkm", "kkm"):
        number.value, number.multiple, number.unit, number.end = number.value * 1_000, 1_000, "KMT", number.end + 1
    elif found and not (key == "t" and number.value > 999):
        number.value, number.multiple, number.end = number.value * found[1], found[1], found[0]
        if number.end < len(tokens) and tokens[number.end].key == "." and number.end + 1 < len(tokens):
            number.end += tokens[number.end + 1].is_word
    number.plain = number.plain and number.multiple == 1


def _measure(tokens: list[Token], number: _Number) -> None:
    if number.end >= len(tokens) or number.unit:
        return
    at = number.end
    # "a 6-month term"
    at += tokens[at].text == "-" and at + 1 < len(tokens) and tokens[at + 1].is_word
    unit, currency = UNITS.find(tokens, at), CURRENCIES.find(tokens, at)
    # "fr" is also Friday, "mon" also Monday: only a currency or unit right behind a number.
    if currency and not number.currency:
        number.currency, number.end = currency[1], currency[0]
    elif unit and not number.currency:
        number.unit, number.end = unit[1], unit[0]


def _second(tokens: list[Token], number: _Number, one: Amount) -> tuple[_Number | None, int]:
    """Read the second number of a range, if what stands between is "to", a dash, or "and" after "between"."""
    dash = number.end < len(tokens) and tokens[number.end].text in _DASHES
    to = (number.end + 1, "-") if dash else TO.find(tokens, number.end) if number.end < len(tokens) else None
    if to is None or to[0] >= len(tokens):
        return None, one.first
    at = to[0] + (tokens[to[0]].text in "€$£.")
    second = _number(tokens, at) if at < len(tokens) and tokens[at].is_number else None
    joiner = tokens[number.end].key
    if second is None or (joiner in ("and", "und", "u") and one.op != "between") or second.value <= 0:
        return None, one.first
    low = number.value * (second.multiple if number.multiple == 1 and number.value < second.value else 1)
    differs = (number.unit and number.unit != second.unit) or (number.currency and number.currency != second.currency)
    is_year = number.plain and 1950 <= number.value <= 2050
    if differs and not (number.currency and not second.currency and not second.unit):
        return None, one.first
    # "ab 2012 bis 4000 Euro" is a year and a price, "2000-3000 Euro" a range.
    is_apart = is_year and not (second.plain and 1950 <= second.value <= 2050) and not dash and one.op != "between"
    if is_apart or low > second.value:
        return None, one.first
    return second, one.first


def _compare(sheet: Sheet, one: Amount) -> None:
    """Find the comparator before a number; the farthest wins as long as only small words stand between."""
    at, begin = one.first, sheet.clause(one.first)[0]
    reached = at
    while reached > begin and sheet.tokens[reached - 1].text in "€$£~":
        if sheet.tokens[reached - 1].text in "€$£":
            one.currency = one.currency or CURRENCIES.find(sheet.tokens, reached - 1)[1]  # type: ignore[index]
        reached -= 1
    one.begin = reached if one.currency else one.begin
    if one.plain and at > begin + 1 and sheet.tokens[at - 1].text in "/." and sheet.tokens[at - 2].is_number:
        # "EZ 06/2017": the month is not asked for.
        one.begin = reached = at - 2
    # From the number outwards, so that a word that fits nothing ends the search.
    for start in range(reached - 1, max(begin, reached - _REACH) - 1, -1):
        if sheet.taken[start]:
            break
        found = BEFORE.find(sheet.tokens, start)
        if found and found[0] <= reached and all(_may_pass(sheet, gap) for gap in range(found[0], one.begin)):
            one.about = one.about or found[1] == "about"
            if found[1] != "about":
                one.op = found[1]
            one.begin = start
        elif not _may_pass(sheet, start) and not _is_inside(sheet, start, reached):
            break


def _may_pass(sheet: Sheet, at: int) -> bool:
    token = sheet.tokens[at]
    return (
        token.key in _GAP or CURRENCIES.find(sheet.tokens, at) is not None or HINTS.find(sheet.tokens, at) is not None
    )


def _is_inside(sheet: Sheet, at: int, reached: int) -> bool:
    """Whether a word may be the tail of a longer comparator, such as "than" of "no more than"."""
    return any(
        found[0] > at and found[0] <= reached
        for back in range(max(0, at - 3), at)
        if (found := BEFORE.find(sheet.tokens, back))
    )


def _behind(sheet: Sheet, one: Amount) -> None:
    """Read what follows: per what, and a comparator said last, in either order."""
    for _ in range(3):
        if one.end >= len(sheet.tokens):
            return
        at = one.end + (sheet.key(one.end) in ("-", ".") and one.end + 1 < len(sheet.tokens))
        per = PER.find(sheet.tokens, at) if one.unit is None or one.unit in ("E34", "4L", "E35") else None
        behind = BEHIND.find(sheet.tokens, at)
        if per and (one.currency or one.unit or one.per is None):
            one.per, one.end = one.per or per[1], per[0]
        elif behind and not _starts_another(sheet, behind[0], one):
            one.op, one.end = behind[1] if not one.high else one.op, behind[0]
        else:
            return


def _starts_another(sheet: Sheet, at: int, one: Amount) -> bool:
    """Whether "max" behind a number belongs to the next one: "18500 EUR max 90000 km"."""
    if one.op or sheet.key(at - 1) == "+":
        return bool(one.op)
    ahead = range(at, min(at + 3, len(sheet.tokens)))
    return any(sheet.tokens[next_].is_number and sheet.clauses[next_] == sheet.clauses[one.first] for next_ in ahead)
