"""The mappings that come with us: the merchant vehicle feed and the merchant product feed, headers unchanged.

Attributes as the merchant help pages name them (vehicle feed 11192663, product feed 7052112), read by `mapping.plain`.
"""

from collections.abc import Iterable

from intentcast_agent.vendor.inventory.mapping import Column, Mapping, plain

CARS = "vehicles-parts/vehicles/motor-vehicles/cars-trucks-vans"

FUELS = {
    "gasoline": "Petrol",
    "petrol": "Petrol",
    "benzin": "Petrol",
    "diesel": "Diesel",
    "electric": "Electric",
    "hybrid": "Hybrid",
    "plug-in_hybrid": "Plug-in hybrid",
    "plug-in hybrid": "Plug-in hybrid",
    "lpg": "LPG",
    "methane": "CNG",
    "natural_gas": "CNG",
    "cng": "CNG",
    "other": "Other",
}
BODIES = {
    "station_wagon": "Estate",
    "station wagon": "Estate",
    "wagon": "Estate",
    "estate": "Estate",
    "kombi": "Estate",
    "city_car": "City car",
    "compact_suv": "Compact SUV",
    "convertible": "Convertible",
    "coupe": "Coupe",
    "crossover": "Crossover",
    "full_size_van": "Full-size van",
    "hatchback": "Hatchback",
    "limousine": "Limousine",
    "minivan": "Minivan",
    "notchback": "Notchback",
    "sedan": "Sedan",
    "saloon": "Sedan",
    "suv": "SUV",
    "truck": "Truck",
    "ute": "Ute",
}
GEARS = {
    "manual": "Manual",
    "automatic": "Automatic",
    "semi-automatic": "Semi-automatic",
    "cvt": "CVT",
}
_SHARED = {
    "id": Column("sku"),
    "title": Column("item.name", "prose"),
    "description": Column("item.description", "prose"),
    "link": Column("item.url", "link"),
    "image_link": Column("item.image", "link"),
    "price": Column("price"),
    "condition": Column("item.itemCondition", "condition"),
    "color": Column("item.color"),
    "availability": Column("availability"),
    "quantity": Column("quantity"),
}
VEHICLE = Mapping(
    "merchant-vehicle",
    _SHARED
    | {
        "vin": Column("item.vehicleIdentificationNumber", "vin"),
        "google_product_category": Column("item.category", "category", values={"916": CARS}),
        "make": Column("item.manufacturer"),
        "brand": Column("item.manufacturer"),
        "model": Column("item.model"),
        "trim": Column("item.vehicleConfiguration"),
        "year": Column("item.vehicleModelDate", "year"),
        "mileage": Column("item.mileageFromOdometer", "measure"),
        "body_style": Column("item.bodyType", values=BODIES),
        # The feed's word for fuel; some shops write the motor's name there, which is no fuel to compare.
        "engine": Column("item.fuelType", values=FUELS, otherwise="item.vehicleEngine.name"),
        "fuel": Column("item.fuelType", values=FUELS),
        "fuel_type": Column("item.fuelType", values=FUELS),
        "engine_power": Column("item.vehicleEngine.enginePower", "measure"),
        "engine_displacement": Column("item.vehicleEngine.engineDisplacement", "measure"),
        "transmission": Column("item.vehicleTransmission", values=GEARS),
        "drivetrain": Column("item.driveWheelConfiguration"),
        "exterior_color": Column("item.color"),
        "interior_color": Column("item.vehicleInteriorColor"),
        "doors": Column("item.numberOfDoors", "number"),
        "certified_pre_owned": Column("item.certifiedPreOwned", "flag"),
        "date_first_registered": Column("item.dateVehicleFirstRegistered", "date"),
        "date_in_stock": Column("listed"),
        "vehicle_option": Column("item.vehicleOption", "words"),
    },
    {
        "@type": "Car",
        "category": CARS,
        "sku": "{vehicleIdentificationNumber}",
        "name": "{vehicleModelDate} {manufacturer} {model}",
    },
)
PRODUCT = Mapping(
    "merchant-product",
    _SHARED
    | {
        "google_product_category": Column("item.category", "category"),
        "brand": Column("item.brand"),
        "gtin": Column("item.gtin"),
        "mpn": Column("item.mpn"),
        "size": Column("item.size"),
        "material": Column("item.material"),
        "pattern": Column("item.pattern"),
        "item_group_id": Column("item.inProductGroupWithID"),
        "product_weight": Column("item.weight", "measure"),
        "sale_price": Column("sale_price"),
        "sale_price_effective_date": Column("sale_dates"),
    },
    {"@type": "Product"},
)
BUILT_IN = {mapping.name: mapping for mapping in (VEHICLE, PRODUCT)}
_TELLING = frozenset({"vin", "mileage", "year", "model", "make", "body_style", "store_code", "link_template"})


def detect_mapping(headers: Iterable[str]) -> Mapping | None:
    """Return the built-in mapping that knows most of the headers, or None if none of them reads id and price."""
    have = {plain(header) for header in headers}
    if "price" not in have or not have & {"id", "vin"}:
        return None
    if "vin" in have or len(have & _TELLING) >= 3:
        return VEHICLE
    return max((PRODUCT, VEHICLE), key=lambda mapping: len(have & mapping.columns.keys()))
