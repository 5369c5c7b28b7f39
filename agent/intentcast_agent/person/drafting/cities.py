"""The cities of 100 000 people or more in Europe and North America, and countries by name.

The cities are GeoNames' (CC BY 4.0), to 0.01°; `cities.tsv` says how it was made.
"""

from importlib.resources import files
from typing import Final, NamedTuple

from intentcast_agent.person.drafting.tokens import Table


class City(NamedTuple):
    """A city: its name with country (and state, where there are several of a name), and its middle in degrees."""

    label: str
    country: str
    lat: float
    lon: float


_COUNTRIES = {
    "NL": "netherlands|the netherlands|holland|niederlande|niederlanden",
    "DE": "germany|deutschland|german",
    "AT": "austria|österreich",
    "CH": "switzerland|schweiz",
    "BE": "belgium|belgien",
    "FR": "france|frankreich",
    "ES": "spain|spanien",
    "PT": "portugal",
    "IT": "italy|italien",
    "GB": "united kingdom|uk|great britain|britain|england|grossbritannien|großbritannien|scotland|schottland|wales",
    "IE": "ireland|irland",
    "US": "united states|usa|america|u s|the states|us",
    "CA": "canada|kanada",
    "MX": "mexico|mexiko",
    "DK": "denmark|dänemark",
    "SE": "sweden|schweden",
    "NO": "norway|norwegen",
    "FI": "finland|finnland",
    "PL": "poland|polen",
    "CZ": "czechia|czech republic|tschechien",
    "SK": "slovakia|slowakei",
    "HU": "hungary|ungarn",
    "SI": "slovenia|slowenien",
    "HR": "croatia|kroatien",
    "RO": "romania|rumänien",
    "BG": "bulgaria|bulgarien",
    "GR": "greece|griechenland",
    "TR": "turkey|türkei",
    "LU": "luxembourg|luxemburg",
    "LI": "liechtenstein",
    "EE": "estonia|estland",
    "LV": "latvia|lettland",
    "LT": "lithuania|litauen",
    "UA": "ukraine",
    "RS": "serbia|serbien",
    "IS": "iceland|island",
}
CODES: Final = frozenset(_COUNTRIES)
COUNTRIES: Final = Table[str]((name, code) for code, names in _COUNTRIES.items() for name in names.split("|"))
COUNTRY_WORDS: Final = COUNTRIES.words


def _read() -> tuple[Table[City], dict[str, City]]:
    rows: list[tuple[str, City]] = []
    by_label: dict[str, City] = {}
    text = files(__package__).joinpath("cities.tsv").read_text(encoding="utf-8")
    for line in text.splitlines():
        if line.startswith("#"):
            continue
        name, country, state, lat, lon, others = line.split("\t")
        label = f"{name}, {country}"
        if label in by_label:
            label = f"{name}, {state or len(by_label)}, {country}"
        city = by_label[label] = City(label, country, float(lat), float(lon))
        rows += [(other, city) for other in (name, *others.split("|")) if other]
        if state:
            rows.append((f"{name}, {state}", city))
    return Table[City](rows), by_label


CITIES, _BY_LABEL = _read()
CITY_WORDS: Final = CITIES.words
# The table is in order of people; these are the larger ones, known without a word of place.
LARGE: Final = frozenset(list(_BY_LABEL)[:1_000])


def city(label: str) -> City | None:
    """Return a city by its label, such as ``Utrecht, NL``."""
    return _BY_LABEL.get(label)
