"""By when: "by next Friday", "bis Ende März", "bis 15.12.", "tomorrow", and lengths of time after "within".

Days are counted from `now` in UTC. A date says either by when it is to be done or until when offers may come.
"""

from calendar import monthrange
from datetime import UTC, date, datetime, timedelta
from decimal import ROUND_CEILING, Decimal

from intentcast_agent.person.drafting.kinds import HOME
from intentcast_agent.person.drafting.lexicon import DAYS, HINTS, MONTHS, UNTIL, WEEK_AHEAD, WEEKDAYS, WITHIN
from intentcast_agent.person.drafting.quantities import LENGTHS, Amount
from intentcast_agent.person.drafting.sheet import Found, Sheet
from intentcast_agent.person.drafting.tokens import listed

_HOURS = {"HUR": 1, "DAY": 24, "WEE": 7 * 24, "MON": 30 * 24, "ANN": 365 * 24}
_FILL = listed(
    "the next this coming am den dem der nachsten nachster nachste kommenden kommender diesen on of zum "
    "naechsten naechste naechster . ende th st nd rd"
)
_END = listed("end ende")
_MIDDLE = listed("mid middle mitte")
_EARLY = listed("early beginning start anfang")
_FEASTS = {"christmas": (12, 24), "weihnachten": (12, 24), "xmas": (12, 24), "silvester": (12, 31), "neujahr": (1, 1)}
_WHOLE = {
    "monatsende": "month",
    "jahresende": "year",
    "wochenende": "week",
    "month": "month",
    "year": "year",
    "week": "week",
    "monats": "month",
    "monat": "month",
    "jahr": "year",
    "jahres": "year",
    "woche": "week",
    "weekend": "week",
}


def find_dates(sheet: Sheet, now: int) -> None:
    """Find the dates by which something is to be done, or until which offers may come."""
    today = datetime.fromtimestamp(now, UTC).date()
    for begin, end, _ in list(UNTIL.all(sheet.tokens)):
        if not sheet.is_free(begin, end):
            continue
        found = read_date(sheet, end, today)
        if found and sheet.is_free(end, found[0]):
            _keep(sheet, begin, found[0], max((found[1] - today).days, 0))
    for table in (DAYS, WEEK_AHEAD):
        for begin, end, days in list(table.all(sheet.tokens)):
            if sheet.is_free(begin, end) and is_for_delivery(sheet, begin):
                _keep(sheet, begin, end, days if isinstance(days, int) else 7)


def _keep(sheet: Sheet, begin: int, end: int, days: int) -> None:
    if is_for_delivery(sheet, begin):
        sheet.add(Found("delivery", str(days), _cue(sheet, begin), end, "le", "DAY"))
    elif not sheet.has("expires"):
        sheet.add(Found("expires", f"{max(days, 1)}d", begin, end, "le"))


def _cue(sheet: Sheet, begin: int) -> int:
    """Take the word right before along: "delivered by Friday"."""
    hint = HINTS.find(sheet.tokens, begin - 1) if begin and sheet.is_free(begin - 1, begin) else None
    return begin - 1 if hint and hint[1] in ("delivery", "expires") else begin


def is_for_delivery(sheet: Sheet, at: int) -> bool:
    """Whether a time means when it is to be done: its clause says so, or it is a repair and speaks of no offers."""
    begin, end = sheet.clause(at)
    hints = {hint for _, _, hint in HINTS.all(sheet.tokens, begin, end)}
    if "delivery" in hints:
        return True
    return sheet.category.startswith(HOME) and "expires" not in hints


def read_date(sheet: Sheet, at: int, today: date) -> tuple[int, date] | None:
    """Read a date that begins at a token; return where it ends and the next day that it can mean."""
    part = ""
    while at < len(sheet.tokens) and (sheet.key(at) in _FILL | _END | _MIDDLE | _EARLY):
        key = sheet.key(at)
        part = "end" if key in _END else "middle" if key in _MIDDLE else "early" if key in _EARLY else part
        at += 1
    if at >= len(sheet.tokens):
        return None
    token, tokens = sheet.tokens[at], sheet.tokens
    ahead = WEEK_AHEAD.find(tokens, at)
    days, weekday, month = (table.find(tokens, at) for table in (DAYS, WEEKDAYS, MONTHS))
    if ahead:
        return ahead[0], today + timedelta(days=7)
    if days:
        return days[0], today + timedelta(days=days[1])
    if weekday:
        return weekday[0], today + timedelta(days=(weekday[1] - today.weekday() - 1) % 7 + 1)
    if token.key in _FEASTS:
        return at + 1, _next(today, *_FEASTS[token.key])
    if token.key in _WHOLE and (part == "end" or token.key.endswith("ende")):
        return at + 1, _end_of(_WHOLE[token.key], today)
    if month:
        return _in_month(sheet, month, part, today)
    return _numeric(sheet, at, today) if token.is_number else None


def _in_month(sheet: Sheet, month: tuple[int, int], part: str, today: date) -> tuple[int, date] | None:
    """ "end of March", "March 15th", "Mitte Mai", and a plain "March", which is over when it ends."""
    end, number = month
    end += sheet.key(end) == "."
    follows = sheet.tokens[end].text if end < len(sheet.tokens) and sheet.tokens[end].is_number else ""
    if follows.isdecimal() and int(follows) <= 31 and not part:
        end += 1
        end += sheet.key(end) in ("th", "st", "nd", "rd")
        return end, _next(today, number, int(follows))
    if follows.isdecimal() and len(follows) == 4:
        return end + 1, _day(int(follows), number, {"middle": 15, "early": 7}.get(part, 31))
    return end, _next(today, number, {"middle": 15, "early": 7}.get(part, 31))


def _numeric(sheet: Sheet, at: int, today: date) -> tuple[int, date] | None:
    """ "15.12.", "15.12.2026", "15/12", "2026-12-15", "15. Dezember", "15th of December"."""
    text, end = sheet.tokens[at].text, at + 1
    parts = text.split(".")
    while (
        sheet.key(end) in ("/", "-")
        and end + 1 < len(sheet.tokens)
        and sheet.tokens[end + 1].text.isdecimal()
        and len(parts) < 3
    ):
        parts.append(sheet.tokens[end + 1].text)
        end += 2
    if not all(part.isdecimal() and len(part) <= 4 for part in parts):
        return None
    numbers = [int(part) for part in parts]
    if len(numbers) == 1:
        while sheet.key(end) in _FILL:
            end += 1
        month = MONTHS.find(sheet.tokens, end) if end < len(sheet.tokens) else None
        if not month or not 1 <= numbers[0] <= 31:
            return None
        end, year = month[0], sheet.key(month[0])
        if len(year) == 4 and year.isdecimal():
            return end + 1, _day(int(year), month[1], numbers[0])
        return end, _next(today, month[1], numbers[0])
    if numbers[0] > 31:
        numbers.reverse()
    if numbers[1] > 12:
        numbers[:2] = numbers[1::-1]
    if not (1 <= numbers[0] <= 31 and 1 <= numbers[1] <= 12):
        return None
    if len(numbers) == 2:
        # "15.12" may be a price; a date ends in a point or is written with a slash.
        if sheet.key(end) != "." and "." in text:
            return None
        return end + (sheet.key(end) == "."), _next(today, numbers[1], numbers[0])
    year_ = numbers[2] + (2_000 if numbers[2] < 100 else 0)
    return end, _day(year_, numbers[1], numbers[0])


def _day(year: int, month: int, day: int) -> date:
    year = min(max(year, 1_970), 2_999)
    return date(year, month, min(max(day, 1), monthrange(year, month)[1]))


def _next(today: date, month: int, day: int) -> date:
    found = _day(today.year, month, day)
    return found if found >= today else _day(today.year + 1, month, day)


def _end_of(span: str, today: date) -> date:
    if span == "year":
        return date(today.year, 12, 31)
    if span == "month":
        return _day(today.year, today.month, 31)
    return today + timedelta(days=6 - today.weekday())


def within(sheet: Sheet, one: Amount) -> int | None:
    """Return where "within" begins if it stands before a length of time, else None."""
    if one.unit not in LENGTHS:
        return None
    for start in range(max(sheet.clause(one.first)[0], one.begin - 5), one.first):
        found = WITHIN.find(sheet.tokens, start)
        if (
            found
            and found[0] <= one.first
            and all(sheet.key(at) in _FILL or at >= one.begin for at in range(found[0], one.first))
        ):
            return start
    return None


def keep_length(sheet: Sheet, one: Amount, begin: int) -> None:
    """Keep a length of time after "within" as a delivery time or as how long offers may come."""
    hours = one.top * _HOURS[one.unit or "DAY"]
    if is_for_delivery(sheet, one.first):
        days = (hours / 24).to_integral_value(ROUND_CEILING)
        sheet.add(Found("delivery", format(days, "f"), _cue(sheet, begin), one.end, "le", "DAY"))
    elif not sheet.has("expires"):
        life = f"{hours:.0f}h" if one.unit == "HUR" else f"{hours / 24:.0f}d"
        sheet.add(Found("expires", life, _cue(sheet, begin), one.end, "le"))


def months(amount: Decimal, unit: str | None) -> str | None:
    """Return a length of time in whole months, or None if it is less or far too long."""
    hours = amount * _HOURS.get(unit or "", 0)
    found = amount * 12 if unit == "ANN" else (hours / 730).to_integral_value() if unit != "MON" else amount
    return format(found, "f") if 1 <= found <= 1_200 and found == found.to_integral_value() else None
