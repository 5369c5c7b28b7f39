"""German words that say how much, from when, how strongly, and the small words that say nothing.

The same tables as in `english`; umlauts may also be written ae, oe, ue.
"""

AT_MOST = (
    "unter|bis|bis zu|bis max|bis maximal|bis höchstens|höchstens|maximal|max|weniger als|nicht mehr als|"
    "nicht über|unterhalb|"
    "kleiner als|günstiger als|billiger als|keine|keinesfalls über|allerhöchstens|budget|budget von|"
    "preislich bis|preis bis|"
    "obergrenze|für unter|nicht teurer als|von maximal|von max|von höchstens|bis ca|bis etwa|niedriger als|"
    "für höchstens|für maximal|"
    "mit unter|mit weniger als|für max"
)
AT_LEAST = (
    "nicht vor|ab|mindestens|mind|min|wenigstens|über|mehr als|seit|nicht unter|frühestens|minimum|"
    "von mindestens|ab ca|"
    "nicht weniger als|zumindest|mit mindestens|ab baujahr|ab bj|ab ez|ab erstzulassung"
)
NO_OLDER = "nicht älter als|jünger als|maximales alter|max alter|nicht älter wie"
AFTER = "neuer als|nach"
BEFORE = "vor|älter als"
ABOUT = "ca|circa|zirka|etwa|ungefähr|rund|um die|so um die|um|an die|in etwa|so rund|so etwa"
BETWEEN = "zwischen|zw|von|irgendwo zwischen"
TO = "bis|und|u|bis zu"
AT_MOST_AFTER = "maximal|max|höchstens|oder weniger|oder günstiger|nicht mehr|oder billiger|maximum"
AT_LEAST_AFTER = (
    "oder neuer|oder mehr|und neuer|aufwärts|und mehr|oder jünger|oder später|mindestens|und jünger|"
    "und aufwärts|oder höher|"
    "oder besser|minimum|wenigstens|frühestens"
)
NUMBERS = {
    "ein": 1,
    "eine": 1,
    "einer": 1,
    "einem": 1,
    "einen": 1,
    "eines": 1,
    "zwei": 2,
    "drei": 3,
    "vier": 4,
    "fünf": 5,
    "sechs": 6,
    "sieben": 7,
    "acht": 8,
    "neun": 9,
    "zehn": 10,
    "zwölf": 12,
    "vierzehn": 14,
    "zwanzig": 20,
    "dreißig": 30,
}
MULTIPLES = {
    "tausend": 1_000,
    "tsd": 1_000,
    "t": 1_000,
    "mio": 1_000_000,
    "millionen": 1_000_000,
    "million": 1_000_000,
    "hundert": 100,
    "td": 1_000,
}
UNITS = {
    "KMT": "kilometer|kilometern",
    "SMI": "meilen|meile",
    "HJ": "ps|pferdestärken",
    "KWT": "kilowatt",
    "E34": "gigabyte|giga",
    "4L": "megabyte",
    "E35": "terabyte",
    "HUR": "stunde|stunden|std",
    "DAY": "tag|tage|tagen",
    "WEE": "woche|wochen",
    "MON": "monat|monate|monaten|monats|mon",
    "ANN": "jahr|jahre|jahren",
}
CURRENCIES = {
    "EUR": "euro|euros|eur|teuro",
    "USD": "dollar|us dollar",
    "CHF": "franken|chf|sfr|fr|schweizer franken",
    "GBP": "pfund",
}
PER = {
    "MON": "im monat|pro monat|je monat|monatlich|mtl|/monat|/mon|p m|pm|den monat|monatl",
    "ANN": "im jahr|pro jahr|je jahr|jährlich|/jahr|p a|pa|das jahr|jährl|jahresbeitrag",
    "HUR": "pro stunde|die stunde|je stunde|/stunde|/std|in der stunde|stundenlohn|stundensatz|pro std",
}
HINTS = {
    "price": "preis|preisvorstellung|preisrahmen|preisgrenze|budget|kosten|kostet|ausgeben|zahlen|preislich|preise",
    "mileage": "laufleistung|kilometerstand|km stand|gelaufen|tacho|kmstand|km laufleistung",
    "year": "baujahr|bj|ez|erstzulassung|modelljahr|zulassung|jahrgang|gebaut|erstzugelassen|zugelassen",
    "warranty": "garantie|gewährleistung|gewähr",
    "contract": (
        "laufzeit|vertragslaufzeit|mindestlaufzeit|vertragsdauer|mindestvertragslaufzeit|vertragsbindung|bindung"
    ),
    "delivery": (
        "lieferung|geliefert|lieferbar|lieferzeit|liefern|fertig|erledigt|repariert|abholbereit|eingebaut|"
        "montiert|anlieferung|"
        "verfügbar|versand|versendet|zustellung|lieferfrist|termin|kommen"
    ),
    "expires": "angebote|angebot|gültig|entscheiden|entscheide|rückmeldung|antwort|antworten|offerten|offerte",
    "deductible": "selbstbeteiligung|sb|selbstbehalt|eigenanteil|franchise",
    "covered": "deckung|deckungssumme|versicherungssumme|wert von|wert|absicherung|versicherungswert",
    "radius": "umkreis|radius|entfernung|entfernt|umgebung",
    "age": "alt|jahre alt",
    "range": "reichweite|reichweiten",
}
WITHIN = (
    "innerhalb von|innerhalb|binnen|in|in den nächsten|in spätestens|innerhalb der nächsten|in max|"
    "in maximal|in höchstens|"
    "die nächsten|für die nächsten|in unter|spätestens in|in weniger als"
)
UNTIL = (
    "bis|bis zum|spätestens|spätestens am|bis spätestens|vor|bis zu|bis einschließlich|spätestens bis|bis am|"
    "am|bis kommenden"
)
NEAR = (
    "in|bei|nahe|in der nähe von|nähe|raum|im raum|um|rund um|in und um|großraum|region|aus|plz gebiet|"
    "umgebung von|im umkreis von|"
    "in der nähe|im großraum|gegend|gegend um|raum um|um herum|unweit|in der gegend um|in der region|"
    "im gebiet|nähe von|"
    "umkreis|umkreis von|wohne in|wohnen in|stadt|im umkreis|von|rund|umland von|in der umgebung von|gebiet"
)
MONTHS = {
    "januar": 1,
    "jänner": 1,
    "februar": 2,
    "feber": 2,
    "märz": 3,
    "april": 4,
    "mai": 5,
    "juni": 6,
    "juli": 7,
    "august": 8,
    "september": 9,
    "oktober": 10,
    "okt": 10,
    "november": 11,
    "dezember": 12,
    "dez": 12,
}
WEEKDAYS = {
    "montag": 0,
    "dienstag": 1,
    "mittwoch": 2,
    "donnerstag": 3,
    "freitag": 4,
    "samstag": 5,
    "sonnabend": 5,
    "sonntag": 6,
}
DAYS = {"heute": 0, "heute noch": 0, "morgen": 1, "übermorgen": 2}
WEEK_AHEAD = "diese woche|nächste woche|kommende woche|nächster woche|kommender woche"
MUST = (
    "muss|müssen|unbedingt|nur|zwingend|ausschließlich|auf jeden fall|notwendig|bedingung|pflicht|muss sein|"
    "muss haben|wichtig"
)
WANT = (
    "wünsche|wunschausstattung|gern|gerne|am liebsten|idealerweise|ideal|möglichst|wenn möglich|lieber|"
    "bevorzugt|vorzugsweise|wäre schön|wäre toll|"
    "wünschenswert|optional|falls möglich|nach möglichkeit|wäre gut|am besten|bestenfalls|wunsch|kein muss|"
    "eventuell|evtl|"
    "wäre super|wäre nett|wäre ideal|wäre klasse|wäre ein plus|wär schön|wär toll|eher|gegebenenfalls|"
    "vielleicht|im idealfall"
)
WANT_AFTER = (
    "wäre schön|wäre toll|wenn möglich|wünschenswert|bevorzugt|optional|falls möglich|wäre gut|kein muss|wäre super|"
    "wäre nett|wäre ideal|wäre klasse|wäre ein plus|nach möglichkeit|wär schön|wär toll|wenns geht|"
    "wenn es geht|gerne|gern"
)
TURN = "aber|jedoch|allerdings|sondern"
NOT = "kein|keine|keinen|keiner|nicht|ohne|außer|bloß nicht|auf keinen fall|nie"
LIKE = "wie|so etwas wie|sowas wie|ähnlich|ähnlich wie|vergleichbar mit|in der art"
FILLERS = (
    "vb|vhb|egal|u|zw|ich|wir|mein|meine|meinen|meiner|meinem|unser|unsere|uns|mir|mich|es|ein|eine|einen|"
    "einem|einer|eines|der|die|das|den|dem|"
    "des|dies|diese|ist|sind|sei|war|wird|werden|würde|kann|könnte|soll|sollte|sollten|möchte|will|wollen|"
    "brauche|brauchen|"
    "suche|suchen|sucht|gesucht|kaufen|kauf|finde|finden|hätte|hätten|haben|hat|habe|bitte|danke|mit|und|"
    "oder|von|in|im|am|an|"
    "auf|zu|zum|zur|für|fürs|nach|bei|beim|aus|als|so|auch|noch|dann|aber|hallo|hi|servus|moin|grüße|was|"
    "etwas|jemand|jemanden|"
    "der|welcher|hier|da|dort|nur|gern|gerne|ca|etwa|lieber|möglichst|idealerweise|unbedingt|muss|müssen|"
    "wenn|möglich|wäre|"
    "schön|toll|super|angebote|angebot|preis|budget|laufleistung|laufzeit|monat|monate|jahr|jahre|woche|"
    "wochen|tag|tage|"
    "max|bis|ab|unter|wie|ähnlich|nahe|nähe|raum|umkreis|um|innerhalb|sehr|gut|guter|gute|gutes|großer|"
    "große|kleiner|kleine|"
    "kleines|günstig|günstige|günstiger|günstiges|zuverlässig|zuverlässiges|neue|neuer|lassen|lass|reicht|"
    "reichen|sein|ob|"
    "mal|doch|schon|eben|halt|bloß|nicht|kein|keine|mehr|weniger|garantie|gewährleistung|per|pro|je|datenvolumen|"
    "am liebsten|vielleicht|eventuell|eher|farbe|baujahr|bj|ez|und|sowie|bzw|dass|weil|damit|sich|er|sie|ihr|ihre"
)
