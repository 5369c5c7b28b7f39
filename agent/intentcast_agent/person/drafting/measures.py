"""What a number is about: a price, a mileage, a year, power, data, a warranty, a contract, a radius, a time.

The unit decides where it can, then the nearest word that names a thing, then the kind of demand.
"""

from datetime import UTC, datetime
from decimal import Decimal

from intentcast_agent.person.drafting.dates import keep_length, months, within
from intentcast_agent.person.drafting.kinds import CARS, INSURANCE, PLANS
from intentcast_agent.person.drafting.lexicon import HINTS, LIKE, NEAR, PER
from intentcast_agent.person.drafting.places import CURRENCY
from intentcast_agent.person.drafting.quantities import LENGTHS, Amount, find_amounts
from intentcast_agent.person.drafting.sheet import Found, Op, Sheet, Strength, Value
from intentcast_agent.person.drafting.tokens import listed

_OPS: dict[str, Op] = {"ge": "ge", "gt": "ge", "new": "ge", "between": "ge", "le": "le", "lt": "le"}
_REACH = 12  # tokens from a number within which a word tells what it is
_LEADING = listed("umkreis im von within radius einem of in a")
_AWAY = listed("umkreis radius away entfernung entfernt")
_AROUND = listed("of from around um rund to")


def find_measures(sheet: Sheet, now: int, currency: str | None) -> None:
    """Give every number its slot; what fits none stays text."""
    year = datetime.fromtimestamp(now, UTC).year
    unsure = [one for one in find_amounts(sheet) if not _keep(sheet, one, year)]
    # Whoever counts in miles and names no currency pays in pounds, unless the place says otherwise.
    imperial = any(found.unit == "SMI" for found in sheet.found)
    currency = currency or ("GBP" if imperial else "EUR")
    for one in unsure:
        _keep_bare_price(sheet, one, year, currency)


def _keep(sheet: Sheet, one: Amount, year: int) -> bool:
    if one.currency:
        _keep_money(sheet, one)
    elif one.unit in ("KMT", "SMI"):
        return _keep_length(sheet, one)
    elif one.unit in ("KWT", "BHP", "HJ"):
        return sheet.category == CARS and _add(sheet, "power", one, "ge")
    elif one.unit in ("E34", "4L", "E35"):
        return sheet.category == PLANS and _add(sheet, "data", one, "ge")
    elif one.unit in LENGTHS:
        return _keep_time(sheet, one, year)
    elif one.plain and 1_950 <= one.low <= year + 1 and one.bare and sheet.category == CARS:
        return _keep_year(sheet, one)
    elif _hint(sheet, one) == "mileage" and sheet.category == CARS and one.top >= 1_000:
        one.unit = "KMT"
        return _add(sheet, "mileage", one, "le")
    else:
        return False
    return True


def _add(sheet: Sheet, name: str, one: Amount, default: Op, value: Decimal | None = None) -> bool:
    """Add an amount under a name; a range wins over a comparator, and "about" makes it a want."""
    begin = _with_hint(sheet, one, name)
    strength: Strength | None = "want" if one.about else None
    unit = one.per if one.currency else one.unit
    told: Value = _plain(one.low if value is None else value)
    op = _OPS.get(one.op, default)
    if one.high is not None:
        told, op = (_plain(one.low), _plain(one.high)), "between"
    sheet.add(Found(name, told, begin, one.end, op, unit, one.currency, strength))
    return True


def _plain(number: Decimal) -> str:
    return format(number.normalize() if number == number.to_integral_value() else number, "f")


def _with_hint(sheet: Sheet, one: Amount, name: str) -> int:
    """Take the word that names the thing along, where it stands right before."""
    at = one.begin
    while at and sheet.is_free(at - 1, at) and sheet.key(at - 1) in (":", ".", "of", "von"):
        at -= 1
    hint = HINTS.find(sheet.tokens, at - 1) if at and sheet.is_free(at - 1, at) else None
    return at - 1 if hint and hint[1] == name else one.begin


def _hint(sheet: Sheet, one: Amount) -> str:
    """Return what the nearest telling word of the clause says, the ones before a number first."""
    begin, end = sheet.clause(one.first)
    begin, end = max(begin, one.first - _REACH), min(end, one.end + _REACH)
    near = [
        (min(abs(at - one.end) * 2, 99) if at >= one.first else one.first - at, hint)
        for at, _, hint in HINTS.all(sheet.tokens, begin, end)
        if hint != "radius"
    ]
    distance, hint = min(near, default=(99, ""))
    return hint if distance <= 10 else ""


def _keep_money(sheet: Sheet, one: Amount) -> None:
    hint = _hint(sheet, one)
    if sheet.category.startswith(INSURANCE) and hint in ("deductible", "covered") and not one.per:
        # "cover up to 5 million" is still the least that is wanted.
        one.op = "ge" if hint == "covered" else one.op
        _add(sheet, hint, one, "le")
        return
    if one.per is None:
        begin, end = sheet.clause(one.first)
        begin, end = max(begin, one.begin - 5), min(end, one.end + 5)
        per = next((found for found in PER.all(sheet.tokens, begin, end) if sheet.is_free(found[0], found[1])), None)
        if per and per[2] != "HUR" and not any(_is_data(sheet, at) for at in range(max(per[0] - 2, 0), per[0])):
            one.per = per[2]
            sheet.take(per[0], per[1])
        elif sheet.category == PLANS:
            one.per = "MON"
    if not sheet.has("price"):
        _add(sheet, "price", one, "le")


def _is_data(sheet: Sheet, at: int) -> bool:
    return sheet.key(at) in ("gb", "data", "mb", "gigabyte", "gig", "gigs")


def _keep_length(sheet: Sheet, one: Amount) -> bool:
    """Kilometres and miles: how far to go for it, or how far it has gone."""
    before = {sheet.key(at) for at in range(max(one.begin - 3, 0), one.first)}
    if _hint(sheet, one) == "range":
        return False
    # The words around tell a radius: "50 km um Köln", "30 miles of Leeds", "Ghent 20 km".
    behind = sheet.key(one.end)
    beside = any(found.name == "near" and found.end <= one.begin <= found.end + 2 for found in sheet.found)
    is_radius = (
        bool(before & {"umkreis", "radius", "within"})
        or behind in _AWAY
        or (beside and one.top <= 300)
        or (behind in _AROUND and one.op != "le" and _hint(sheet, one) != "mileage")
    )
    if not is_radius and sheet.category == CARS:
        return _add(sheet, "mileage", one, "le")
    if is_radius or any(NEAR.find(sheet.tokens, at) for at in range(one.end, min(one.end + 2, len(sheet.tokens)))):
        if one.top > 5_000:
            return False
        one.op, one.high, one.low, one.about = "le", None, one.top, False
        while one.begin and sheet.is_free(one.begin - 1, one.begin) and sheet.key(one.begin - 1) in _LEADING:
            one.begin -= 1
        one.end += behind in _AWAY
        return _add(sheet, "radius", one, "le")
    return False


def _keep_time(sheet: Sheet, one: Amount, year: int) -> bool:
    hint, start = _hint(sheet, one), within(sheet, one)
    if sheet.key(one.end) in ("of", "from", "drive", "fahrt", "von", "entfernt"):
        return False
    if hint in ("warranty", "contract") and start is None:
        span = months(one.top, one.unit)
        if span:
            one.unit = "MON"
            one.low, one.high = Decimal(span), None
            return _add(sheet, hint, one, "ge" if hint == "warranty" else "le")
    if start is None and sheet.key(one.first) in ("a", "an", "einem"):
        return False
    if (
        sheet.category == CARS
        and one.unit == "ANN"
        and (hint == "age" or one.op in ("le", "lt", "gt", "new"))
        and start is None
    ):
        # "at most 6 years old", "not older than 5 years": a year to be built in or after.
        one.end += sheet.key(one.end) in ("old", "alt")
        one.high = None
        one.op, one.unit = "ge", None
        return _add(sheet, "year", one, "ge", Decimal(year) - one.low)
    if start is not None:
        keep_length(sheet, one, min(start, one.begin))
        return True
    if sheet.category == PLANS and one.unit in ("MON", "ANN"):
        span = months(one.top, one.unit)
        if span:
            one.low, one.high, one.unit = Decimal(span), None, "MON"
            return _add(sheet, "contract", one, "le")
    return False


def _keep_year(sheet: Sheet, one: Amount) -> bool:
    begin = sheet.clause(one.first)[0]
    liked = next((True for at, _, _ in LIKE.all(sheet.tokens, begin, one.first)), False)
    hint = _hint(sheet, one)
    if one.high is None and one.op == "le" and hint != "year" and not sheet.has("price") and one.low < 2_010:
        return False
    value = one.low + (1 if one.op == "gt" else -1 if one.op == "lt" else 0)
    one.about = one.about or (liked and not one.op)
    return _add(sheet, "year", one, "eq", value)


def _keep_bare_price(sheet: Sheet, one: Amount, year: int, currency: str) -> None:
    """A number with a comparator and no unit, "under 18.5k", is a price, in the currency of the place or language."""
    hint = _hint(sheet, one)
    if sheet.category.startswith(INSURANCE) and (hint == "deductible" or (hint == "covered" and one.top >= 10_000)):
        one.currency = currency
        _keep_money(sheet, one)
        return
    if one.unit or not one.bare or sheet.has("price") or one.top < 1:
        return
    said = one.op in ("le", "lt") or one.high is not None or one.about or _hint(sheet, one) == "price" or one.per
    small = one.top < 100 and sheet.category != PLANS and not one.per
    if not said or small or (one.plain and one.high is not None and 1_950 <= one.low <= year + 1):
        return
    place = next((found for found in sheet.found if found.name in ("country", "near")), None)
    country = str(place.value)[-2:] if place else ""
    one.currency = CURRENCY.get(country, "EUR") if place else currency
    _keep_money(sheet, one)
