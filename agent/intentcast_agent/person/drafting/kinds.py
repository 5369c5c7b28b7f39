"""Which kind of thing is wanted: a car, a phone plan, a home repair, an insurance, or one of the common goods.

Goods use the paths of the merchant taxonomy, services paths of their own. PROTOCOL §6.1
"""

from typing import Final

from intentcast_agent.person.drafting.tokens import Table, Token, listed

CARS: Final = "vehicles-parts/vehicles/motor-vehicles/cars-trucks-vans"
PLANS: Final = "services/telecom/mobile-plans"
HOME: Final = "services/home"
INSURANCE: Final = "services/finance/insurance"

_CAR = (
    "car|cars|auto|autos|wagen|gebrauchtwagen|neuwagen|pkw|automobile|vehicle|fahrzeug|familienauto|"
    "familienkutsche|elektroauto|"
    "e auto|kleinwagen|jahreswagen|dienstwagen|firmenwagen|stadtauto|zweitwagen|kfz|motor car|geländewagen|"
    "karre|runabout|runaround|"
    "company car|used car|new car|van life|cabrio|suv|gebrauchter wagen|minivan|vorführwagen|kombi|"
    "hatchback|estate car|mpv"
)
_PLAN = (
    "phone plan|phone contract|mobile plan|mobile contract|mobile tariff|data plan|sim only|simonly|"
    "sim card|cell plan|"
    "cell phone plan|wireless plan|phone deal|mobile deal|handyvertrag|handytarif|mobilfunktarif|"
    "mobilfunkvertrag|mobilfunk|"
    "datentarif|smartphone tarif|smartphone vertrag|prepaid tarif|prepaid|sim karte|allnet flat|allnet|"
    "handy tarif|phone tariff|"
    "handy vertrag|cellphone plan|mobile phone plan|mobile phone contract|sim deal|handyflat|data sim|"
    "telefonvertrag|pay as you go|"
    "lte tarif|5g tarif|datenflat|mobiltarif|esim plan|cell phone contract|internetflat fürs handy"
)
_PHONE = "handy|phone|mobile|cell|smartphone|sim|esim|cellphone|mobilfunk|telefon"
_CONTRACT = "plan|contract|tariff|tarif|vertrag|deal|flat|abo|subscription|flatrate|package"
_TRADES = {
    "plumbing": (
        "plumber|plumbers|plumbing|klempner|klempnerin|installateur|sanitär|sanitärinstallateur|"
        "sanitär notdienst|spengler|"
        "rohrreinigung|klempnerei|gas wasser installateur|drain cleaning"
    ),
    "electrical": (
        "electrician|electricians|sparky|elektriker|elektrikerin|elektroinstallateur|elektrofachbetrieb|"
        "electrical work|elektrik"
    ),
    "painting": (
        "painter|painters|maler|malerin|malerbetrieb|anstreicher|decorator|painter and decorator|malerarbeiten|"
        "lackierer|painting"
    ),
    "roofing": "roofer|roofers|dachdecker|dachdeckerin|roofing|roof repair|dachreparatur|dachsanierung",
    "carpentry": (
        "carpenter|joiner|carpentry|tischler|schreiner|zimmermann|tischlerei|schreinerei|zimmerer|"
        "cabinet maker|tischlerin"
    ),
    "heating": (
        "heating engineer|heizungsbauer|heizungsmonteur|boiler repair|heating repair|heizungsinstallateur|"
        "heizungswartung|"
        "boiler service|heizungstechniker|gas engineer|hvac|heizungsreparatur"
    ),
    "locksmith": "locksmith|schlüsseldienst|schlosser|schlüsselnotdienst|lockout",
    "tiling": "tiler|tilers|tiling|fliesenleger|fliesenlegerin|fliesenarbeiten|plattenleger",
    "flooring": (
        "floor layer|flooring|bodenleger|parkettleger|parkett|laminat verlegen|floor fitter|floor sanding|bodenbeläge"
    ),
    "gardening": (
        "gardener|gardening|landscaper|gärtner|gärtnerin|gartenbau|gartenarbeit|tree surgeon|gartenpflege|"
        "lawn care|galabau"
    ),
    "cleaning": (
        "cleaner|cleaning|cleaning lady|putzfrau|putzhilfe|reinigungskraft|reinigungsfirma|gebäudereinigung|"
        "window cleaner|fensterputzer"
    ),
    "moving": "mover|movers|removal company|removals|umzugsfirma|umzugsunternehmen|umzug|moving company",
    "masonry": (
        "bricklayer|builder|maurer|stonemason|bauunternehmer|trockenbauer|plasterer|verputzer|stuckateur|mason"
    ),
    "windows": "glazier|glaser|window fitter|fensterbauer|rolladenbauer|double glazing",
    "": (
        "handyman|handwerker|odd job|handywoman|home repair|hausmeister|hausmeisterservice|tradesman|"
        "handyperson|allrounder"
    ),
}
_TROUBLES = {
    "plumbing": (
        "tap|faucet|leak|leaking|leaky|dripping|pipe|drain|blocked drain|toilet|sink|wasserhahn|tropft|"
        "rohr|rohrbruch|abfluss|"
        "verstopft|toilette|siphon|undicht|wasserrohr|klo|shower|dusche|waschbecken|burst pipe|armatur|"
        "spülkasten|cistern|rohrreiniger"
    ),
    "electrical": (
        "wallbox|socket|sockets|fuse box|fuse|wiring|steckdose|steckdosen|sicherung|sicherungskasten|lampen|"
        "rewire|rewiring|stromleitung|light switch|lichtschalter"
    ),
    "painting": (
        "paint|paint job|wallpaper|streichen|tapezieren|anstrich|repaint|wände streichen|anstreichen|lackieren"
    ),
    "roofing": "roof|roof leak|dach|dachrinne|gutter|gutters|dachziegel|roof tiles|ziegel",
    "heating": "boiler|heating|radiator|heizung|therme|heizkörper|gastherme|furnace|wärmepumpe|heat pump",
    "locksmith": "locked out|ausgesperrt|türschloss|door lock",
    "tiling": "tiles|fliesen|fliest|gefliest|tile|regrout|verfugen",
    "flooring": "laminate|laminat|floorboards|dielen|vinylboden|parquet|hardwood floor",
    "carpentry": "door fixed|fix a door|einbauschrank|shelves|kitchen fitting|küchenmontage|holzterrasse|decking",
    "gardening": "hedge|hecke|hecken|heckenschneiden|lawn|rasen|garden|garten|hedges|baumfällung",
    "cleaning": "clean my|putzen|deep clean|fensterputzen|end of tenancy clean",
}
# In this order: what an insurance is for, by the beginnings of the words around it.
_INSURED = {
    "vehicle": (
        "kfz|auto|autos|car|cars|vehicle|motor|motorrad|motorbike|motorcycle|moped|van|scooter|roller|"
        "wohnmobil|pkw|driving|camper"
    ),
    "bicycle": "fahrrad|bike|bicycle|e-bike|ebike|pedelec|rad|cycle|lastenrad",
    "pet": "hund|hunde|hundehalter|katze|katzen|pet|dog|cat|tier|pferd|horse|puppy|welpe|haustier|tierkranken|op",
    "travel": "reise|reiserücktritt|reisekranken|auslands|travel|trip|holiday|auslandskranken|urlaub|reiserücktritts",
    "health": "kranken|zahn|zahnzusatz|health|dental|private kranken|medical|krankenzusatz|brillen|pflege",
    "legal": "rechtsschutz|legal|rechts|verkehrsrechtsschutz",
    "home": (
        "hausrat|wohngebäude|home|house|contents|renters|gebäude|household|haus|flat|building|wohnung|tenant|"
        "elementar|buildings"
    ),
    "life": "leben|lebens|life|risikoleben|risikolebens|sterbegeld|term life",
    "accident": "unfall|accident",
    "disability": "berufsunfähigkeit|berufsunfähigkeits|disability|income protection|bu",
    "liability": "haftpflicht|privathaftpflicht|liability|phv",
}
_INSURING = "insurance|insure|versicherung|versichern|versicherungen|coverage|cover"
_COMPOUND = ("versicherung", "versicherungen", "haftpflicht", "schutzversicherung")
_GOODS = {
    "home-garden/household-appliances/laundry-appliances/washing-machines": (
        "washing machine|washer|waschmaschine|waschmaschinen"
    ),
    "home-garden/household-appliances/laundry-appliances/dryers": "tumble dryer|dryer|wäschetrockner|trockner",
    "home-garden/kitchen-dining/kitchen-appliances/dishwashers": "dishwasher|spülmaschine|geschirrspüler",
    "home-garden/kitchen-dining/kitchen-appliances/refrigerators": (
        "refrigerator|fridge|kühlschrank|fridge freezer|kühl gefrierkombination"
    ),
    "home-garden/kitchen-dining/kitchen-appliances/ovens": "oven|backofen|herd",
    "home-garden/kitchen-dining/kitchen-appliances/coffee-makers-espresso-machines": (
        "coffee machine|espresso machine|kaffeemaschine|kaffeevollautomat|coffee maker"
    ),
    "home-garden/household-appliances/vacuums": "vacuum cleaner|vacuum|staubsauger|saugroboter|hoover|robot vacuum",
    "home-garden/lawn-garden/outdoor-power-equipment/lawn-mowers": "lawn mower|lawnmower|rasenmäher|mähroboter",
    "electronics/computers/laptops": "laptop|notebook|macbook|chromebook|laptops|ultrabook",
    "electronics/computers/desktop-computers": "desktop computer|gaming pc|desktop pc|pc",
    "electronics/computers/tablet-computers": "tablet|ipad",
    "electronics/video/computer-monitors": "monitor|computer screen|bildschirm",
    "electronics/video/televisions": "tv|television|fernseher|oled tv|smart tv",
    "electronics/print-copy-scan-fax/printers-copiers-fax-machines": "printer|drucker|laser printer|laserdrucker",
    "electronics/communications/telephony/mobile-phones": (
        "smartphone|iphone|mobile phone|cell phone|handy|android phone|phone|pixel phone"
    ),
    "electronics/audio/audio-components/headphones-headsets": "headphones|kopfhörer|earbuds|headset",
    "electronics/video-game-consoles": "playstation|xbox|game console|spielkonsole|ps5|switch console",
    "cameras-optics/cameras/digital-cameras": "camera|kamera|digital camera|spiegelreflexkamera|dslr",
    "sporting-goods/outdoor-recreation/cycling/bicycles": (
        "bicycle|bike|e bike|ebike|fahrrad|pedelec|mountain bike|mountainbike|rennrad|road bike|lastenrad|"
        "cargo bike|trekkingrad|kinderfahrrad"
    ),
    "furniture/sofas": "sofa|couch|settee|ecksofa",
    "furniture/beds-accessories/beds-bed-frames": "bed|bett|bed frame|boxspringbett",
    "furniture/beds-accessories/mattresses": "mattress|matratze",
    "furniture/tables/kitchen-dining-room-tables": "dining table|esstisch|table|tisch",
    "furniture/office-furniture/desks": "desk|schreibtisch|standing desk",
    "furniture/office-furniture/office-chairs": "office chair|bürostuhl|desk chair",
    "furniture/cabinets-storage/armoires-wardrobes": "wardrobe|kleiderschrank|schrank",
    "vehicles-parts/vehicles/motor-vehicles/motorcycles-scooters": (
        "motorcycle|motorbike|motorrad|scooter|motorroller|vespa|moped"
    ),
    "vehicles-parts/vehicles/motor-vehicles/recreational-vehicles": (
        "camper van|campervan|motorhome|wohnmobil|wohnwagen|caravan|camper"
    ),
    "vehicles-parts/vehicle-parts-accessories/motor-vehicle-parts/motor-vehicle-wheel-systems/motor-vehicle-tires": (
        "tyres|tires|winter tyres|winterreifen|sommerreifen|reifen|ganzjahresreifen"
    ),
    "baby-toddler/baby-transport/baby-strollers": "stroller|pram|kinderwagen|buggy|pushchair",
    "arts-entertainment/hobbies-creative-arts/musical-instruments/pianos": "piano|klavier",
    "arts-entertainment/hobbies-creative-arts/musical-instruments/string-instruments/guitars": "guitar|gitarre",
}


def _rows(table: dict[str, str], prefix: str) -> list[tuple[str, str]]:
    return [(phrase, f"{prefix}/{name}".strip("/")) for name, phrases in table.items() for phrase in phrases.split("|")]


_KINDS = {
    "plan": Table[str]((phrase, PLANS) for phrase in _PLAN.split("|")),
    "trade": Table[str](_rows(_TRADES, HOME)),
    "car": Table[str]((phrase, CARS) for phrase in _CAR.split("|")),
    "goods": Table[str](_rows(_GOODS, "")),
    "trouble": Table[str](_rows(_TROUBLES, HOME)),
}
_PHONES = Table[str]((phrase, "") for phrase in _PHONE.split("|"))
_CONTRACTS = Table[str]((phrase, "") for phrase in _CONTRACT.split("|"))
_INSUREDS = Table[str](_rows(_INSURED, ""))
_INSURINGS = Table[str]((phrase, "") for phrase in _INSURING.split("|"))
KIND_WORDS: Final = frozenset[str]().union(
    *(table.words for table in (*_KINDS.values(), _PHONES, _CONTRACTS, _INSURINGS))
)
_GIGABYTES = listed("gb gig gigs gigabyte gigabytes mb datenvolumen")
Kind = tuple[str, int, int]  # category, begin, end


def find_kind(tokens: list[Token], model_at: int | None) -> Kind | None:
    """Return the kind that the words name and the tokens that name it; `model_at` is where a model of car is named."""
    found = _insurance(tokens) or _plan(tokens) or _first("trade", tokens)
    if found:
        return found
    car, goods, trouble = _first("car", tokens), _first("goods", tokens), _first("trouble", tokens)
    # "tyres for my Golf" are tyres; "a Golf with a bike rack" is a car.
    if goods is not None and model_at is not None and goods[1] < model_at:
        return goods
    if car is not None or model_at is not None:
        return car
    # "a bed in the garden" is a thing, "the tap in the bathroom" a repair: whichever is named first.
    return min((one for one in (goods, trouble) if one), key=lambda one: one[1], default=None) or _data(tokens)


def _data(tokens: list[Token]) -> Kind | None:
    """Gigabytes with a tariff, or with nothing else to belong to, are a phone plan's."""
    at = next((at for at, token in enumerate(tokens) if token.key in _GIGABYTES), None)
    if at is None:
        return None
    named = next(_CONTRACTS.all(tokens), None)
    return (PLANS, named[0], named[1]) if named else (PLANS, at, at + 1)


def _first(name: str, tokens: list[Token]) -> Kind | None:
    found = next(_KINDS[name].all(tokens), None)
    return (found[2], found[0], found[1]) if found else None


def _plan(tokens: list[Token]) -> Kind | None:
    named = _first("plan", tokens)
    if named:
        return named
    phone, contract = next(_PHONES.all(tokens), None), next(_CONTRACTS.all(tokens), None)
    if phone is None or contract is None:
        return None
    return PLANS, min(phone[0], contract[0]), max(phone[1], contract[1])


def _insurance(tokens: list[Token]) -> Kind | None:
    """An insurance names what it is for: before it, in the same word, or within the few words after it."""
    for at, token in enumerate(tokens):
        stem = next((token.key[: -len(end)] for end in _COMPOUND if token.key.endswith(end)), None)
        is_cover = token.key in ("coverage", "cover")
        if stem is None and token.key not in ("rechtsschutz", "hausrat", "vollkasko", "teilkasko") and (
            is_cover or _INSURINGS.find(tokens, at) is None
        ):  # fmt: skip
            continue
        begin, insured = (
            at,
            "vehicle" if token.key.endswith("kasko") else _insured(stem or token.key) or _compound(stem),
        )
        if token.key.endswith("haftpflicht"):
            insured = insured or "liability"
        for near in (*range(at - 1, max(at - 4, -1), -1), *range(at + 1, min(at + 7, len(tokens)))):
            insured = insured or _insured(tokens[near].key)
            begin = near if insured and near == at - 1 and _insured(tokens[near].key) else begin
        return (f"{INSURANCE}/{insured}" if insured else INSURANCE), begin, at + 1
    return None


def _insured(key: str) -> str | None:
    found = _INSUREDS.find([Token(key, key, 0, len(key))], 0)
    return found[1] if found else None


def _compound(stem: str | None) -> str | None:
    if not stem:
        return None
    return next(
        (
            name
            for name, words in _INSURED.items()
            for word in words.split("|")
            if len(word) > 3 and stem.startswith(word)
        ),
        None,
    )
