"""What an offer costs a person in all: the vendor's total over the time they give, and what they add themselves.

Currencies are mixed only at a rate the person gave, units only by the shipped table. What cannot be put beside the
others has no amount, and the reason why. DESIGN §6
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from decimal import ROUND_HALF_UP, Context, Decimal, DecimalException

from intentcast_protocol.quantity import convert, minor_digits, parse_decimal
from intentcast_protocol.vocabulary import Price

# As many digits as fifteen of an amount times nine of a rate; more is no price.
_ARITHMETIC = Context(prec=34, rounding=ROUND_HALF_UP)


@dataclass(frozen=True, slots=True)
class Basis:
    """What costs are expressed in: a currency, once (None) or per `unit`, e.g. MON."""

    currency: str
    unit: str | None


@dataclass(frozen=True, slots=True)
class Costing:
    """How a person counts costs: what they add once, over how many months, in which currency, at which rates."""

    extra: Decimal = field(default=Decimal(0), repr=False)
    extra_currency: str | None = None
    months: int | None = None
    currency: str | None = None
    rates: Mapping[str, Decimal] = field(default_factory=dict)  # one unit of a currency, in the basis's


@dataclass(frozen=True, slots=True)
class Cost:
    """The cost of one offer on a basis; without an amount it cannot be compared, and `why` says so."""

    amount: Decimal | None
    why: str = ""


def find_basis(named: str | None, unit: str | None, *, unit_named: bool, prices: Iterable[Price]) -> Basis | None:
    """Return the basis that is named, or the only one that prices have; None where they differ and nothing decides.

    Nothing is decided by what most offers use: one more offer would then change how all others stand.
    """
    found = {
        (named or price.currency, unit if unit_named else price.unit)
        for price in prices
        if named is None or price.currency == named
    }
    if named is not None and unit_named:
        found = {(named, unit)}
    elif named is not None and not found:
        found = {(named, None)}
    return Basis(*found.pop()) if len(found) == 1 else None


def cost_of(price: Price, costing: Costing, basis: Basis) -> Cost:
    """Return what a price comes to on a basis, with what the person adds. Never raises."""
    if (price.currency, price.unit) == (basis.currency, basis.unit) and not costing.extra:
        return Cost(price.total)
    try:
        amount = _once(price, costing, basis)
        if isinstance(amount, str):
            return Cost(None, amount)
        rate = _rate(price.currency, costing, basis)
        if rate is None:
            return Cost(None, f"{price.currency}, and you gave no rate into {basis.currency}")
        amount = _ARITHMETIC.multiply(amount, rate)
        if adds(costing, basis):
            extra_rate = _rate(costing.extra_currency or basis.currency, costing, basis)
            amount = _ARITHMETIC.add(amount, _ARITHMETIC.multiply(costing.extra, extra_rate or Decimal(0)))
        amount = amount.quantize(Decimal(1).scaleb(-minor_digits(basis.currency)), context=_ARITHMETIC)
        parse_decimal(format(amount, "f"))
    except (DecimalException, ValueError):
        return Cost(None, "the amount is too large to be counted with")
    return Cost(amount)


def adds(costing: Costing, basis: Basis) -> bool:
    """Say whether what the person adds can be counted: it is paid once, and in a currency there is a rate for."""
    return basis.unit is None and _rate(costing.extra_currency or basis.currency, costing, basis) is not None


def _once(price: Price, costing: Costing, basis: Basis) -> Decimal | str:
    """Return a total per the basis's unit, or over the months the person gave; or why that cannot be."""
    if price.unit == basis.unit:
        return price.total
    if price.unit is None:
        return f"priced once, and not per {basis.unit}; say for how many months to count"
    if basis.unit is None:
        if costing.months is None:
            return f"priced per {price.unit}; say for how many months to count"
        times = convert(Decimal(costing.months), "MON", price.unit)
    else:
        times = convert(Decimal(1), basis.unit, price.unit)
    return f"priced per {price.unit}" if times is None else _ARITHMETIC.multiply(price.total, times)


def _rate(currency: str, costing: Costing, basis: Basis) -> Decimal | None:
    return Decimal(1) if currency == basis.currency else costing.rates.get(currency)
