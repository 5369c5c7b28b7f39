"""The demo beat by beat: cast, offers, comparison, haggling under a mandate, a deal, its proof, a forgery."""

import asyncio
import json
import shutil
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from intentcast_protocol.errors import IntentcastError

from intentcast_agent.agent import run_agent
from intentcast_agent.api import serve_socket
from intentcast_agent.cli.compare import wins
from intentcast_agent.cli.haggle import news
from intentcast_agent.demo.scene import DEALERS, Scene, set_scene
from intentcast_agent.evidence import agreement_view
from intentcast_agent.home import lock_home
from intentcast_agent.service import Service

Json = dict[str, Any]
Tell = Callable[[str], None]

CAR = """\
name = "A Golf estate, 2017 or newer"
category = "vehicles-parts/vehicles/motor-vehicles/cars-trucks-vans"
type = "Car"
max_price = "18500 EUR"
countries = ["NL"]
near = { lat = 52.09, lon = 5.12, radius_km = 60 }
expires = "1d"
rounds = 5
admit = ["domain", "invite", "stamp:12"]
like = { manufacturer = "Volkswagen", model = "Golf" }

[[must]]
path = "itemOffered.model"
op = "eq"
value = "Golf"

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
path = "itemOffered.bodyType"
op = "eq"
value = "Estate"

[private]
reserve = "17900 EUR"
"""
PLAN = """\
name = "A phone plan, 20 GB or more"
category = "services/telecom/mobile-plans"
type = "Service"
max_price = "20 EUR"
per = "MON"
countries = ["NL"]
expires = "1d"
admit = ["domain", "invite", "stamp:12"]

[[must]]
path = "itemOffered.dataAllowance"
op = "ge"
value = "20"
unit = "E34"
"""
CONTACT = {"name": "Robin Example", "email": "robin@mail.example", "postalCode": "3511 AA", "addressCountry": "NL"}
_OFFERS_WITHIN = 25  # s for the slow one, too
_BARGAINING = 5  # dealers whose offers fit and who can be bargained with
_HAGGLED_WITHIN = 60  # s
MANDATE = """\
most = "17600 EUR"
rounds = 4
within = "1m"
witnesses = 2
[acts]
counter = "auto"
accept = "auto"
"""


async def play(tell: Tell, stay: Callable[[Scene, str], Awaitable[None]] | None) -> Json:
    """Play the demo; `tell` hears each beat, `stay` is awaited before all is stopped. Return what happened."""
    began = time.monotonic()
    folder = Path(tempfile.mkdtemp(prefix="intentcast-demo-"))
    kept = folder / "a1.agreement"
    try:
        tell(f"Everything below runs on this machine, in {folder}; the keys are made for this demo and thrown away.")
        tell("Starting two relays, seven car dealers and a phone company, each a process of its own…")
        async with set_scene(folder) as scene, _person(scene) as service:
            result = await _deal(service, kept, tell)
            result["second"] = await _plan(service, tell)
            result["seconds"] = round(time.monotonic() - began, 1)
            result["ok"] = _went_well(result)
            if stay:
                await stay(scene, str(folder / "person"))
    finally:
        for path in folder.iterdir():
            if path != kept:
                shutil.rmtree(path, ignore_errors=True) if path.is_dir() else path.unlink(missing_ok=True)
    return result


@asynccontextmanager
async def _person(scene: Scene) -> AsyncIterator[Service]:
    home = scene.home("person")
    with lock_home(home):
        async with run_agent(home, scene.settle(home)) as agent:
            service = Service(agent)
            await service.contact_set(CONTACT)
            async with serve_socket(home, service):
                yield service


def _went_well(result: Json) -> bool:
    fits = [offer["fit"] for offer in result["offers"]]
    return (
        result["agreement"]["verified"]
        and bool(result["agreement"]["witnesses"])
        and not result["tampered"]["verified"]
        and sum(one["rounds"] > 0 for one in result["haggled"]) >= _BARGAINING
        and "fits" in fits
        and "fails" in fits
        and bool(result["rejected"])
        and bool(result["second"]["offers"])
    )


async def _deal(service: Service, kept: Path, tell: Tell) -> Json:
    made = await service.demand_preview(CAR)
    public = made["public"]
    tell(f"\nWanted: {made['public']['view']['name']}, at most 18500.00 EUR and 90000 km, near Utrecht.")
    cells = ", ".join(public["view"]["areaServed"]["cells"])
    tell(f"  everyone learns {public['size']} signed bytes, and of the place only the cells {cells}")
    tell(f"  a vendor under your terms learns no more; the winner learns {', '.join(made['winner']['attributes'])}")
    tell(f"  nobody learns your reserve of {made['private']['reserve']} EUR")
    demand = (await service.demand_cast(made["draft"]))["name"]
    tell(f"\nCast as {demand} to two relays. Offers, sealed so that only this agent can open them:")
    listed = await _gather(service, demand, tell)
    offers = [
        {name: offer[name] for name in ("vendor", "total", "currency", "fit", "why", "witnesses", "witnessed")}
        for offer in listed["offers"]
    ]
    rejected = [{"vendor": one["vendor"], "code": one["code"]} for one in listed["rejected"]]
    tell("\nSide by side, best first for this person: must-haves, then what counts for them and how much.")
    for offer in offers:
        mark = {"fits": "✓", "asks": "?", "fails": "✗"}[offer["fit"]]
        why = "" if offer["fit"] == "fits" else f": {offer['why']}"
        tell(f"  {mark} {offer['vendor']:24} {offer['total']:>10} {offer['currency']}  {offer['fit']}{why}; "
             f"{offer['witnessed']}")  # fmt: skip
    compared = await service.offer_compare(demand)
    tell(f"  {compared['why']}")
    runner_up = [one for one in compared["offers"] if one.get("comparison") and one["fit"] == "fits"][1:2]
    for line in (line for one in runner_up for line in wins(one)):
        tell(f"  {line}")
    view = await _haggle(service, demand, tell)
    won = next(one for one in view["threads"] if one["state"] == "agreed")
    done = await service.offer_view(won["offer"])
    told = ", ".join(row["attribute"] for row in done["disclosed"] if row["decision"] == "released")
    tell(f"  {done['vendor']} confirmed. Only now is it told: {told}.")
    return {
        "demand": done["demand"],
        "vendors": len(DEALERS),
        "offers": offers,
        "rejected": rejected,
        "rounds": done["rounds"],
        "why": compared["why"],
        "haggled": [
            {"vendor": one["vendor"], "rounds": one["rounds"], "said": [said["total"] for said in one["said"]]}
            for one in view["threads"]
        ],
        **await _prove(service, kept, tell),
    }


async def _haggle(service: Service, demand: str, tell: Tell) -> Json:
    """Let the agent haggle with all of them at once, and tell each move and what allowed the signature."""
    tell("\nNow the agent haggles with all of them at once, under a mandate that stays here:")
    tell(f"  {', '.join(line for line in MANDATE.splitlines() if line and not line.startswith('['))}")
    await service.haggle_begin(demand, MANDATE)
    view, heard = {}, set[tuple[Any, ...]]()
    async for view in service.haggle_watch(demand, _HAGGLED_WITHIN):
        for line in news(view, heard):
            tell(line)
    for act in view["acts"]:
        if act["kind"] == "accept":
            tell(f"Accepted {act['offer']}, allowed by {act['clause']}: {act['why']}.")
    return view


async def _gather(service: Service, demand: str, tell: Tell) -> Json:
    """Wait for every dealer's answer, telling each as it arrives: opened, proven, or refused."""
    began, seen, listed = time.monotonic(), set[str](), {}
    async for listed in service.watch(demand, _OFFERS_WITHIN):
        for offer in listed["offers"]:
            if offer["total"] and offer["name"] not in seen:
                seen.add(offer["name"])
                after = f"{time.monotonic() - began:5.1f} s"
                price = f"{offer['total']:>10} {offer['currency']}"
                tell(f"  {after}  sealed → opened → proven   {offer['vendor']:24} {price}  {offer['item']}")
        for one in listed["rejected"]:
            if one["code"] not in seen:
                seen.add(one["code"])
                after = f"{time.monotonic() - began:5.1f} s"
                tell(f"  {after}  sealed → opened → REFUSED  claims to be {one['vendor']!r}: {one['code']}")
        if len(listed["offers"]) + len(listed["rejected"]) >= len(DEALERS):
            break
    return listed


async def _prove(service: Service, kept: Path, tell: Tell) -> Json:
    bundle = await service.agreement_bundle("a1")
    data = bytes.fromhex(bundle["bundle"])
    kept.write_bytes(data)
    proven = agreement_view(data)
    tell(f"\nThe agreement, {len(data)} bytes, proves itself with no network: {proven['item']} for {proven['price']} "
         f"{proven['currency']}.")  # fmt: skip
    seen = ", ".join(one["url"] for one in proven["witnesses"])
    tell(f"  {proven['domain']['name']} is the vendor's: witnessed by {seen or 'nobody'}")
    forged = bytearray(data)
    at = data.index(proven["price"].encode())
    forged[at] ^= 1
    try:
        agreement_view(bytes(forged))
        tampered: Json = {"verified": True, "code": None}
    except IntentcastError as error:
        tampered = {"verified": False, "code": error.code}
        tell(f"Flip one bit of the price and it is refused: {error}")
    agreement = {
        "id": bundle["id"],
        "path": str(kept),
        "verified": proven["verified"],
        "witnesses": proven["witnesses"],
    }
    return {"agreement": agreement, "tampered": tampered}


async def _plan(service: Service, tell: Tell) -> Json:
    """Cast for something that is not a car: a category is data, never code."""
    made = await service.demand_preview(PLAN)
    demand = (await service.demand_cast(made["draft"]))["name"]
    listed: Json = {"offers": []}
    async for listed in service.watch(demand, 15):
        if any(offer["total"] for offer in listed["offers"]):
            break
    offers = [
        {name: offer[name] for name in ("vendor", "total", "currency", "per", "fit")} for offer in listed["offers"]
    ]
    for offer in offers:
        tell(f"\nNothing here is about cars: for a phone plan, {offer['vendor']} asks {offer['total']} "
             f"{offer['currency']} a month ({offer['fit']}).")  # fmt: skip
    return {"demand": made["demand"], "offers": offers}


def run(*, as_json: bool, stay: bool) -> Json:
    """Play the demo from the command line."""
    import sys  # noqa: PLC0415

    def tell(line: str) -> None:
        print(line, file=sys.stderr if as_json else sys.stdout, flush=True)

    async def linger(_scene: Scene, person: str) -> None:
        tell("\nIt all keeps running until Ctrl-C. In another terminal, look around:")
        for verb in ("status", "offer compare d1", "offer view o1", "agreement list"):
            tell(f"  INTENTCAST_HOME={person} intentcast {verb}")
        await asyncio.Event().wait()

    result = asyncio.run(play(tell, linger if stay else None))
    if as_json:
        print(json.dumps(result, ensure_ascii=False))
    else:
        path = result["agreement"]["path"]
        tell(f"\nDone in {result['seconds']} s. The proof is yours: intentcast agreement verify {path}")
    return result
