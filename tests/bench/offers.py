"""From a cast to offers that are opened, proven and ranked: to the first one, and to all of them.

Each vendor bot is a process with its own home, keys and stock; so are the two relays. The person is this process: the
clock runs from the call that signs and casts a previewed demand until the service's own list, best first, shows the
offers. A cast is a sample; before the next one the demand is withdrawn and every bot has heard of it. A second part has
one bot and the stamp of work that drafts ask for by default.
"""

import argparse
import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from functools import partial
from pathlib import Path

from intentcast_agent.agent import run_agent
from intentcast_agent.api import Failed, NoAgent, ask
from intentcast_agent.dialogue import new_seed
from intentcast_agent.home import Home, find_home, lock_home
from intentcast_agent.keystore import Keystore, create
from intentcast_agent.service import Service
from intentcast_agent.settings import Settings, write_settings
from intentcast_agent.store import open_store
from intentcast_agent.vendor import stockroom
from intentcast_agent.vendor.inventory.stock import StockItem
from intentcast_protocol.testing import CARS
from stand import Json, Process, Stand, conditions, part, percentile, run, stand

FIRST, ALL = 0.5, 2.0  # s: the first offer's p50 and the last one's p99; `market` has what is promised for fifty bots
STOCK = 60  # cars a bot has
WITHIN = 30  # s for all offers of one cast
LIMIT = 900

POLICY = """\
name = "Dealer {at:02}"
domain = "dealer-{at:02}.example"
currency = "EUR"
floor = "90%"
ladder = ["{at}%", "{at}%", "10%"]
validity = "10m"
sells_in = ["NL", "DE"]
fees = [{{name = "Registration", price = "75.00", kind = "fee"}}]
"""
DEMAND = """\
name = "A Golf, 2017 or newer"
category = "{category}"
type = "Car"
max_price = "18500 EUR"
countries = ["NL"]
expires = "1h"
admit = ["stamp:{bits}"]
like = {{ manufacturer = "Volkswagen", model = "Golf" }}
[[must]]
path = "itemOffered.mileageFromOdometer"
op = "le"
value = "90000"
unit = "KMT"
[[must]]
path = "itemOffered.vehicleModelDate"
op = "ge"
value = "2017"
[[want]]
path = "itemOffered.vehicleTransmission"
op = "eq"
value = "Automatic"
"""


def cars(dealer: int) -> tuple[StockItem, ...]:
    """Make a dealer's stock, in which some cars fit the demand and most do not."""
    makes = (("Volkswagen", "Golf"), ("Opel", "Astra"), ("Ford", "Focus"), ("Skoda", "Octavia"))
    made = []
    for at in range(STOCK):
        make, model = makes[at % 4]
        year, mileage = 2012 + at * 7 % 10, 20_000 + (at * 37 + dealer * 11) % 140 * 1_000
        item = {
            "@type": "Car", "category": CARS, "sku": f"{dealer}-{at}", "name": f"{year} {make} {model}",
            "manufacturer": make, "model": model, "vehicleModelDate": str(year),
            "vehicleTransmission": ("Manual", "Automatic")[at % 3 == 0],
            "mileageFromOdometer": {"value": str(mileage), "unitCode": "KMT"},
        }  # fmt: skip
        made.append(StockItem(item["sku"], item, f"{9_000 + (year - 2012) * 900 + dealer * 13}.00", "EUR"))
    return tuple(made)


def home_of(here: Stand, name: str) -> Home:
    """Return the home of one party."""
    return find_home({"INTENTCAST_HOME": str(here.folder / name)})


def settle(home: Home, relays: tuple[str, ...]) -> Keystore:
    """Make keys and settings in a home whose lock the caller holds."""
    write_settings(home, Settings(relays))
    return create(home.keystore, None)


async def furnish(here: Stand, name: str, at: int, relays: tuple[str, ...]) -> None:
    """Make the home of a vendor: keys, policy, stock."""
    home = home_of(here, name)
    with lock_home(home):
        keystore = settle(home, relays)
        for secret in ("vendor", "profile-seal"):
            keystore.put(secret, new_seed())
        home.config.with_name("policy.toml").write_text(POLICY.format(at=at % 10), encoding="utf-8")
        store = await open_store(home.database, keystore.data_key)
        async with store.transaction() as tx:
            await stockroom.load(tx, name, cars(at))
        await store.close()


def spend(processes: list[Process]) -> float:
    """Return the processor time of some processes."""
    return sum(process.cpu() for process in processes)


@asynccontextmanager
async def market(
    here: Stand, bots: int, relays: int, shared: int
) -> AsyncIterator[tuple[Service, list[str], list[Process]]]:
    """Give a person's service, the names of so many bots that listen, and every process.

    `shared` is the number of processes the bots share, 0 for one each.
    """
    processes = [here.relay(f"relay-{bots}-{at}") for at in range(relays)]
    urls = tuple(str(process.said["url"]) for process in processes)
    names = [f"dealer-{at + 1}-of-{bots}" for at in range(bots)]
    for at, name in enumerate(names):
        await furnish(here, name, at, urls)
    serve = ("-m", "intentcast_agent", "vendor", "serve", "--announce")
    if shared:
        stall = str(Path(__file__).with_name("stall.py"))
        homes = [str(here.folder / name) for name in names]
        started = [here.launch(f"stall-{at}", stall, *homes[at::shared]) for at in range(min(shared, bots))]
    else:
        started = [here.launch(name, *serve, INTENTCAST_HOME=str(here.folder / name)) for name in names]
    processes += [here.ready(process) for process in started]
    home = home_of(here, f"person-{bots}")
    with lock_home(home):
        async with run_agent(home, settle(home, urls)) as agent:
            yield Service(agent), names, processes
    for process in reversed(processes):
        here.stop(process)


async def cast(service: Service, bots: int, bits: int) -> tuple[float, float, str]:
    """Cast one demand; return the seconds to the first and to the last offer, and the demand's name."""
    made = await service.demand_preview(DEMAND.format(category=CARS, bits=bits))
    first, began = 0.0, time.perf_counter()
    casting = asyncio.create_task(service.demand_cast(made["draft"]))
    await until(partial(known, service, made["draft"]), 0.002)
    offers: list[Json] = []
    async for listed in service.watch(made["draft"], WITHIN):
        offers = [offer for offer in listed["offers"] if offer["total"] is not None]
        if offers and not first:
            first = time.perf_counter() - began
        if len(offers) == bots:
            break
    last = time.perf_counter() - began
    await casting
    if len(offers) != bots or any(offer["fit"] != "fits" for offer in offers):
        raise ValueError(f"{len(offers)} of {bots} bots offered within {WITHIN} s")
    return first, last, str(made["draft"])


async def known(service: Service, name: str) -> bool:
    """Say whether a demand is cast, so that it can be watched."""
    async with service.agent.store.reading() as tx:
        return await tx.one("SELECT 1 FROM demand WHERE number = ?", int(name[1:])) is not None


async def clear(here: Stand, service: Service, name: str, dealers: list[str]) -> None:
    """Withdraw a demand and wait until every bot has heard of it, so that the next cast finds them idle."""
    await service.demand_withdraw(name)
    with suppress(TimeoutError, Failed, NoAgent):
        async with asyncio.timeout(WITHIN):
            for dealer in dealers:
                await until(partial(idle, home_of(here, dealer)), 0.02)


async def idle(home: Home) -> bool:
    """Say whether a bot has no open session."""
    deals = await asyncio.to_thread(ask, home, "vendor_deals", {})
    return not any(deal["state"] in ("offered", "asking") for deal in deals["deals"])


async def until(look: Callable[[], Awaitable[bool]], pause: float) -> None:
    """Look again and again until something holds that no event tells of."""
    while not await look():  # noqa: ASYNC110 (nothing to wait for)
        await asyncio.sleep(pause)


async def series(here: Stand, bots: int, bits: int, casts: int, relays: int, shared: int = 0) -> Json:
    """Cast so often, and return both figures; the first cast, on which everything is still cold, is told apart."""
    firsts, lasts, others, own = [], [], 0.0, 0.0
    async with market(here, bots, relays, shared) as (service, names, processes):
        *cold, name = await cast(service, bots, bits)
        await clear(here, service, name, names)
        for _ in range(casts):
            others, own = others - spend(processes), own - time.process_time()
            first, last, name = await cast(service, bots, bits)
            others, own = others + spend(processes), own + time.process_time()
            firsts.append(first)
            lasts.append(last)
            await clear(here, service, name, names)
    return {
        "bots": bots,
        "admit": f"stamp:{bits}",
        "first": times(firsts),
        "all": times(lasts),
        "cold": [round(seconds, 3) for seconds in cold],
        "cpu_s_a_cast": {"relays_and_bots": round(others / casts, 3), "person": round(own / casts, 3)},
    }


def times(samples: list[float]) -> Json:
    """Return a figure in seconds, whose value is its p50, with its p99, which of few samples is the largest."""
    return {**part(samples), "p99": round(percentile(samples, 0.99), 3)}


def measure(options: argparse.Namespace) -> Json:
    """Measure many bots with hardly any work to do, then one bot with the default stamp."""
    with stand(LIMIT) as here:
        told = conditions(bots=options.bots, processes="one a bot", relays=options.relays, casts=options.repeat,
                          cars_a_bot=STOCK)  # fmt: skip
        many = asyncio.run(series(here, options.bots, 4, options.repeat, options.relays))
        one = asyncio.run(series(here, 1, 18, options.repeat, options.relays)) if not options.quick else None
    first, last = many["first"], many["all"]
    return {
        "value": first["value"],
        "spread": first["spread"],
        "samples": first["samples"],
        "unit": "seconds from cast to first offer, p50",
        "target": {"first_p50": FIRST, "all_p99": ALL},
        "ok": first["value"] < FIRST and last["p99"] < ALL,
        "parts": {"many": many, **({"stamped": one} if one else {})},
        "conditions": told,
    }


if __name__ == "__main__":
    run(
        "offers",
        "cast to first offer and to all offers, verified and ranked",
        measure,
        repeat=12,
        bots={"type": int, "default": 20, "help": "vendor bots, each a process"},
        relays={"type": int, "default": 2, "help": "relays everyone uses"},
        quick={"action": "store_true", "help": "leave out the part with one bot and stamp:18"},
    )
