# ruff: noqa: S608 (every statement is put together from this file's own words; values are always bound)
"""How stored public records are found: the statements and their values, as pure functions of a filter.

A record has a row (category, place, seq) for each of its categories in each of its places; a place is a cell, or "="
and a country for a record without cells, or nothing. There are two ways through these rows:

    narrow   by category and place, which touches little but what it finds; in no order, so it is for few rows
    walk     in order of seq from where one stands, testing each row; a whole replay reads the rows once

A filter without category and area reads the records themselves, by author, by type or in order.
"""

from collections.abc import Iterator, Sequence
from typing import Any, Final

from intentcast_protocol.area import ANYWHERE, Area
from intentcast_protocol.subscription import CATEGORY, Filter

from intentcast_relay.posting import Posting

NARROW: Final = 2_048  # rows worth finding in no order
KINDS: Final = 512  # categories below those asked for that are worth looking into one by one
NEAR: Final = 8_192  # places in the order that one statement walks; what is no farther away is not searched
ROWS: Final = 64  # of one record; one with more topics and places has no place here, which means everywhere
PAGE_BYTES: Final = 262_144  # of payload; a page ends with the record that reaches it
MORE: Final = (0, "")  # what `narrow` finds when it did not look everywhere
_LAST: Final = "~"  # greater than all that a place can hold
_ROW: Final = "record.seq, payload, signature, cells, countries"

Statement = tuple[str, tuple[object, ...]]


def rows_of(seq: int, posting: Posting) -> set[tuple[str, str, int]]:
    """Return the rows of one public record. What is no path of slugs can be asked for by no filter."""
    categories = [path for path in posting.categories if CATEGORY.fullmatch(path)] or [""]
    places = posting.cells or tuple(f"={country}" for country in posting.countries)
    if not places or len(categories) * len(places) > ROWS:
        places = ("",)
    return {(category, place, seq) for category in categories for place in places}


def by_topic(wanted: Filter) -> bool:
    """Say whether to look through the rows of topics; else records are read directly, with `direct`."""
    return not wanted.authors and bool(wanted.categories or wanted.area != ANYWHERE)


def direct(wanted: Filter, after: int, upto: int, limit: int, now: int) -> Statement:
    """Return what reads up to `limit` records of a filter in order; its area is left to the reader."""
    conditions, values = _conditions(wanted)
    if wanted.categories:
        below, kinds = _below(wanted)
        conditions.append(f"EXISTS (SELECT 1 FROM topic WHERE topic.seq = record.seq AND ({below}))")
        values = (*values, *kinds)
    where = " AND ".join(["record.seq > ?", "record.seq <= ?", "expires > ?", *conditions])
    return bounded(f"record WHERE {where} ORDER BY record.seq LIMIT ?"), (after, upto, now, *values, limit, PAGE_BYTES)


def narrow(wanted: Filter) -> Statement:
    """Return what finds up to NARROW + 1 (seq, place) of records that a filter may pass, in any order.

    MORE among them says that there are more than KINDS categories, and that some were not looked into.
    """
    # Every category that occurs below those asked for, each found by one step in the index.
    _, kinds = _below(wanted)
    spans = [bound for span in _spans(wanted.area) for bound in span]
    query = (
        "WITH RECURSIVE kind (category, low, high) AS ("
        f"VALUES {', '.join(['(?, ?, ?)'] * len(wanted.categories))} UNION ALL "
        "SELECT (SELECT min(category) FROM topic WHERE category > max(kind.category, low) AND category < high), "
        f"low, high FROM kind WHERE kind.category IS NOT NULL LIMIT {KINDS + 1}), "
        f"span (low, high) AS (VALUES {', '.join(['(?, ?)'] * (len(spans) // 2))}) "
        f"SELECT * FROM (SELECT 0, '' FROM kind LIMIT 1 OFFSET {KINDS}) UNION ALL "
        "SELECT * FROM (SELECT seq, place FROM kind CROSS JOIN span CROSS JOIN topic "
        f"WHERE (SELECT count(*) FROM kind) <= {KINDS} "
        f"AND topic.category = kind.category AND place >= span.low AND place <= span.high LIMIT {NARROW + 1})"
    )
    return query, (*kinds, *spans)


def walk(wanted: Filter, after: int, upto: int, limit: int) -> Statement:
    """Return what finds up to `limit` (seq, place) of records that a filter may pass, in order of seq.

    `upto` is at most NEAR away, so that no filter keeps the others waiting for long.
    """
    below, kinds = _below(wanted)
    spans = _spans(wanted.area)
    near = " OR ".join(["place >= ? AND place <= ?"] * len(spans))
    query = (
        "SELECT seq, min(place) FROM topic INDEXED BY topic_seq "
        f"WHERE seq > ? AND seq <= ? AND ({below}) AND ({near}) GROUP BY seq ORDER BY seq LIMIT ?"
    )
    return query, (after, upto, *kinds, *(bound for span in spans for bound in span), limit)


def fetch(wanted: Filter, places: str, now: int) -> Statement:
    """Return what reads those of some records, given as a JSON list of seqs, that a filter may pass, in order."""
    conditions, values = _conditions(wanted)
    where = " AND ".join(["record.seq = chosen.value", "expires > ?", *conditions])
    return bounded(f"json_each(?) AS chosen CROSS JOIN record WHERE {where}"), (places, now, *values, PAGE_BYTES)


def sealed(key: bytes, after: int, upto: int, limit: int, now: int) -> Statement:
    """Return what reads up to `limit` sealed records to a key, in order."""
    where = "recipient = ? AND record.seq > ? AND record.seq <= ? AND expires > ?"
    return bounded(f"record WHERE {where} ORDER BY record.seq LIMIT ?"), (key, after, upto, now, limit, PAGE_BYTES)


def bounded(source: str) -> str:
    """Return what reads the records of a source in order until they are as many bytes as its last value says.

    Lengths are added up before a payload is touched, so that no page is much larger than that. PROTOCOL §9.9
    """
    sizes = f"SELECT record.seq AS at, length(payload) AS size FROM {source}"
    return (
        f"SELECT {_ROW} FROM (SELECT at, sum(size) OVER (ORDER BY at) - size AS before FROM ({sizes})) AS sized "
        "CROSS JOIN record WHERE record.seq = sized.at AND before < ? ORDER BY sized.at"
    )


def filled(rows: Sequence[tuple[Any, ...]]) -> bool:
    """Say whether a page ended because of its bytes, so that there may be more behind it."""
    return sum(len(row[1]) for row in rows) >= PAGE_BYTES


def vague(area: Area, place: str) -> bool:
    """Say whether a record found at a place may lie outside an area all the same."""
    return area != ANYWHERE and (not area.cells or not place)


def _conditions(wanted: Filter) -> tuple[list[str], tuple[object, ...]]:
    where = ["recipient IS NULL"]
    for name, values in (("author", wanted.authors), ("type", wanted.types)):
        if values:
            where.append(f"record.{name} IN ({', '.join('?' * len(values))})")
    return where, (*wanted.authors, *wanted.types)


def _below(wanted: Filter) -> tuple[str, list[str]]:
    """Return the condition that a row's category is one of a filter's or lies below it, and its values."""
    # A range holds a category's descendants: "/" is followed by "0" in ASCII.
    bounds = [bound for path in wanted.categories for bound in (path, f"{path}/", f"{path}0")]
    return " OR ".join(["category = ? OR category > ? AND category < ?"] * len(wanted.categories)) or "TRUE", bounds


def _spans(area: Area) -> list[tuple[str, str]]:
    """Return ranges of places, both ends included, in which all records that meet an area lie. PROTOCOL §6.2"""
    if not area.cells:
        return [("", _LAST)]
    return list(dict.fromkeys(_of_cells(area)))


def _of_cells(area: Area) -> Iterator[tuple[str, str]]:
    yield "", ""
    for cell in area.cells:
        yield from ((cell[:length], cell[:length]) for length in range(1, len(cell)))
        yield cell, cell + _LAST
    if area.countries:
        yield from ((f"={country}", f"={country}") for country in area.countries)
    else:
        yield "=", f"={_LAST}"
