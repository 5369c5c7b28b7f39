"""Being let in without work, over real relays: a proven domain, an invitation; and whose word about a domain counts.

PROTOCOL §8.9, §9.10, §10.2, §10.5
"""

import sqlite3
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from intentcast_agent import invitation, upkeep
from intentcast_agent import outbox as outbox_room
from intentcast_agent.link import open_link
from intentcast_agent.names import NotFound
from intentcast_agent.person import desk
from intentcast_agent.service import Service
from intentcast_agent.settings import Settings
from intentcast_agent.vendor import standing as standing_room
from intentcast_protocol.agreement import verify_agreement
from intentcast_protocol.attestation import attest
from intentcast_protocol.errors import InvalidMessage, Refused, StateError
from intentcast_protocol.identity import did, public_key
from intentcast_protocol.invitation import invite, parse_chain
from intentcast_protocol.limits import MAX_SKEW
from intentcast_protocol.testing import CARS, seed
from intentcast_relay.config import Config
from intentcast_relay.server import running

Table = Any  # the fixtures are conftest.py's
DOMAIN = "nordwind.example"
NAMED = f'domain = "{DOMAIN}"\n'
DAY = 86_400
# Whoever found a stamp of 28 bits would be busy for an hour: where such a demand is answered, none was made.
DRAFT = f"""\
name = "A small car"
category = "{CARS}"
max_price = "20000 EUR"
expires = "7d"
rounds = 5
admit = ADMIT
"""


def draft(*rungs: str) -> str:
    return DRAFT.replace("ADMIT", str(list(rungs)))


@dataclass
class Site:
    """A web server that serves documents by domain, and remembers who asked."""

    port: int = 0
    documents: dict[str, Any] = field(default_factory=dict)
    asked: list[dict[str, str]] = field(default_factory=list)

    def names(self, vendor: str, domain: str = DOMAIN) -> None:
        """Let a domain name a vendor's key."""
        self.documents[domain] = {"keys": [{"key": did(public_key(seed(f"{vendor} vendor")))}]}

    async def serve(self, request: web.Request) -> web.Response:
        self.asked.append({"path": request.path, **request.headers})
        document = self.documents.get(request.host.partition(":")[0])
        return web.json_response(document) if document else web.Response(status=404)


@pytest.fixture
async def site() -> AsyncIterator[Site]:
    found = Site()
    application = web.Application()
    application.router.add_get("/{path:.*}", found.serve)
    runner = web.AppRunner(application)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    found.port = runner.addresses[0][1]
    yield found
    await runner.cleanup()


@dataclass
class Ground:
    """Relays that look at domains on the site, and the parties who use them by the real clock."""

    table: Table
    stack: AsyncExitStack
    folder: Path
    domains: dict[str, str]
    relays: list[Any] = field(default_factory=list)

    @property
    def urls(self) -> tuple[str, ...]:
        return tuple(relay.config.url for relay in self.relays)

    async def relay(self) -> Any:
        database = self.folder / f"relay-{len(self.relays)}.db"
        config = Config(listen="127.0.0.1:0", database=database, domains=self.domains)
        relay = await self.stack.enter_async_context(running(config))
        self.relays.append(relay)
        return relay

    async def person(self, name: str = "person") -> Any:
        return await self.table.person(name, relays=self.urls)

    async def vendor(self, name: str = "Nordwind", policy: str = "", *, relays: tuple[str, ...] = ()) -> Any:
        """Seat a vendor and let it work, at all relays unless said."""
        vendor = await self.table.vendor(name, policy=policy, relays=relays or self.urls)
        vendor.agent.responder = None
        del vendor.agent.now
        await vendor.agent.go_online()
        assert await vendor.agent.catch_up(10) == ()
        return vendor

    async def cast(self, person: Any, *rungs: str) -> Any:
        """Cast a demand to all relays, and wait until they have it."""
        demand = await person.cast(draft(*rungs), relays=self.urls)
        await person.agent.go_online()
        person.agent.open_demand(demand.author, demand.relays)

        async def everywhere() -> bool:
            return await person.rows("SELECT 1 FROM delivery WHERE state != 'done'") == []

        assert await person.agent.until(everywhere, 10)
        return demand


@pytest.fixture
async def ground(table: Table, tmp_path: Path, site: Site) -> AsyncIterator[Ground]:
    table.clock.now = int(time.time())
    async with AsyncExitStack() as stack:
        names = (DOMAIN, "suedwind.example")
        found = Ground(table, stack, tmp_path, dict.fromkeys(names, f"127.0.0.1:{site.port}"))
        await found.relay()
        await found.relay()
        yield found
        for party in table.parties:
            await party.agent.stop()


async def outcome(vendor: Any, demand: Any) -> str:
    """Wait until a vendor has heard a demand, and return what it did."""

    async def heard() -> bool:
        return await vendor.rows("SELECT 1 FROM answered WHERE demand = ?", demand.id) != []

    assert await vendor.agent.until(heard, 10)
    (row,) = await vendor.rows("SELECT outcome FROM answered WHERE demand = ?", demand.id)
    return str(row["outcome"])


async def offered(person: Any, count: int = 1) -> list[dict[str, Any]]:
    """Wait for so many offers and return their views, in the order they came."""
    service = Service(person.agent)

    async def there() -> bool:
        return sum(one["total"] is not None for one in (await service.offer_list())["offers"]) >= count

    assert await person.agent.until(there, 15)
    listed: list[dict[str, Any]] = (await service.offer_list())["offers"]
    return sorted(listed, key=lambda one: int(one["name"][1:]))


async def has(party: Any, sql: str, within: float = 10) -> bool:
    """Wait until a query finds something."""

    async def found() -> bool:
        return await party.rows(sql) != []

    return bool(await party.agent.until(found, within))


@asynccontextmanager
async def no_stamp(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[list[int]]:
    """Note the bits of every envelope that is sealed."""
    bits: list[int] = []
    seal: Callable[..., Any] = outbox_room.seal

    def noting(*args: Any, **named: Any) -> Any:
        bits.append(named["bits"])
        return seal(*args, **named)

    monkeypatch.setattr(outbox_room, "seal", noting)
    yield bits
    assert not any(bits)


# The domain


async def test_vendor_of_a_proven_domain_offers_without_a_stamp_and_is_accepted_without_a_say_so(
    ground: Ground, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.names("Nordwind")
    vendor, person = await ground.vendor(policy=NAMED), await ground.person()
    async with no_stamp(monkeypatch) as sealed:
        await ground.cast(person, "domain", "stamp:28")
        (offer,) = await offered(person)
        assert sealed
    assert (offer["witnesses"], offer["witnessed"]) == (2, "domain seen by 2 of your relays")
    assert sorted(offer["domain"]["witnesses"]) == sorted(ground.urls)
    service = Service(person.agent)
    await service.deal_accept(offer["name"])
    done = await service.deal_wait(offer["name"], 15)
    assert done["state"] == "agreed"
    assert [one["decision"] for one in done["accepted"]] == ["witnessed"]
    bundles = [await Service(party.agent).agreement_bundle("a1") for party in (person, vendor)]
    assert bundles[0]["bundle"] == bundles[1]["bundle"]
    proof = verify_agreement(bytes.fromhex(bundles[0]["bundle"]))
    assert {witness.url for witness in proof.witnesses} == set(ground.urls)
    # The relays looked, in a way that says nothing of who asks; the person did not.
    assert {(one["path"], one["User-Agent"]) for one in site.asked} == {
        ("/.well-known/intentcast.json", "intentcast-relay")
    }


async def test_vendor_of_an_unproven_domain_stamps_at_once_and_its_status_says_why(ground: Ground, site: Site) -> None:
    vendor, person = await ground.vendor(policy=NAMED), await ground.person()
    await ground.cast(person, "domain", "stamp:4")
    (offer,) = await offered(person)
    assert offer["domain"] == {"name": DOMAIN, "checked": False, "witnesses": []}
    assert offer["witnessed"] == "domain not witnessed"
    state = (await Service(vendor.agent).status())["domain"]
    assert [(one["seen"], one["reason"]) for one in state.values()] == [(False, "it answered with status 404")] * 2
    with pytest.raises(StateError, match=r"domain not witnessed.*--yes"):
        await Service(person.agent).deal_accept(offer["name"])
    await Service(person.agent).deal_accept(offer["name"], say_so=True)
    (row,) = await person.rows("SELECT * FROM acceptance")
    assert (row["decision"], row["reason"]) == ("said so", "domain not witnessed, and you said so")


async def test_relay_that_saw_no_domain_is_not_asked_again_before_its_time_though_the_vendor_dials_anew(
    ground: Ground, site: Site
) -> None:
    vendor = await ground.vendor(policy=NAMED)
    (first, *_) = await vendor.rows("SELECT * FROM attestation ORDER BY relay")
    assert first["due"] >= int(time.time()) + standing_room.PATIENCE[0] - 30
    site.names("Nordwind")
    await vendor.agent.restart_vendor()
    assert await vendor.agent.catch_up(10) == ()
    rows = await vendor.rows("SELECT * FROM attestation ORDER BY relay")
    assert [(row["attempts"], row["word"]) for row in rows] == [(1, None)] * 2
    async with vendor.store.transaction() as tx:
        await tx.run("UPDATE attestation SET due = 0")
    for relay in ground.relays:
        relay._rooms.domains._known.clear()
    await vendor.agent.restart_vendor()
    assert await vendor.agent.catch_up(10) == ()
    rows = await vendor.rows("SELECT * FROM attestation")
    assert [(row["reason"], row["attempts"], row["word"] is not None) for row in rows] == [(None, 0, True)] * 2


async def test_demand_that_only_a_domain_opens_is_answered_once_a_relay_has_seen_it(ground: Ground, site: Site) -> None:
    vendor, person = await ground.vendor(policy=NAMED), await ground.person()
    demand = await ground.cast(person, "domain")
    assert await outcome(vendor, demand) == "passed"
    site.names("Nordwind")
    for relay in ground.relays:
        relay._rooms.domains._known.clear()
    found = await Service(vendor.agent).vendor_domain_check()
    assert [one["seen"] for one in found["relays"].values()] == [True, True]
    (offer,) = await offered(person)
    assert offer["witnesses"] == 2


async def test_attestation_is_renewed_on_a_live_connection_long_before_it_ends(ground: Ground, site: Site) -> None:
    site.names("Nordwind")
    vendor = await ground.vendor(policy=NAMED)
    now = int(time.time())
    for row in await vendor.rows("SELECT * FROM attestation"):
        assert now < row["due"] <= now + standing_room.RENEW < row["expires"]
    async with vendor.store.transaction() as tx:
        await tx.run("UPDATE attestation SET due = 0, word = NULL")
    for courier in vendor.agent.pool.couriers(b""):
        assert courier._attend_at <= now + standing_room.RENEW
        courier._attend_at = now
    vendor.agent.pool.poke(b"")
    assert await has(vendor, "SELECT count(*) AS n FROM attestation WHERE word IS NOT NULL GROUP BY 1 = 1 HAVING n = 2")


async def test_relay_that_proves_nothing_of_a_domain_never_costs_a_stamp_the_policy_forbids(
    ground: Ground, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One relay has seen the domain; at the other only the stamp of 28 bits would do, which nobody makes."""
    site.names("Nordwind")
    blind = ground.relays[1]
    blind._wellknown.mapped = {}
    vendor, person = await ground.vendor(policy=NAMED), await ground.person()
    async with no_stamp(monkeypatch):
        await ground.cast(person, "domain", "stamp:28")
        (offer,) = await offered(person)
        assert await has(vendor, "SELECT 1 FROM delivery WHERE code = 'refused.mailbox.not-admitted'")
    assert offer["domain"]["witnesses"] == [ground.urls[0]]
    assert offer["witnessed"] == "domain seen by one of your relays"


async def test_relay_that_lost_the_profile_is_given_it_again_before_it_is_asked(ground: Ground, site: Site) -> None:
    site.names("Nordwind")
    vendor = await ground.vendor(policy=NAMED)
    await ground.relay()
    vendor.agent.settings = Settings(ground.urls)
    async with vendor.store.transaction() as tx:
        # What its outbox has delivered is not delivered again by itself.
        await tx.run("UPDATE delivery SET state = 'done'")
    new = ground.relays[-1].config.url
    vendor.agent.responder.relays = ground.urls
    async with aiohttp.ClientSession() as http:
        link = await open_link(http, new)
        await vendor.responder.standing.attend(new, link)
        await link.close()
    (row,) = await vendor.rows("SELECT * FROM attestation WHERE relay = ?", new)
    assert (row["domain"], row["reason"]) == (DOMAIN, None)


async def test_word_that_the_relay_s_own_key_did_not_sign_is_not_used(
    ground: Ground, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.names("Nordwind")
    liar, honest = ground.relays
    info = liar.info() | {"key": did(public_key(seed("another")))}
    monkeypatch.setattr(liar, "info", lambda: info)
    vendor = await ground.vendor(policy=NAMED)
    rows = {row["relay"]: row for row in await vendor.rows("SELECT * FROM attestation")}
    assert rows[honest.config.url]["word"]
    assert rows[liar.config.url]["word"] is None
    assert "not signed by the key in its info document" in rows[liar.config.url]["reason"]
    # A key that changed since it was read is read again, and no reason to disbelieve.
    monkeypatch.undo()
    await Service(vendor.agent).vendor_domain_check()
    assert await has(vendor, "SELECT count(*) AS n FROM attestation WHERE reason IS NULL GROUP BY 1 = 1 HAVING n = 2")


async def test_domain_lost_to_another_session_falls_back_to_the_next_rung(
    ground: Ground, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two bots of one domain: one comes in by it, the other has to work."""
    monkeypatch.setattr(outbox_room, "_RETRY", (0, 0, 0, 1))
    keys = [did(public_key(seed(f"{name} vendor"))) for name in ("Nordwind", "Nordwind II")]
    site.documents[DOMAIN] = {"keys": [{"key": key} for key in keys]}
    for name in ("Nordwind", "Nordwind II"):
        await ground.vendor(name, policy=NAMED)
    person = await ground.person()
    await ground.cast(person, "domain", "stamp:4")
    offers = await offered(person, 2)
    assert {(one["vendor"], one["witnesses"]) for one in offers} == {("Nordwind", 2), ("Nordwind II", 2)}


async def test_changed_domain_is_in_the_profile_and_the_old_one_s_word_is_dropped(ground: Ground, site: Site) -> None:
    site.names("Nordwind")
    vendor = await ground.vendor(policy=NAMED)
    path = vendor.home.config.with_name("policy.toml")
    await Service(vendor.agent).vendor_policy(path.read_text().replace(DOMAIN, "suedwind.example"))
    assert await vendor.agent.catch_up(10) == ()
    rows = await vendor.rows("SELECT domain, word, reason FROM attestation")
    assert [(row["domain"], row["word"]) for row in rows] == [("suedwind.example", None)] * 2
    site.names("Nordwind", "suedwind.example")
    for relay in ground.relays:
        relay._rooms.domains._known.clear()
    found = await Service(vendor.agent).vendor_domain_check()
    assert all(one["seen"] for one in found["relays"].values())


async def test_domain_document_names_this_vendor_s_key(ground: Ground) -> None:
    vendor = await ground.vendor(policy=NAMED)
    found = await Service(vendor.agent).vendor_domain()
    assert found["url"] == f"https://{DOMAIN}/.well-known/intentcast.json"
    assert found["document"] == {"keys": [{"key": did(vendor.responder.key)}]}
    with pytest.raises(StateError, match="names no domain"):
        await Service((await ground.vendor("Ostwind")).agent).vendor_domain()


# Whose word counts


async def test_person_learns_the_key_of_each_relay_from_its_info_document(ground: Ground) -> None:
    person = await ground.person()
    await ground.cast(person, "stamp:4")
    await person.agent.relay_keys.settle(5)
    known = {row["relay"]: row["key"] for row in await person.rows("SELECT * FROM relay_key")}
    assert known == {relay.config.url: relay.info()["key"] for relay in ground.relays}


async def test_attestation_of_another_key_domain_relay_or_time_is_as_if_absent(table: Table) -> None:
    """Each fault alone; the same attestation without it counts, so that the search can find."""
    relay, url = seed("relay"), "ws://127.0.0.1:1"
    person = await table.person()
    demand = await person.cast()
    async with person.store.transaction() as tx:
        sql = "INSERT INTO relay_key (relay, key, seen) VALUES (?, ?, 0)"
        await tx.run(sql, url, did(public_key(relay)))
        await tx.run(sql, "wss://stranger.example", did(public_key(seed("stranger"))))
    now = table.clock.now
    vendor = table.forger(demand)
    good = {"url": url, "key": vendor.key, "domain": DOMAIN, "seen": now, "expires": now + DAY}
    tampered = attest(relay, **good).wire()
    cases: dict[str, tuple[Any, int]] = {
        "good": (attest(relay, **good).wire(), 1),
        "of another key": (attest(relay, **good | {"key": public_key(seed("x"))}).wire(), 0),
        "of another domain": (attest(relay, **good | {"domain": "other.example"}).wire(), 0),
        "by a relay of nobody's": (attest(seed("unknown"), **good).wire(), 0),
        "by a relay that does not carry this demand": (attest(seed("stranger"), **good).wire(), 0),
        "lapsed": (attest(relay, **good | {"seen": now - DAY, "expires": now - 1}).wire(), 0),
        "from the future": (attest(relay, **good | {"seen": now + MAX_SKEW + 1}).wire(), 0),
        "tampered with": ([tampered[0], bytes(64)], 0),
        "no attestation": (5, 0),
        "the same twice": (attest(relay, **good).wire(), 1),
    }
    for name, (word, count) in cases.items():
        words = [word, word] if name == "the same twice" else [word]
        offer = vendor.offer(offeredBy={"name": "Nordwind", "domain": DOMAIN}, attestations=words)
        await person.take(vendor.seal(offer))
        async with person.store.reading() as tx:
            seen = await desk.find_witnesses(tx, await person.dialogue(tx, vendor.session), now)
        assert [relay for relay, _ in seen] == [url] * count, name
    for nonsense in (5, {"relay": 1}, None, [[[]]] * 100):
        await person.take(vendor.seal(vendor.offer(offeredBy={"name": "N", "domain": DOMAIN}, attestations=nonsense)))
        assert (await Service(person.agent).offer_view("o1"))["witnesses"] == 0
    await person.take(vendor.seal(vendor.offer(offeredBy={"name": "N", "domain": DOMAIN}, attestations=words)))
    view = await Service(person.agent).offer_view("o1")
    assert view["witnessed"] == "domain seen by one of your relays"
    with pytest.raises(StateError, match=r"one of your relays.*--yes"):
        await person.accept(vendor.session, say_so=False)


async def test_word_that_lapses_before_the_accept_is_not_in_the_agreement(table: Table) -> None:
    person = await table.person()
    relays = {"ws://127.0.0.1:1": seed("one")}
    demand = await person.cast()
    vendor = table.forger(demand)
    now = table.clock.now
    async with person.store.transaction() as tx:
        for url, secret in relays.items():
            await tx.run("INSERT INTO relay_key (relay, key, seen) VALUES (?, ?, 0)", url, did(public_key(secret)))
    words = [
        attest(secret, url=url, key=vendor.key, domain=DOMAIN, seen=now, expires=now + 60).wire()
        for url, secret in relays.items()
    ]
    offer = vendor.offer(offeredBy={"name": "Nordwind", "domain": DOMAIN}, attestations=words)
    await person.take(vendor.seal(offer))
    assert (await Service(person.agent).offer_view("o1"))["witnesses"] == 1
    table.clock.now += 61
    accept = await person.accept(vendor.session)
    confirm = vendor.say("confirm", {"accept": accept.id, "reply": vendor.replies[-1].public})
    await person.take(vendor.seal(confirm))
    bundle = await Service(person.agent).agreement_bundle("a1")
    assert verify_agreement(bytes.fromhex(bundle["bundle"])).witnesses == ()


# Invitations


async def test_closed_demand_is_answered_by_whom_it_invites_and_by_no_other(ground: Ground) -> None:
    invited, other, person = await ground.vendor("Nordwind"), await ground.vendor("Südwind"), await ground.person()
    demand = await ground.cast(person, "invite")
    assert {await outcome(invited, demand), await outcome(other, demand)} == {"passed"}
    service = Service(person.agent)
    made = await service.demand_invite("d1", did(invited.responder.key))
    with pytest.raises(StateError, match="not for this vendor"):
        await Service(other.agent).vendor_invitation_add(made["text"])
    held = await Service(invited.agent).vendor_invitation_add(made["text"])
    assert (held["role"], held["uses"], held["until"]) == ("held", 1, demand.expires)
    assert (await Service(invited.agent).vendor_invitation_add(made["text"]))["name"] == held["name"], "once is enough"
    (offer,) = await offered(person)
    assert offer["vendor"] == "Nordwind"
    assert await has(invited, "SELECT sum(state != 'done') AS n FROM delivery GROUP BY 1 = 1 HAVING n = 0")
    assert await other.count("session") == 0
    rows = await person.rows("SELECT role, chain FROM invitation")
    assert [row["role"] for row in rows] == ["made"]
    assert invited.responder.key not in rows[0]["chain"], "who is invited to what is sealed"


async def test_invitation_passed_on_lets_the_next_one_in_and_is_used_up(ground: Ground) -> None:
    first, second, third = [await ground.vendor(name) for name in ("Nordwind", "Südwind", "Ostwind")]
    person = await ground.person()
    demand = await ground.cast(person, "invite")
    for vendor in (first, second, third):
        await outcome(vendor, demand)
    made = await Service(person.agent).demand_invite("d1", did(first.responder.key), uses=2, onward=True)
    await Service(first.agent).vendor_invitation_add(made["text"])
    await offered(person, 1)
    passed = [
        await Service(first.agent).vendor_invitation_pass_on(text, did(vendor.responder.key))
        for text, vendor in ((made["text"], second), ("i1", third))
    ]
    assert len(parse_chain(passed[0]["text"]).links) == 2
    await Service(second.agent).vendor_invitation_add(passed[0]["text"])
    offers = await offered(person, 2)
    assert [one["vendor"] for one in offers] == ["Nordwind", "Südwind"]

    async def used_up() -> bool:
        found = await second.rows("SELECT 1 FROM delivery WHERE state != 'done'")
        return not found

    assert await second.agent.until(used_up, 10)
    # Two came by it at each relay, so a third does not.
    await Service(third.agent).vendor_invitation_add(passed[1]["text"])
    sql = "SELECT 1 FROM delivery d JOIN outbox o ON o.number = d.outbox WHERE o.message IS NOT NULL AND d.code = "
    assert await has(third, sql + "'refused.mailbox.not-admitted'")
    assert len((await Service(person.agent).offer_list())["offers"]) == 2
    with pytest.raises(StateError, match="did not allow"):
        await Service(second.agent).vendor_invitation_pass_on(passed[0]["text"], did(third.responder.key))
    listed = await Service(first.agent).vendor_invitation_list()
    assert [one["role"] for one in listed["invitations"]] == ["passed", "passed", "held"]


async def test_invitation_that_opens_nothing_is_not_signed(table: Table) -> None:
    person = await table.person()
    await person.cast()
    service, to = Service(person.agent), did(public_key(seed("x")))
    with pytest.raises(StateError, match="admit lists no invite"):
        await service.demand_invite("d1", to)
    demand = await person.cast(draft("invite"))
    for named, code in (
        ({"uses": 0}, "invalid.invitation.malformed"),
        ({"until": table.clock.now}, "refused.record.expired"),
        ({"until": table.clock.now + 401 * DAY}, "refused.limit.exceeded"),
    ):
        with pytest.raises((InvalidMessage, Refused)) as caught:
            await service.demand_invite("d2", to, **named)
        assert caught.value.code == code
    await person.withdraw(demand)
    with pytest.raises(StateError, match="withdrawn"):
        await service.demand_invite("d2", to)
    assert await person.count("invitation") == 0


@pytest.mark.parametrize(
    "text", ["", "intentcast-invite:", "intentcast-invite:AAAA", "x" * 5_000, "i9", "i" + "9" * 30]
)
async def test_text_that_is_no_invitation_is_refused_with_a_code(table: Table, text: str) -> None:
    vendor = await table.vendor()
    service = Service(vendor.agent)
    with pytest.raises(InvalidMessage):
        await service.vendor_invitation_add(text)
    with pytest.raises((InvalidMessage, NotFound)):
        await service.vendor_invitation_pass_on(text, did(public_key(seed("x"))))


async def test_ended_invitation_is_not_shown_and_forgotten_a_month_later(table: Table) -> None:
    vendor = await table.vendor()
    now = table.clock.now
    person = seed("person")
    chain = invite(person, to=vendor.responder.key, uses=1, until=now + 60)
    async with vendor.store.transaction() as tx:
        await invitation.keep(tx, chain, "held", now)
        assert await invitation.find_held(tx, chain.demand, now + 59) == chain
        assert await invitation.find_held(tx, chain.demand, now + 60) is None
        await upkeep.prune(tx, now + 60)
        assert await tx.one("SELECT 1 FROM invitation")
        await upkeep.prune(tx, now + 60 + 30 * DAY + 1)
        assert not await tx.one("SELECT 1 FROM invitation")


# Mailboxes that outlive the demand


async def test_mailboxes_of_an_agreement_are_kept_beyond_the_demand(ground: Ground, site: Site) -> None:
    site.names("Nordwind")
    await ground.vendor(policy=NAMED)
    person = await ground.person()
    demand = await ground.cast(person, "domain")
    (offer,) = await offered(person)
    await Service(person.agent).deal_accept(offer["name"])
    await Service(person.agent).deal_wait(offer["name"], 15)
    assert await has(person, "SELECT count(*) AS n FROM kept GROUP BY session HAVING n = 2")
    now = int(time.time())
    (session,) = await person.rows("SELECT key FROM session")
    for row in await person.rows("SELECT due FROM kept"):
        assert row["due"] > now + 100 * DAY, "the relay agreed, and is told again in half a year"
    for relay in ground.relays:
        until = await kept_until(relay, demand.author, session["key"])
        assert until > demand.expires + 300 * DAY


async def test_relay_where_the_vendor_never_wrote_is_asked_to_keep_its_mailbox_once_a_day_at_most(
    ground: Ground, site: Site
) -> None:
    await ground.vendor(relays=ground.urls[:1])
    person = await ground.person()
    await ground.cast(person, "stamp:4")
    (offer,) = await offered(person)
    await Service(person.agent).deal_accept(offer["name"], say_so=True)
    await Service(person.agent).deal_wait(offer["name"], 15)
    assert await has(person, "SELECT count(*) AS n FROM kept GROUP BY session HAVING n = 2")
    now = int(time.time())
    due = {row["relay"]: row["due"] for row in await person.rows("SELECT * FROM kept")}
    assert due[ground.urls[0]] > now + 100 * DAY
    assert now + DAY - 60 < due[ground.urls[1]] <= now + DAY


async def kept_until(relay: Any, person: bytes, session: bytes) -> int:
    await relay.flush()
    with sqlite3.connect(f"file:{relay.config.database}?mode=ro", uri=True) as db:
        (until,) = db.execute(
            "SELECT until FROM admission WHERE person = ? AND session = ?", (person, session)
        ).fetchone()
    db.close()
    return int(until)
