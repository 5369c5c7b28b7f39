"""Which of the stock answers a demand, best first, exactly as judging every item would say.

Judging 15,000 items one by one takes seconds, so the stock is also held as columns: for each path, the distinct values
under it, numbers sorted by unit. A constraint is then judged once per distinct value, a bound by bisection, and only
the few items that are returned are judged in full, by the protocol's own rule. The columns know that rule for single
numbers and texts alone; what else they meet (lists, prices, named things) they hand to the rule itself. PROTOCOL §6.3
"""

import re
from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from types import MappingProxyType
from typing import Any, Final, NamedTuple

from intentcast_protocol.constraint import Constraint, Judgement, Verdict, evaluate
from intentcast_protocol.demand import Demand
from intentcast_protocol.quantity import convert, parse_decimal
from intentcast_protocol.subscription import within

from intentcast_agent.vendor.inventory.stock import StockItem

DEFAULT_LIMIT: Final = 10
FAR: Final = 1_000  # the distance of a broken must-have that is not a matter of degree
NOTHING: Final[Mapping[str, int]] = MappingProxyType({})
_ITEM = "itemOffered"
_TOKEN = re.compile(r"\w+")
_LOWER = {code: code | 0x20 for code in range(ord("A"), ord("Z") + 1)}
# Verdicts as bytes of a table.
_UNMET, _MET, _UNKNOWN = 0, 1, 2
_CODE = {Verdict.UNMET: _UNMET, Verdict.MET: _MET, Verdict.UNKNOWN: _UNKNOWN}


@dataclass(frozen=True, slots=True)
class Match:
    """One item, and what every wish about an item makes of it."""

    item: StockItem
    judgement: Judgement


def about_item(demand: Demand) -> Demand:
    """Return the demand with only its wishes about the item's properties.

    The others (of price, or of who offers) can be judged only once there is an offer; `quote` does so.
    """
    return replace(demand, constraints=tuple(wish for wish in demand.constraints if is_about_item(wish)))


def is_about_item(wish: Constraint) -> bool:
    """Say whether an item alone can be judged by this wish."""
    return wish.path.startswith(f"{_ITEM}.")


class Stock:
    """All that a vendor has for sale, ready to be matched; what it holds never changes.

    Raises ValueError for two items with one SKU or a price that is not a decimal string.
    """

    def __init__(self, items: Iterable[StockItem]) -> None:
        # In the order that breaks ties, so that a place in the list is a rank.
        self._items = sorted(items, key=lambda item: (parse_decimal(item.price), item.sku))
        self._places = {item.sku: place for place, item in enumerate(self._items)}
        if len(self._places) < len(self._items):
            raise ValueError("two items have the same SKU")
        self._categories: dict[str, list[int]] = defaultdict(list)
        self._paths: set[tuple[str, ...]] = set()
        for place, item in enumerate(self._items):
            category = item.item.get("category")
            if isinstance(category, str):
                self._categories[category].append(place)
            self._paths.update(_paths(item.item, ()))
        # Filled as paths are asked for; only paths the stock has, so that no demand can make it grow without end.
        self._columns: dict[tuple[str, ...], _Column] = {}

    def __len__(self) -> int:
        return len(self._items)

    @property
    def categories(self) -> tuple[str, ...]:
        """Every category the stock has an item in."""
        return tuple(sorted(self._categories))

    def find(self, sku: str, demand: Demand) -> Match | None:
        """Return one item judged against a demand, whatever its fit and category, or None for an unknown SKU."""
        place = self._places.get(sku)
        if place is None:
            return None
        item = self._items[place]
        return Match(item, about_item(demand).judge({_ITEM: item.item}))

    def match(
        self,
        demand: Demand,
        *,
        alternatives: bool = False,
        limit: int = DEFAULT_LIMIT,
        reserved: Mapping[str, int] = NOTHING,
        sellable: Callable[[StockItem], bool] | None = None,
    ) -> list[Match]:
        """Return the items of the demand's category that fit it or would after a question, best first.

        Fitting ones come first, then those that meet more wants, then the cheaper, then by SKU. With `alternatives`,
        items that fail come last, the nearest first: each broken must-have counts FAR, or, where it is a bound on a
        number, the thousandths of the bound by which the number is out, if that is less. `reserved` says how many of a
        SKU are spoken for, and one of which none is left is no match; nor is one that `sellable` turns down.
        """
        own = about_item(demand)
        wishes = [found.constraint for found in own.judge({}).findings]
        places = self._below(demand.category)
        places, ranks = self._decide([wish for wish in wishes if wish.strength == "must"], places, alternatives)
        wants = [wish for wish in wishes if wish.strength == "want"]
        met = self._count(wants, places)
        ranked = sorted(places, key=lambda place: (ranks[place], -met[place], place))
        matches: list[Match] = []
        for place in ranked:
            if len(matches) >= limit:
                break
            item = self._items[place]
            if item.quantity > reserved.get(item.sku, 0) and (sellable is None or sellable(item)):
                matches.append(Match(item, own.judge({_ITEM: item.item})))
        return matches

    def _below(self, category: str) -> list[int]:
        chosen = [places for name, places in self._categories.items() if within(name, category)]
        return chosen[0] if len(chosen) == 1 else sorted(place for places in chosen for place in places)

    def _decide(self, musts: list[Constraint], places: list[int], fails: bool) -> tuple[list[int], list[int]]:
        """Return the places that stay, and of every place 0 if it fits, 1 if it asks, 1 + its distance if it fails."""
        asks, distances = bytearray(len(self._items)), [0] * len(self._items)
        for wish in musts:
            column, table = self._table(wish)
            ids = column.ids
            if _UNKNOWN in table and wish.on_unknown == "ask":
                for place in places:
                    if table[ids[place]] == _UNKNOWN:
                        asks[place] = 1
            wrong = {_UNMET, _UNKNOWN} if wish.on_unknown == "reject" else {_UNMET}
            if wrong.isdisjoint(table):
                continue
            if fails:
                away = [column.distance(wish, at) if verdict in wrong else 0 for at, verdict in enumerate(table)]
                for place in places:
                    distances[place] += away[ids[place]]
            else:
                places = [place for place in places if table[ids[place]] not in wrong]
        return places, [1 + distance if distance else ask for ask, distance in zip(asks, distances, strict=True)]

    def _count(self, wants: list[Constraint], places: list[int]) -> list[int]:
        met = [0] * len(self._items)
        for wish in wants:
            column, table = self._table(wish)
            if _MET in table:
                for place in places:
                    met[place] += table[column.ids[place]] == _MET
        return met

    def _table(self, wish: Constraint) -> tuple["_Column", bytearray]:
        """Return the column a wish is about, and the verdict on each of its values."""
        path = tuple(wish.path.split(".")[1:])
        path = path if path in self._paths else ()
        if path not in self._columns:
            self._columns[path] = _Column(path, [item.item for item in self._items])
        column = self._columns[path]
        return column, column.verdicts(wish)


def _paths(value: Any, path: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    if path:
        yield path
    for part in value if isinstance(value, list) else (value,):
        if isinstance(part, dict):
            for name, inner in part.items():
                yield from _paths(inner, (*path, name))


# What stands under a path, in the order of a column's values. Plain ints: they are hashed once per item.
_NOTHING = 0
_PLAIN = 1  # a decimal string
_QUANTITY = 2  # {"value": a decimal string, "unitCode"?}
_TEXT = 3
_OTHER = 4


class _Leaf(NamedTuple):
    kind: int
    unit: str | None
    text: str


_ABSENT = _Leaf(_NOTHING, None, "")


def _leaves(items: Sequence[dict[str, Any]], path: tuple[str, ...]) -> list[_Leaf]:
    """Return what stands under the path in each item."""
    texts: dict[str, _Leaf] = {}
    leaves = []
    for item in items:
        value = _walk(item, path) if path else None
        if value is None:
            leaf = _ABSENT
        elif isinstance(value, str):
            if value not in texts:
                texts[value] = _Leaf(_PLAIN if _is_decimal(value) else _TEXT, None, value)
            leaf = texts[value]
        elif _is_quantity(value):
            leaf = _Leaf(_QUANTITY, value.get("unitCode"), value["value"])
        else:
            leaf = _Leaf(_OTHER, None, repr(item[path[0]]))
        leaves.append(leaf)
    return leaves


def _walk(value: Any, path: tuple[str, ...]) -> Any:
    """Return what stands under the path, the first list on the way, or None."""
    for step in path:
        if isinstance(value, list):
            return value
        if not isinstance(value, dict):
            return None
        value = value.get(step)
    return value


def _is_quantity(value: Any) -> bool:
    plain = isinstance(value, dict) and "priceCurrency" not in value
    return plain and _is_decimal(value.get("value")) and isinstance(value.get("unitCode"), str | None)


def _is_decimal(text: object) -> bool:
    try:
        parse_decimal(text)
    except ValueError:
        return False
    return True


def _order(leaf: _Leaf) -> tuple[int, bool, str, Decimal]:
    number = Decimal(leaf.text) if leaf.kind in (_PLAIN, _QUANTITY) else Decimal(0)
    return leaf.kind, leaf.unit is not None, leaf.unit or "", number


class _Group(NamedTuple):
    """Numbers in one unit, ascending; `start` is the id of the first."""

    kind: int
    unit: str | None
    start: int
    numbers: list[Decimal]


class _Column:
    """One path in every item: the id of each place's value, and what a constraint makes of each value.

    Ids run: 0 for nothing there, then numbers by unit and size, then texts, then the rest.
    """

    def __init__(self, path: tuple[str, ...], items: Sequence[dict[str, Any]]) -> None:
        leaves = _leaves(items, path)
        samples = dict(zip(leaves, items, strict=True)) | {_ABSENT: {}}
        values = sorted(samples, key=_order)
        places = {leaf: at for at, leaf in enumerate(values)}
        self.ids = [places[leaf] for leaf in leaves]
        self._texts: dict[str, list[int]] = defaultdict(list)
        self._groups: list[_Group] = []
        self._tokens: dict[str, set[int]] | None = None
        for at, leaf in enumerate(values):
            if leaf.kind not in (_NOTHING, _OTHER):
                self._texts[_text(leaf)].append(at)
            if leaf.kind in (_PLAIN, _QUANTITY):
                if not self._groups or self._groups[-1][:2] != leaf[:2]:
                    self._groups.append(_Group(leaf.kind, leaf.unit, at, []))
                self._groups[-1].numbers.append(Decimal(leaf.text))
        self._values = values
        self._known = sum(leaf.kind != _OTHER for leaf in values)
        self._subjects = [{_ITEM: {path[0]: samples[leaf][path[0]]}} for leaf in values[self._known :]]

    def verdicts(self, wish: Constraint) -> bytearray:
        """Return the verdict on each value."""
        table = self._judge_known(wish)
        table[0] = _CODE[evaluate(wish, {}).verdict]
        table.extend(_CODE[evaluate(wish, subject).verdict] for subject in self._subjects)
        return table

    def distance(self, wish: Constraint, at: int) -> int:
        """Return how far a value that breaks a must-have is from meeting it, 1 to FAR."""
        leaf = self._values[at]
        if leaf.kind not in (_PLAIN, _QUANTITY) or wish.op not in ("ge", "le", "between") or wish.currency:
            return FAR
        number = convert(Decimal(leaf.text), leaf.unit, wish.unit)
        if number is None:
            return FAR
        low, high = wish.value if wish.op == "between" else (wish.value, wish.value)
        bound = Decimal(low) if wish.op == "ge" or (wish.op == "between" and number < Decimal(low)) else Decimal(high)
        return min(FAR, 1 + int(abs(number - bound) * FAR / abs(bound))) if bound else FAR

    def _judge_known(self, wish: Constraint) -> bytearray:
        """Judge numbers and texts, a single one under the path, as `evaluate` does."""
        if wish.op == "exists":
            return self._all(_UNMET if wish.value is False else _MET)
        if wish.op == "like":
            return self._judge_words(_TOKEN.findall(_lower(str(wish.value))))
        if isinstance(wish.value, bool):
            return self._all(_UNKNOWN)
        if wish.op in ("eq", "in"):
            return self._judge_choice(wish, wish.value if wish.op == "in" else [wish.value])
        table = self._all(_UNKNOWN)
        low, high = wish.value if wish.op == "between" else (wish.value, wish.value)
        for group in self._groups:
            if _comparable(wish, group):
                self._mark(table, group, wish.unit, None if wish.op == "le" else low, None if wish.op == "ge" else high)
        return table

    def _judge_choice(self, wish: Constraint, choices: list[str]) -> bytearray:
        measured = bool(wish.unit or wish.currency)  # then words cannot be compared with it
        table = self._all(_UNKNOWN if measured else _UNMET)
        for choice in () if measured else choices:
            for at in self._texts.get(_lower(choice), ()):
                table[at] = _MET
        numbers = [choice for choice in choices if _is_decimal(choice)]
        for group in self._groups:
            if numbers and _comparable(wish, group):
                for at, number in enumerate(numbers):
                    self._mark(table, group, wish.unit, number, number, again=at > 0)
            elif group.kind == _QUANTITY:
                table[group.start : group.start + len(group.numbers)] = bytes([_UNKNOWN]) * len(group.numbers)
        return table

    def _judge_words(self, wanted: list[str]) -> bytearray:
        if self._tokens is None:
            self._tokens = defaultdict(set)
            for text, ids in self._texts.items():
                for word in _TOKEN.findall(text):
                    self._tokens[word].update(ids)
        table = self._all(_UNMET)
        found = [self._tokens.get(word, set()) for word in wanted]
        for at in set.intersection(*found) if found else ():
            table[at] = _MET
        return table

    def _all(self, verdict: int) -> bytearray:
        return bytearray([verdict]) * self._known

    def _mark(
        self, table: bytearray, group: _Group, unit: str | None, low: str | None, high: str | None, again: bool = False
    ) -> None:
        """Mark a group's numbers from `low` to `high` as met, and the others as unmet unless it is done `again`.

        Conversion rounds but never swaps two numbers, so that bisection finds what comparing each would.
        """

        def converted(number: Decimal) -> Decimal:
            return convert(number, group.unit, unit) or Decimal(0)

        count = len(group.numbers)
        start = 0 if low is None else bisect_left(group.numbers, Decimal(low), key=converted)
        stop = count if high is None else bisect_right(group.numbers, Decimal(high), key=converted)
        if not again:
            table[group.start : group.start + count] = bytes(count)
        if start < stop:
            table[group.start + start : group.start + stop] = bytes([_MET]) * (stop - start)


def _comparable(wish: Constraint, group: _Group) -> bool:
    return wish.currency is None and convert(Decimal(1), group.unit, wish.unit) is not None


def _lower(text: str) -> str:
    return text.lower() if text.isascii() else text.translate(_LOWER)


def _text(leaf: _Leaf) -> str:
    return _lower(f"{leaf.text} {leaf.unit}" if leaf.unit else leaf.text)
