"""A reading becomes a draft to look over and edit: the TOML that `person.draft` reads.

What the words say of a place is a city's middle and a radius, published as cells of 20 km or more; street, postcode,
telephone and mail never get here. DESIGN §6
"""

import json
import re
from decimal import Decimal

from intentcast_protocol.limits import MAX_LIFE
from intentcast_protocol.quantity import convert, money, symbol

from intentcast_agent.person.draft import ADMIT, DraftError
from intentcast_agent.person.drafting.cities import city
from intentcast_agent.person.drafting.gazetteer import synonyms
from intentcast_agent.person.drafting.kinds import CARS, INSURANCE
from intentcast_agent.person.drafting.reading import Reading, read_words
from intentcast_agent.person.drafting.sheet import Slot
from intentcast_agent.person.drafting.tokens import MOST

PATHS = {
    "body": "itemOffered.bodyType", "fuel": "itemOffered.fuelType", "gearbox": "itemOffered.vehicleTransmission",
    "colour": "itemOffered.color", "condition": "itemOffered.itemCondition", "year": "itemOffered.vehicleModelDate",
    "mileage": "itemOffered.mileageFromOdometer", "power": "itemOffered.vehicleEngine.enginePower",
    "data": "itemOffered.dataAllowance", "contract": "itemOffered.contractLength", "delivery": "deliveryLeadTime",
    "warranty": "warranty.durationOfWarranty", "deductible": "itemOffered.deductible",
    "covered": "itemOffered.coveredAmount", "coverage": "itemOffered.coverageType",
    "make": "itemOffered.manufacturer", "model": "itemOffered.model", "price": "priceSpecification",
}  # fmt: skip
_CONDITIONS = {"new": "NewCondition", "used": "UsedCondition"}
_HIDDEN = frozenset({"near", "radius", "expires"})
_RADIUS = 50  # km, where none is said
_NAME, _DESCRIPTION = 200, 2_000  # characters


def from_words(words: str, now: int) -> str:
    """Turn plain words into a draft to look over and edit; raises DraftError when they name no kind of thing."""
    return template_of(read_words(words, now))


def template_of(reading: Reading) -> str:
    """Write the draft of a reading; raises DraftError when the words name no kind of thing."""
    category = reading.slot("category")
    if category is None or not isinstance(category.value, str):
        raise DraftError(
            "Name what you want, such as a car, a phone plan, a plumber or an insurance; or start from --template."
        )
    lines = [f"name = {_quote(_title(reading))}"]
    # What nobody read may hold an address.
    rest = reading.rest.removesuffix(reading.text[MOST:].strip()).strip(" ,")
    if len(reading.text.strip()) > _NAME and _printable(rest):
        lines.append(f"description = {_quote(rest[:_DESCRIPTION])}")
    lines += [f"category = {_quote(category.value)}", f"type = {_quote(_type(category.value))}"]
    lines += [*_price(reading), *_area(reading), _expires(reading), "rounds = 5"]
    lines += [f"admit = [{', '.join(map(_quote, ADMIT))}]", *_like(reading)]
    for names in _grouped(reading):
        lines += _constraint(names)
    lines += ["", "[private]", _reserve(reading)]
    return "\n".join(lines) + "\n"


def _type(category: str) -> str:
    if category == CARS:
        return "Car"
    if category.startswith(INSURANCE):
        return "FinancialProduct"
    return "Service" if category.startswith("services/") else "Product"


def _title(reading: Reading) -> str:
    """The person's own words, without the place, the deadline and what is nobody's business."""
    text = reading.text
    for words in reading.withheld:
        text = text.replace(words, " " * len(words))
    for slot in reading.slots:
        if slot.name in _HIDDEN:
            text = text[: slot.start] + " " * (slot.end - slot.start) + text[slot.end :]
    shown = re.sub(r"(?: ?[,;:(]){2,} ?", ", ", _printable(text)).strip(" ,;")
    return shown[:_NAME].strip() or str(_short(reading))


def _short(reading: Reading) -> str:
    category = reading.slot("category")
    return str(category.value).rpartition("/")[2].replace("-", " ") if category else "Something wanted"


def _price(reading: Reading) -> list[str]:
    price = reading.slot("price")
    if price is None or price.strength == "want" or price.op == "ge" or price.currency is None:
        return []
    top = price.value if isinstance(price.value, str) else price.value[1]
    lines = [f"max_price = {_quote(f'{_amount(top, price.currency)} {price.currency}')}"]
    return lines + ([f"per = {_quote(price.unit)}"] if price.unit else [])


def _amount(value: str, currency: str) -> str:
    whole = Decimal(value)
    return format(whole, "f") if whole == whole.to_integral_value() else money(whole, currency)


def _area(reading: Reading) -> list[str]:
    countries = [str(slot.value) for slot in reading.slots if slot.name == "country"]
    near, radius = reading.slot("near"), reading.slot("radius")
    found = city(str(near.value)) if near else None
    lines = []
    if found:
        km = Decimal(_RADIUS)
        if radius and isinstance(radius.value, str):
            km = convert(Decimal(radius.value), radius.unit, "KMT") or km
        where = (
            f"{{ lat = {found.lat}, lon = {found.lon}, radius_km = {min(max(km, Decimal(1)), Decimal(5_000)):.0f} }}"
        )
        lines.append(f"near = {where}  # {found.label}; published only as cells of 20 km or more")
    if countries:
        lines.append(f"countries = [{', '.join(_quote(code) for code in dict.fromkeys(countries))}]")
    return lines


def _expires(reading: Reading) -> str:
    slot = reading.slot("expires")
    if slot is None or not isinstance(slot.value, str):
        return 'expires = "7d"'
    seconds = int(slot.value[:-1]) * (3_600 if slot.value[-1] == "h" else 86_400)
    if seconds > MAX_LIFE:
        return f'expires = "{MAX_LIFE // 86_400}d"  # you said {_printable(slot.words)}; no demand lives longer'
    return f"expires = {_quote(slot.value)}" if seconds >= 3_600 else 'expires = "1h"'


def _like(reading: Reading) -> list[str]:
    """What is wished for like a thing named: make, model and the year it stands for, the first of each."""
    names = {"make": "manufacturer", "model": "model", "year": "vehicleModelDate"}
    found: dict[str, str] = {}
    for slot in reading.slots:
        is_year = slot.name == "year" and slot.op == "eq"
        if slot.name in names and slot.strength == "want" and (slot.name != "year" or is_year):
            found.setdefault(names[slot.name], str(slot.value))
    several = {slot.name for slot in reading.slots if len(_of(reading, slot.name)) > 1}
    pairs = [f"{key} = {_quote(value)}" for key, value in found.items() if _back(names, key) not in several]
    return [f"like = {{ {', '.join(pairs)} }}"] if pairs else []


def _back(names: dict[str, str], wire: str) -> str:
    return next(name for name, path in names.items() if path == wire)


def _of(reading: Reading, name: str) -> list[Slot]:
    return [slot for slot in reading.slots if slot.name == name]


def _grouped(reading: Reading) -> list[list[Slot]]:
    """Slots that become constraints, those of one name and strength together: diesel or petrol is one wish."""
    groups: dict[tuple[str, str], list[Slot]] = {}
    for slot in reading.slots:
        several = len(_of(reading, slot.name)) > 1
        in_like = slot.strength == "want" and (
            (slot.name == "year" and slot.op == "eq") or slot.name in ("make", "model")
        )
        is_budget = slot.name == "price" and slot.strength == "must" and slot.op != "ge"
        if slot.name in PATHS and not (in_like and not several) and not is_budget:
            groups.setdefault((slot.name, slot.strength), []).append(slot)
    return sorted(groups.values(), key=lambda group: group[0].strength)


def _constraint(slots: list[Slot]) -> list[str]:
    first = slots[0]
    lines = [
        "",
        f"# {_printable(first.words[:80]) or 'suggested'}",
        f"[[{first.strength}]]",
        f"path = {_quote(PATHS[first.name])}",
    ]
    if first.op == "eq" and first.name != "year":
        values = [value for slot in slots for value in _values(slot)]
        told = _quote(values[0]) if len(values) == 1 else f"[{', '.join(map(_quote, dict.fromkeys(values)))}]"
        # "Ravenna Blue" is blue; only a want may be likened.
        one = "like" if first.name == "colour" and first.strength == "want" else "eq"
        return [*lines, f'op = "{one if len(values) == 1 else "in"}"', f"value = {told}"]
    lines.append(f'op = "{first.op}"')
    if isinstance(first.value, tuple):
        lines.append(f"value = [{', '.join(_quote(_number(first, value)) for value in first.value)}]")
    else:
        lines.append(f"value = {_quote(_number(first, first.value))}")
    if first.unit:
        lines.append(f"unit = {_quote(first.unit)}")
    if first.currency:
        lines.append(f"currency = {_quote(first.currency)}")
    return [*lines, 'unknown = "ask"'] if first.strength == "must" else lines


def _number(slot: Slot, value: str) -> str:
    return money(Decimal(value), slot.currency) if slot.currency else value


def _values(slot: Slot) -> list[str]:
    value = str(slot.value)
    if slot.name == "condition":
        return [_CONDITIONS.get(value, value), value]
    return synonyms(slot.name, value)


def _reserve(reading: Reading) -> str:
    price = reading.slot("price")
    example = "17900 EUR" if price is None or price.currency is None else f"{_example(price)} {price.currency}"
    return f'# reserve = "{example}"   # the most you would pay; it never leaves'


def _example(price: Slot) -> str:
    top = Decimal(price.value if isinstance(price.value, str) else price.value[1])
    return format((top * Decimal("0.95")).quantize(Decimal(1)), "f")


def understood(reading: Reading) -> list[tuple[str, str, str, str]]:
    """Return what was understood for a person to check: name, value, must or want, and the words it came from."""
    return [(slot.name, _told(slot), slot.strength, slot.words) for slot in reading.slots]


def _told(slot: Slot) -> str:
    value = slot.value if isinstance(slot.value, str) else " to ".join(slot.value)
    sign = {"le": "at most ", "ge": "at least "}.get(slot.op, "") if slot.name not in ("expires", "radius") else ""
    measure = " ".join(filter(None, (slot.currency, _per(slot))))
    return f"{sign}{value} {measure}".strip()


def _per(slot: Slot) -> str:
    if slot.unit is None:
        return ""
    return (
        f"per {({'MON': 'month', 'ANN': 'year', 'HUR': 'hour'}).get(slot.unit, slot.unit)}"
        if slot.currency
        else symbol(slot.unit)
    )


def _quote(text: str) -> str:
    return json.dumps(_printable(text), ensure_ascii=False)


def _printable(text: str) -> str:
    return " ".join("".join(sign if sign.isprintable() else " " for sign in text).split())
