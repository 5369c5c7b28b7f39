"""Makes and models of cars, and what a car or a thing is like: body, fuel, gearbox, colour, condition.

The table comes with us; `Makes.learn` adds what a vendor's feed names.
"""

from collections.abc import Iterable
from functools import cache
from importlib.resources import files
from typing import Final

from intentcast_agent.person.drafting.tokens import Table, Token, listed

Row = tuple[str, str, bool]  # make, model or "", whether it counts only beside its make or in talk of a car
MAX_LEARNT = 20_000  # models
# Everyday words of English or German that are models, too.
_EVERYDAY = listed(
    "accent accord adam alto ami avenger beetle bolt born boxer bravo cabrio caddy california caravan challenger "
    "charger colt combo compass cooper crafter defender discovery dolphin e edge eos equinox escape expert "
    "explorer fit focus forte fox fusion galaxy impala insight jazz jogger journey jumper ka karl lancer leaf "
    "legacy logan malibu master mini mirai mustang niro note odyssey one optima outback partner pilot plus pulsar "
    "puma ram ranger rapid rio rogue scala seal sierra soul spark spirit splash sport spring stinger swift "
    "terrain tiger tipo toledo traffic trafic transit transporter up vision voyager"
)
_ATTRIBUTES = {
    "body": {
        "Estate": (
            "estate|kombi|station wagon|stationwagon|wagon|combi|touring|avant|variant|sw|sports tourer|"
            "sportwagon|kombis|"
            "t modell|grandtour|estates|break|sportback kombi|turnier|st line kombi|familienkombi|"
            "dieselkombi|sportstourer|st"
        ),
        "Sedan": "sedan|saloon|limousine|stufenheck|limo",
        "SUV": "suv|4x4 suv|geländewagen|crossover|suvs|offroader|jeep like",
        "Hatchback": "hatchback|schrägheck|hatch|kompaktwagen|kompaktklasse|fließheck",
        "Convertible": "convertible|cabrio|cabriolet|cabriolets|roadster|drop top|soft top",
        "Coupe": "coupe|coupé",
        "Minivan": "minivan|mpv|people carrier|van|familienvan|minibus|großraumlimousine|kleinbus|people mover",
        "City car": (
            "city car|kleinwagen|stadtauto|kleinstwagen|small car|stadtflitzer|little car|runabout|runaround|supermini"
        ),
        "Truck": "pickup|pick up|pickup truck|pritsche",
    },
    "fuel": {
        "Diesel": "diesel|tdi|hdi|cdi|dci|crdi|bluehdi|diesels|dieselkombi|cdti|tdci|jtd|multijet|dieselmotor",
        "Petrol": (
            "petrol|gasoline|benzin|benziner|tsi|tfsi|tce|ecoboost|benzinmotor|super benzin|gas powered|unleaded|otto"
        ),
        "Plug-in hybrid": "plug in hybrid|phev|plug in|plugin hybrid|plugin",
        "Hybrid": "hybrid|full hybrid|mild hybrid|vollhybrid|hev|hybridantrieb|hybrids",
        "Electric": (
            "electric|ev|bev|elektro|elektroauto|e auto|elektrisch|stromer|all electric|fully electric|"
            "elektrischer|elektrisches|vollelektrisch|elektroautos|elektrofahrzeug"
        ),
        "LPG": "lpg|autogas|flüssiggas",
        "CNG": "cng|erdgas|natural gas",
    },
    "gearbox": {
        "Automatic": (
            "automatic|automatik|automatikgetriebe|dsg|tiptronic|s tronic|auto gearbox|automatic transmission|cvt|"
            "automatic gearbox|autom|automat|auto box|doppelkupplung|automatikschaltung"
        ),
        "Manual": (
            "manual|schaltgetriebe|handschaltung|schalter|stick shift|handschalter|manuell|manual gearbox|"
            "schaltwagen|gangschaltung|"
            "manual transmission|stick|manuelle schaltung|handgeschaltet|manuelles getriebe"
        ),
    },
    "colour": {
        "Black": "black|schwarz|schwarze|schwarzer|schwarzes|schwarzen",
        "White": "white|weiß|weiße|weißer|weißes|weißen",
        "Red": "red|rot|rote|roter|rotes|roten",
        "Blue": "blue|blau|blaue|blauer|blaues|blauen|dunkelblau|dark blue|navy|hellblau|light blue",
        "Green": "green|grün|grüne|grüner|grünes|grünen|dunkelgrün",
        "Grey": "grey|gray|grau|graue|grauer|graues|grauen|anthrazit|dunkelgrau|anthracite",
        "Silver": "silver|silber|silbern|silberne|silberner|silbernes|silbergrau",
        "Yellow": "yellow|gelb|gelbe|gelber|gelbes",
        "Orange": "orange",
        "Brown": "brown|braun|braune|brauner|braunes",
        "Beige": "beige",
        "Gold": "gold|golden",
        "Purple": "purple|violet|lila|violett",
    },
    "condition": {
        "used": (
            "used|second hand|secondhand|pre owned|preowned|gebraucht|gebrauchte|gebrauchter|gebrauchtes|gebrauchten|"
            "gebrauchtwagen|jahreswagen|gebrauchtes auto|vorführwagen|2nd hand"
        ),
        "new": "new|brand new|neuwagen|neu|fabrikneu|neuer|neues|nagelneu|neuwertig|unused|neuen",
    },
}
ATTRIBUTES: Final = {
    name: Table[str]((phrase, value) for value, phrases in values.items() for phrase in phrases.split("|"))
    for name, values in _ATTRIBUTES.items()
}


def synonyms(name: str, value: str) -> list[str]:
    """Return how feeds may write a value, itself first: Estate, Station wagon, Kombi…"""
    if name == "make":
        return [value, *makes().aliases.get(value, ())]
    few = {
        "Estate": ["Station wagon", "Wagon", "Kombi"],
        "Sedan": ["Saloon", "Limousine"],
        "Petrol": ["Gasoline", "Benzin"],
        "Minivan": ["MPV", "Van"],
        "City car": ["Hatchback"],
        "SUV": ["Compact SUV", "Crossover"],
        "Electric": ["Elektro"],
        "Automatic": ["Semi-automatic", "CVT", "Automatik"],
        "Manual": ["Schaltgetriebe"],
        "Convertible": ["Cabrio", "Roadster"],
    }
    return [value, *few.get(value, ())]


class Makes:
    """The makes and models known, found among words."""

    def __init__(self, lines: Iterable[str]) -> None:
        self.aliases: dict[str, tuple[str, ...]] = {}
        self._rows: list[tuple[str, Row]] = []
        self._models: dict[str, Table[Row]] = {}
        for line in lines:
            if line.strip() and not line.startswith("#"):
                make, aliases, models = line.rstrip("\n").split("\t")
                self._add(make, aliases.split(",") if aliases else [], models.split(","))
        self.table = Table[Row](self._rows)

    def _add(self, make: str, aliases: Iterable[str], models: Iterable[str]) -> None:
        others = tuple(aliases)
        self.aliases.setdefault(make, tuple(one.upper() if len(one) < 4 else one.title() for one in others))
        self._rows += [(name, (make, "", False)) for name in (make, *others)]
        for written in models:
            model, _, more = written.partition("=")
            for name in filter(None, (model, *more.split("|"))):
                self._rows.append((name, (make, model, _is_weak(name))))

    def learn(self, pairs: Iterable[tuple[str, str]]) -> "Makes":
        """Return a table that also knows these makes and models, at most MAX_LEARNT, such as a feed's."""
        more = Makes(())
        more.aliases, more._rows = dict(self.aliases), list(self._rows)
        known = {name.casefold() for name in self.aliases}
        for make, model in list(pairs)[:MAX_LEARNT]:
            if 0 < len(make) <= 60 and 0 < len(model) <= 60:
                own = next((one for one in self.aliases if one.casefold() == make.casefold()), make)
                more._add(own, () if own.casefold() in known else (own,), (model.replace("=", " "),))
        more.table = Table[Row](more._rows)
        return more

    def find(self, tokens: list[Token], *, in_car: bool) -> list[tuple[str, str, int, int]]:
        """Return makes and models with their tokens; a weak model needs its make before it, or talk of a car."""
        found: list[tuple[str, str, int, int]] = []
        at = 0
        while at < len(tokens):
            hit = self.table.find(tokens, at)
            if hit is None:
                at += 1
                continue
            end, (make, model, weak) = hit
            beside = found[-1] if found and found[-1][3] == at else None
            owner = beside[0] if beside else None
            if model:
                own = self._of(owner, tokens, at) if owner else None
                if own:
                    end, make, model, weak = *own, False
                elif weak and (again := self._again(found, tokens, at)):
                    end, make, model = again
                elif weak and not self._precedes(make, tokens, end) and not (in_car and _is_code(tokens, at, end)):
                    at += 1
                    continue
            found.append((make, model, at, end))
            at = end
        return found

    def _again(
        self, found: list[tuple[str, str, int, int]], tokens: list[Token], at: int
    ) -> tuple[int, str, str] | None:
        """Another model of a make named before, with its capital: "Renault Twingo oder Zoe"."""
        if len(tokens[at].key) < 3 or not tokens[at].text[0].isupper():
            return None
        return next(filter(None, (self._of(make, tokens, at) for make in dict.fromkeys(one[0] for one in found))), None)

    def _precedes(self, make: str, tokens: list[Token], at: int) -> bool:
        """Whether the make follows its model: "ein 3er BMW"."""
        hit = self.table.find(tokens, at) if at < len(tokens) else None
        return hit is not None and hit[1] == (make, "", False)

    def _of(self, make: str, tokens: list[Token], at: int) -> tuple[int, str, str] | None:
        """The longest model of one make at a token: a Volkswagen up, not anybody's."""
        if make not in self._models:
            self._models[make] = Table[Row]((name, row) for name, row in self._rows if row[0] == make and row[1])
        hit = self._models[make].find(tokens, at)
        return (hit[0], hit[1][0], hit[1][1]) if hit else None


def _is_weak(name: str) -> bool:
    letters = name.replace(" ", "").replace("-", "").replace(".", "")
    return name.casefold() in _EVERYDAY or len(letters) < 4 or not letters.isalpha()


def _is_code(tokens: list[Token], begin: int, end: int) -> bool:
    """Whether these are letters with a number, such as A4 or XC60, or a name with its capital."""
    if begin and tokens[begin - 1].is_number and tokens[begin - 1].end == tokens[begin].start:
        return False
    key = "".join(token.key for token in tokens[begin:end] if token.key.isalnum())
    apart = any(one.end != other.start for one, other in zip(tokens[begin:end], tokens[begin + 1 : end], strict=False))
    if apart and len(tokens[begin].key) == 1:
        return False
    return (key[0].isalpha() and any(sign.isdigit() for sign in key)) or (
        len(key) > 3 and begin > 0 and tokens[begin].text[0].isupper()
    )


@cache
def makes() -> Makes:
    """Return the makes that come with us."""
    return Makes(files(__package__).joinpath("makes.tsv").read_text(encoding="utf-8").splitlines())


CAR_WORDS: Final = frozenset[str]().union(*(table.words for table in ATTRIBUTES.values()), makes().table.words)
