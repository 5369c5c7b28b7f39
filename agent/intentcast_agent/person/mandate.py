"""Reading a mandate file: about ten lines of TOML that say what the agent may do without asking.

Pure. Nothing of it is ever sent. PROTOCOL §7.4
"""

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from difflib import get_close_matches
from typing import Any, Final

from intentcast_protocol.demand import Demand
from intentcast_protocol.encoding import decode, encode
from intentcast_protocol.errors import InvalidMessage
from intentcast_protocol.mandate import ANY_VENDOR, KINDS, WORDS, Mandate, read_mandate
from intentcast_protocol.quantity import minor_digits, money

from intentcast_agent.person.draft import DraftError, read_amount, read_life

MANDATE_TEMPLATE: Final = """\
# What your agent may do without asking you, for one demand. Nothing in this file ever leaves this machine.
most = "17900.00 EUR"         # the most you would pay in all; it is never gone over and never told
# ask_above = "17500.00 EUR"  # above this you are asked before anything is signed
# target = "15500.00 EUR"     # what you hope to pay: where the haggling starts; left out, 15 % under an offer
rounds = 5                    # how many counters to one vendor
within = "2h"                 # when the haggling is over and the best offer is taken
expires = "1d"                # when this mandate ends
vendors = "any"               # or a list of their domains or keys
witnesses = 2                 # how many of your relays must have seen a vendor's domain for an accept without you

[acts]                        # auto: without asking; person: only you; never
ask = "auto"                  # what an offer does not state
counter = "auto"
accept = "person"             # auto lets the agent sign for you, within all of the above
decline = "never"             # nobody is declined while it haggles, whatever stands here

# [[bound]]                   # what every counter and every accept must keep to; as many as you like
# path = "deliveryLeadTime"   # or warranty.durationOfWarranty, addOn, or whatever an offer states
# op = "le"
# value = "14"
# unit = "DAY"

# [[ask_when]]                # offers that need you, whatever they cost
# path = "deviations"
# op = "exists"
"""

_KEYS = (
    "most", "per", "ask_above", "target", "rounds", "within", "expires", "vendors", "witnesses", "categories", "acts",
    "bound", "ask_when",
)  # fmt: skip
_ROW = ("path", "op", "value", "unit", "currency")
_ACTS: Final = {"ask": "auto", "counter": "auto", "accept": "person", "decline": "never"}
_MOST_ROWS = 60


@dataclass(frozen=True, slots=True)
class Instructions:
    """A mandate with the price to start from; `most` is its bound on the price. Amounts are in one currency."""

    mandate: Mandate = field(repr=False)
    most: Decimal = field(repr=False)
    target: Decimal | None = field(repr=False)
    currency: str
    unit: str | None


def read_instructions(text: str, demand: Demand, now: int, salt: bytes) -> Instructions:
    """Read a mandate file for one demand; raises DraftError naming the key.

    Times count from `now`; haggling ends with the demand at the latest. `salt` is 16 random bytes. What is left out is
    the careful choice: the person accepts, nobody is declined, two relays have seen a vendor's domain.
    """
    try:
        data = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise DraftError(f"The mandate is not valid TOML: {error}") from error
    _check_keys(data, _KEYS, "")
    most, currency = read_amount(data.get("most"), "most")
    if not most:
        raise DraftError("most is more than nothing: it is what you would pay at most.")
    unit = data.get("per")
    limit = {"path": "priceSpecification", "priceCurrency": currency} | ({"unitCode": unit} if "per" in data else {})
    bounds = [{**limit, "op": "le", "value": money(most, currency)}, *_rows(data, "bound")]
    person = _rows(data, "ask_when")
    if "ask_above" in data:
        above = _amount(data, "ask_above", currency) + Decimal(1).scaleb(-minor_digits(currency))
        person.append({**limit, "op": "ge", "value": money(above, currency)})
    expires = min(now + _life(data, "expires", "1d"), demand.expires)
    fields = {
        "acts": _acts(data.get("acts", {})),
        "bounds": bounds,
        "person": person,
        "categories": data.get("categories", [demand.category]),
        "vendors": [ANY_VENDOR] if data.get("vendors", "any") == "any" else data["vendors"],
        "witnesses": data.get("witnesses", 2),
        "rounds": data.get("rounds", 5),
        "deadline": min(now + _life(data, "within", "2h"), expires),
        "expires": expires,
        "salt": salt,
    }
    try:
        mandate = read_mandate(fields)
    except InvalidMessage as error:
        raise DraftError(f"{error.detail or error}.") from error
    target = _amount(data, "target", currency) if "target" in data else None
    if target is not None and target >= most:
        raise DraftError("target is less than most: it is where the haggling starts.")
    return Instructions(mandate, most, target, currency, unit)


def write_template(demand: Demand, reserve: tuple[Decimal, str] | None) -> str:
    """Return a mandate file for a demand, to look over: at most the private reserve, or else the public budget."""
    budget = demand.budget
    limit = reserve or ((budget.amount, budget.currency) if budget else None)
    most = f'most = "{money(*limit)} {limit[1]}"' if limit else 'most = ""'
    text = re.sub(r'(?m)^most = "[^"]*"( *)', lambda found: f"{most:<{len(found[0]) - 1}} ", MANDATE_TEMPLATE)
    per = f'per = "{budget.unit}"\n' if budget and budget.unit else ""
    return text.replace("rounds = 5  ", f"{per}rounds = {demand.max_rounds:<3}", 1)


def write_instructions(given: Instructions) -> bytes:
    """Return instructions as canonical bytes, to be stored sealed."""
    target = None if given.target is None else money(given.target, given.currency)
    most = money(given.most, given.currency)
    value = {"mandate": given.mandate.wire(), "most": most, "target": target, "currency": given.currency}
    return encode(value | {"unit": given.unit})


def restore_instructions(data: bytes) -> Instructions:
    """Read what `write_instructions` wrote."""
    value = decode(data)
    target = None if value["target"] is None else Decimal(value["target"])
    return Instructions(
        read_mandate(value["mandate"]), Decimal(value["most"]), target, value["currency"], value["unit"]
    )


def _check_keys(data: Mapping[str, Any], known: tuple[str, ...], where: str) -> None:
    for key in data:
        if key not in known:
            near = get_close_matches(key[:60], known, 1)
            meant = f"Did you mean {near[0]}?" if near else f"The keys are {', '.join(known)}."
            raise DraftError(f"{where}{key[:60]} is not a key of a mandate. {meant}")


def _amount(data: Mapping[str, Any], key: str, currency: str) -> Decimal:
    amount, stated = read_amount(data[key], key)
    if stated != currency:
        raise DraftError(f"{key} is in {stated}, but most is in {currency}.")
    return amount


def _life(data: Mapping[str, Any], key: str, default: str) -> int:
    try:
        return read_life(data.get(key, default))
    except DraftError as error:
        raise DraftError(f'{key} is a time such as "90m", "12h" or "7d", at most 30 days.') from error


def _acts(given: Any) -> dict[str, str]:
    if not isinstance(given, dict):
        raise DraftError("acts is a table: write [acts].")
    _check_keys(given, KINDS, "acts.")
    for name, word in given.items():
        if word not in WORDS:
            raise DraftError(f"acts.{name} is one of {', '.join(WORDS)}.")
    return _ACTS | given


def _rows(data: Mapping[str, Any], key: str) -> list[dict[str, Any]]:
    rows = data.get(key, [])
    if not isinstance(rows, list) or len(rows) > _MOST_ROWS or not all(isinstance(row, dict) for row in rows):
        raise DraftError(f"{key} is a list of at most {_MOST_ROWS} tables: write [[{key}]].")
    for at, row in enumerate(rows, 1):
        _check_keys(row, _ROW, f"{key} {at}: ")
    names = {"unit": "unitCode", "currency": "priceCurrency"}
    return [{names.get(name, name): value for name, value in row.items()} for row in rows]
