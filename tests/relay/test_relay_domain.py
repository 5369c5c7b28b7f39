"""A domain names a key or it does not: the document's rule, what a look is worth, and the frames of a real relay."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from intentcast_protocol.attestation import Attestation, read_attestation
from intentcast_protocol.errors import IntentcastError
from intentcast_protocol.frames import Ack, Attested, Domain, Invite, Problem
from intentcast_protocol.identity import did, parse_did, public_key
from intentcast_protocol.invitation import invite, pass_on
from intentcast_protocol.limits import ATTESTATION_LIFE
from intentcast_relay.admission import MAX_KEEP
from intentcast_relay.config import Config, ConfigError, read
from intentcast_relay.core import MAX_LOOKS
from intentcast_relay.domain import AGAIN, FRESH, MAX_KEYS, Domains, named_until, read_keys
from intentcast_relay.domain import MAX_LOOKS as MOST
from intentcast_relay.ledger import Arrival, House, settle, wanted
from intentcast_relay.posting import flatten
from intentcast_relay.server import Relay, running
from intentcast_relay.standing import MAX_INVITATIONS, Standing
from intentcast_relay.store.contract import Changes, Shelf
from intentcast_relay.store.sqlite import SqliteStore, open_store
from intentcast_relay.wellknown import Unreachable

SHOP = "shop.example"
UNPROVEN = "refused.domain.unproven"
SEED = b"v" * 32
V = public_key(SEED)


def naming(*keys: bytes, **fields: Any) -> dict[str, Any]:
    """A document that names these keys."""
    return {"keys": [{"key": did(key), **fields} for key in keys], "note": "ignored"}


class TestRule:
    """PROTOCOL §9.10"""

    NOW = 1_000_000

    def until(self, document: dict[str, Any], key: bytes = V) -> int | None:
        return named_until(read_keys(document), key, self.NOW)

    def test_a_key_is_named_for_as_long_as_an_attestation_lasts(self) -> None:
        assert self.until(naming(V)) == self.NOW + ATTESTATION_LIFE
        assert self.until(naming(public_key(b"w" * 32), V)) == self.NOW + ATTESTATION_LIFE

    def test_its_own_end_may_come_sooner(self) -> None:
        assert self.until(naming(V, **{"from": 0, "until": self.NOW + 10})) == self.NOW + 10
        assert self.until(naming(V, **{"from": self.NOW, "until": None})) == self.NOW + ATTESTATION_LIFE
        assert self.until(naming(V, until=self.NOW + 10 * ATTESTATION_LIFE)) == self.NOW + ATTESTATION_LIFE

    def test_before_and_after_its_time_it_is_not_named(self) -> None:
        assert self.until(naming(V, **{"from": self.NOW + 1})) is None
        assert self.until(naming(V, until=self.NOW)) is None

    def test_of_two_entries_the_longer_counts(self) -> None:
        document = {"keys": naming(V, until=self.NOW)["keys"] + naming(V, until=self.NOW + 9)["keys"]}
        assert self.until(document) == self.NOW + 9

    @pytest.mark.parametrize("document", [
        {}, {"keys": None}, {"keys": {}}, {"keys": did(V)}, {"keys": [did(V)]}, {"keys": [{}]}, {"keys": [[]]},
        {"keys": [{"key": None}]}, {"keys": [{"key": V.hex()}]}, {"keys": [{"key": did(V).upper()}]},
        naming(V, **{"from": "0"}), naming(V, **{"from": None}), naming(V, **{"from": True}), naming(V, until="9"),
        naming(V, until=1e9), naming(V, until=False), naming(public_key(b"w" * 32)),
        {"keys": [{}] * MAX_KEYS + naming(V)["keys"]},
    ], ids=lambda value: str(value)[:40])  # fmt: skip
    def test_a_document_of_another_form_names_nobody(self, document: dict[str, Any]) -> None:
        assert self.until(document) is None

    def test_the_last_entry_that_is_looked_at_counts(self) -> None:
        assert self.until({"keys": [{}] * (MAX_KEYS - 1) + naming(V)["keys"]}) is not None


class Bench:
    """A store with profiles, a web of documents, and the looking in between."""

    def __init__(self, store: SqliteStore, build: Any) -> None:
        self.store = store
        self.build = build
        self.web: dict[str, dict[str, Any]] = {SHOP: naming(V)}
        self.asked: list[str] = []
        self.asking: asyncio.Queue[str] = asyncio.Queue()
        self.open = asyncio.Event()
        self.open.set()
        self.domains = self.fresh()

    def fresh(self) -> Domains:
        """A relay that has just started."""
        return Domains(self.store, self.read, lambda: self.build.now, "WSS://Relay.example")

    async def read(self, domain: str) -> dict[str, Any]:
        self.asked.append(domain)
        self.asking.put_nowait(domain)
        await self.open.wait()
        if domain not in self.web:
            raise Unreachable("it could not be reached")
        return self.web[domain]

    async def publish(self, seed: bytes = SEED, **body: Any) -> None:
        fields = {"name": "Shop", "categories": ["a"], **body}
        record = self.build.record("profile", seed, fields, expires=self.build.now + 30 * 86_400)

        def decide(shelf: Shelf) -> Changes:
            return settle(jobs, shelf, House("ws://x", 1, 1), self.build.now)[0]

        jobs = [Arrival(flatten(record), Standing())]
        await self.store.write(wanted(jobs), decide)

    async def attest(self, key: bytes = V) -> Attestation:
        return await self.domains.attest(key)  # type: ignore[arg-type]

    async def refusal(self, key: bytes = V) -> str:
        with pytest.raises(IntentcastError) as refused:
            await self.attest(key)
        assert refused.value.code == UNPROVEN
        return refused.value.detail


@pytest.fixture
async def bench(tmp_path: Path, build: Any) -> AsyncIterator[Bench]:
    store = await open_store(tmp_path / "relay.db")
    found = Bench(store, build)
    yield found
    await found.domains.close()
    await found.store.close()


class TestLook:
    """PROTOCOL §9.10"""

    async def test_a_named_key_is_attested_under_the_relays_own_key(self, bench: Bench) -> None:
        await bench.publish(domain=SHOP)
        one = await bench.attest()
        assert read_attestation(one.wire()) == one
        assert (one.relay, one.url) == (public_key(bench.store.seed), "wss://relay.example")
        assert (one.key, one.domain) == (V, SHOP)
        assert (one.seen, one.expires) == (bench.build.now, bench.build.now + ATTESTATION_LIFE)

    async def test_without_a_profile_or_a_domain_in_it_nothing_is_asked(self, bench: Bench) -> None:
        assert await bench.refusal() == "publish the profile here first"
        for domain in (None, "", "LOCALHOST", "localhost", "127.0.0.1", "[::1]", "shop.example.", "a" * 300, 5):
            bench.build.now += 1
            await bench.publish(domain=domain)
            assert await bench.refusal() == "the profile stored here names no domain"
        assert bench.asked == []

    async def test_the_profile_is_that_of_the_key(self, bench: Bench) -> None:
        await bench.publish(b"w" * 32, domain=SHOP)
        assert await bench.refusal() == "publish the profile here first"
        assert await bench.refusal(public_key(b"w" * 32)) == "the document does not name this key now"

    async def test_a_look_that_succeeded_is_good_for_a_day_and_a_restart(self, bench: Bench) -> None:
        await bench.publish(domain=SHOP)
        first = await bench.attest()
        bench.domains = bench.fresh()
        bench.build.now += FRESH - 1
        assert await bench.attest() == first
        assert bench.asked == [SHOP]
        bench.build.now += 1
        assert (await bench.attest()).seen == bench.build.now
        assert bench.asked == [SHOP, SHOP]

    async def test_a_domain_that_is_away_is_believed_as_long_as_its_attestation(self, bench: Bench) -> None:
        await bench.publish(domain=SHOP)
        first = await bench.attest()
        bench.web.clear()
        bench.build.now += FRESH
        assert await bench.attest() == first
        bench.build.now = first.expires - 1
        assert await bench.attest() == first
        bench.build.now = first.expires
        assert await bench.refusal() == "it could not be reached"

    async def test_a_domain_that_names_the_key_no_more_is_believed_no_more(self, bench: Bench) -> None:
        await bench.publish(domain=SHOP)
        await bench.attest()
        bench.web[SHOP] = naming()
        bench.build.now += FRESH
        assert await bench.refusal() == "the document does not name this key now"
        bench.web.clear()
        bench.build.now += AGAIN
        assert await bench.refusal() == "it could not be reached"

    async def test_a_profile_with_another_domain_starts_anew(self, bench: Bench) -> None:
        await bench.publish(domain=SHOP)
        await bench.attest()
        bench.build.now += 1
        await bench.publish(domain="other.example")
        assert await bench.refusal() == "it could not be reached"

    async def test_no_domain_is_asked_twice_within_five_minutes_whoever_asks(self, bench: Bench) -> None:
        bench.web.clear()
        keys = [bytes([at]) * 32 for at in range(1, 6)]
        for seed in keys:
            await bench.publish(seed, domain=SHOP)
            assert await bench.refusal(public_key(seed)) == "it could not be reached"
        bench.web[SHOP] = naming(public_key(keys[0]))
        bench.build.now += AGAIN - 1
        await bench.refusal(public_key(keys[0]))
        assert bench.asked == [SHOP]
        bench.build.now += 1
        assert await bench.attest(public_key(keys[0]))
        assert await bench.refusal(public_key(keys[1])) == "the document does not name this key now"
        assert bench.asked == [SHOP, SHOP]

    async def test_those_who_ask_at_once_share_one_look(self, bench: Bench) -> None:
        await bench.publish(domain=SHOP)
        bench.open.clear()
        waiting = [asyncio.create_task(bench.attest()) for _ in range(5)]
        await bench.asking.get()
        waiting[0].cancel()
        bench.open.set()
        told = await asyncio.gather(*waiting[1:])
        assert len(set(told)) == 1
        assert bench.asked == [SHOP]

    async def test_looks_under_way_are_bounded(self, bench: Bench) -> None:
        bench.open.clear()
        seeds = [bytes([at]) * 32 for at in range(1, MOST + 2)]
        for at, seed in enumerate(seeds):
            await bench.publish(seed, domain=f"shop{at}.example")
        waiting = [asyncio.create_task(bench.attest(public_key(seed))) for seed in seeds[:-1]]
        for _ in waiting:
            await bench.asking.get()
        with pytest.raises(IntentcastError) as refused:
            await bench.attest(public_key(seeds[-1]))
        assert refused.value.code == "refused.rate.exceeded"
        bench.open.set()
        await asyncio.gather(*waiting, return_exceptions=True)

    async def test_proofs_that_ended_are_swept(self, bench: Bench) -> None:
        await bench.publish(domain=SHOP)
        one = await bench.attest()
        assert await bench.store.sweep(one.expires - 1, 10) == 0
        assert await bench.store.proof(V) is not None
        assert await bench.store.sweep(one.expires, 10) == 1
        assert await bench.store.proof(V) is None

    async def test_the_relays_key_outlives_a_restart(self, bench: Bench, tmp_path: Path) -> None:
        seed = bench.store.seed
        await bench.store.close()
        bench.store = await open_store(tmp_path / "relay.db")
        assert bench.store.seed == seed
        other = await open_store(tmp_path / "other.db")
        assert other.seed != seed
        await other.close()


# Through a real relay


@asynccontextmanager
async def shops(documents: dict[str, Any]) -> AsyncIterator[str]:
    """A web server whose document is the one for the host it is asked for; yields its host:port."""

    async def handle(request: web.Request) -> web.Response:
        found = documents.get(request.headers["Host"])
        return web.json_response(found) if found is not None else web.Response(status=404)

    application = web.Application()
    application.router.add_get("/.well-known/intentcast.json", handle)
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield f"127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


@pytest.fixture
async def mapped(config: Config, clock: Callable[[], int], build: Any) -> AsyncIterator[Relay]:
    """A relay that finds SHOP, which names V, and two domains that do not, on loopback."""
    async with shops({SHOP: naming(V), "empty.example": {}}) as place:
        domains = {SHOP: place, "empty.example": place, "missing.example": place, "closed.example": "127.0.0.1:1"}
        async with running(replace(config, domains=domains), clock) as started:
            build.url = started.config.url
            yield started


def profile(build: Any, domain: str, seed: bytes = SEED) -> Any:
    return build.record("profile", seed, {"name": "Shop", "categories": ["vehicles"], "domain": domain})


async def test_a_vendor_proves_its_domain_and_writes_without_a_stamp(mapped: Relay, connect: Any, build: Any) -> None:
    person, vendor, stranger = await connect(mapped), await connect(mapped, SEED), await connect(mapped)
    demand = build.demand(build.seed(), admit=("domain",))
    await person.stored(demand)
    await vendor.stored(profile(build, SHOP))
    letter = build.sealed(build.seed(), demand.author, 0)
    assert await vendor.refused(letter) == "refused.mailbox.not-admitted"
    answer = await vendor.call(Domain(vendor.req(), V))
    assert isinstance(answer, Attested)
    attestation = read_attestation([answer.payload, answer.signature])
    async with aiohttp.ClientSession() as session, session.get(mapped.config.url.replace("ws", "http")) as response:
        info = await response.json()
    assert attestation.relay == parse_did(info["key"])
    assert (attestation.url, attestation.key, attestation.domain) == (info["url"], V, SHOP)
    assert info["admits"] == ["domain", "invite", "stamp"]
    assert await stranger.refused(letter) == "refused.mailbox.not-admitted"
    assert await vendor.stored(letter)
    assert await vendor.refused(build.sealed(build.seed(), demand.author, 0)) == "refused.mailbox.not-admitted"


async def test_a_domain_is_asked_only_for_who_has_proven_the_key(mapped: Relay, connect: Any, build: Any) -> None:
    client = await connect(mapped)
    await client.stored(profile(build, SHOP))
    answer = await client.call(Domain(client.req(), V))
    assert isinstance(answer, Problem)
    assert answer.code == "refused.auth.required"


@pytest.mark.parametrize(("domain", "reason"), [
    ("empty.example", "the document does not name this key now"), ("missing.example", "it answered with status 404"),
    ("closed.example", "it could not be reached"), (None, "publish the profile here first"),
])  # fmt: skip
async def test_what_is_not_proven_says_why(
    mapped: Relay, connect: Any, build: Any, domain: str | None, reason: str
) -> None:
    vendor = await connect(mapped, SEED)
    if domain:
        await vendor.stored(profile(build, domain))
    answer = await vendor.call(Domain(req := vendor.req(), V))
    assert isinstance(answer, Problem)
    assert (answer.req, answer.code) == (req, UNPROVEN)
    assert answer.sentence.endswith(f"({reason})")


async def test_a_look_holds_up_nothing_else_and_is_bounded(
    config: Config, clock: Any, connect: Any, build: Any
) -> None:
    silent: list[asyncio.StreamWriter] = []
    asked = asyncio.Event()

    async def wait(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        silent.append(writer)
        asked.set()
        await reader.read()

    seeds = [bytes([at]) * 32 for at in range(1, MAX_LOOKS + 2)]
    async with await asyncio.start_server(wait, "127.0.0.1", 0) as server:
        place = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
        domains = {f"shop{at}.example": place for at in range(len(seeds))}
        async with running(replace(config, domains=domains), clock) as relay:
            build.url = relay.config.url
            vendor = await connect(relay, *seeds)
            for at, seed in enumerate(seeds):
                await vendor.stored(profile(build, f"shop{at}.example", seed))
            for seed in seeds[:-1]:
                await vendor.send(Domain(vendor.req(), public_key(seed)))
            answer = await vendor.call(Domain(vendor.req(), public_key(seeds[-1])))
            assert isinstance(answer, Problem)
            assert answer.code == "refused.rate.exceeded"
            assert await vendor.stored(build.demand(build.seed()))
            await asked.wait()
        for writer in silent:
            writer.close()


async def test_an_invitation_is_shown_and_admits(relay: Relay, connect: Any, build: Any) -> None:
    person_seed = build.seed()
    demand = build.demand(person_seed, admit=("invite",))
    guest_seed = build.seed()
    first = invite(person_seed, to=V, uses=2, until=build.now + 60, onward=True)
    passed = pass_on(SEED, first, to=public_key(guest_seed), uses=1, until=build.now + 60)
    person, vendor, guest = await connect(relay), await connect(relay, SEED), await connect(relay, guest_seed)
    await person.stored(demand)
    for client, invitation in ((vendor, first), (guest, passed)):
        assert await client.refused(build.sealed(build.seed(), demand.author, 0)) == "refused.mailbox.not-admitted"
        assert await show(client, invitation) is None
        assert await client.stored(build.sealed(build.seed(), demand.author, 0))
    for client in (vendor, guest):
        assert await client.refused(build.sealed(build.seed(), demand.author, 0)) == "refused.mailbox.not-admitted"


async def show(client: Any, invitation: Any) -> str | None:
    """Show an invitation; returns the code against it."""
    chain = tuple((link.payload, link.signature) for link in invitation.links)
    answer = await client.call(Invite(client.req(), chain))
    if isinstance(answer, Ack):
        assert answer.value is None
        return None
    assert isinstance(answer, Problem)
    return answer.code


async def test_an_invitation_is_refused_with_its_reason(relay: Relay, connect: Any, build: Any) -> None:
    person = build.seed()
    client = await connect(relay, SEED)
    far = build.now + MAX_KEEP
    assert await show(client, invite(person, to=build.key(person), uses=1, until=far)) == "refused.auth.required"
    assert await show(client, invite(person, to=V, uses=1, until=build.now)) == "refused.record.expired"
    assert await show(client, invite(person, to=V, uses=1, until=far + 1)) == "refused.limit.exceeded"
    assert await show(client, invite(person, to=V, uses=1, until=far)) is None
    forged = invite(person, to=V, uses=1, until=far)
    forged = replace(forged, links=(replace(forged.links[0], signature=bytes(64)),))
    assert await show(client, forged) == "invalid.invitation.malformed"
    for _ in range(MAX_INVITATIONS - 1):
        assert await show(client, invite(build.seed(), to=V, uses=1, until=far)) is None
    assert await show(client, invite(build.seed(), to=V, uses=1, until=far)) == "refused.limit.exceeded"


async def test_a_copy_sent_ahead_by_somebody_else_does_not_stand_for_the_vendors(
    mapped: Relay, connect: Any, build: Any
) -> None:
    """Both copies are under way at once; only the connection that has proven the domain is admitted."""
    vendor, stranger = await connect(mapped, SEED), await connect(mapped)
    demand = build.demand(build.seed(), admit=("domain",))
    await stranger.stored(demand)
    await vendor.stored(profile(build, SHOP))
    await vendor.call(Domain(vendor.req(), V))
    letter = build.sealed(build.seed(), demand.author, 0)
    refused, taken = await asyncio.gather(stranger.publish(letter), vendor.publish(letter))
    assert isinstance(taken, Ack)
    # The stranger's copy comes before it, and is refused, or after it, and is the same record again.
    assert isinstance(refused, Ack) or refused.code == "refused.mailbox.not-admitted"


@pytest.mark.parametrize(("table", "says"), [
    ({"Shop.example": "127.0.0.1:1"}, "is no host name"), ({"localhost": "127.0.0.1:1"}, "is no host name"),
    ({SHOP: 80}, "has to be a text"), ({SHOP: "127.0.0.1"}, "an interface and a port"),
    ({SHOP: "127.0.0.1:0"}, "a port from 1 on"), ({SHOP: "127.0.0.1:65536"}, "an interface and a port"),
    ("shop", "has to be a section"),
])  # fmt: skip
def test_a_wrong_mapping_of_a_domain_is_named(table: object, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        read({"domains": table})


async def test_a_domain_is_mapped_while_the_relay_runs(relay: Relay, connect: Any, build: Any) -> None:
    vendor = await connect(relay, SEED)
    await vendor.stored(profile(build, SHOP))
    async with shops({SHOP: naming(V)}) as place:
        settings = read({"domains": {SHOP: place}})
        relay.apply(replace(relay.config, domains=settings.domains))
        assert isinstance(await vendor.call(Domain(vendor.req(), V)), Attested)
