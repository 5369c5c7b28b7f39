"""What never leaves, searched for in every byte that does. DESIGN §4.4, §4.6"""

import sqlite3
from pathlib import Path
from typing import Any

from intentcast_agent.person import desk
from intentcast_agent.service import Service
from intentcast_agent.vendor.responder import open_responder
from intentcast_protocol.encoding import decode
from intentcast_protocol.record import Record, verify
from intentcast_protocol.sealing import SealKey, unseal
from intentcast_protocol.testing import CARS

Table = Any  # the fixtures are conftest.py's
RESERVE = "17123"
PLACE = "52.0917"
CONTACT = {"name": "Zacharias Canary", "email": "canary@mail.example"}
# What counts for the person, and how much: each number is one that no record has a reason to hold.
CRITERIA = """
[cost]
extra = "313.37 EUR"
[rates]
USD = "0.91919"
[[criterion]]
name = "canary criterion"
path = "total"
weight = 616.16
linear = {worst = 97.531, best = 24.68}
unit = "%"
[[criterion]]
name = "other canary"
path = "itemOffered.canaryPath"
weight = 717.17
table = {canaryvalue = 0.8181}
"""
SCALES = ("313.37", "91919", "616.16", "97.531", "24.68", "717.17", "8181", "canary criterion", "canaryPath",
          "canaryvalue")  # fmt: skip
MANDATE = """
most = "17666.61 EUR"
ask_above = "17555.51 EUR"
target = "15222.21 EUR"
rounds = 3
within = "10m"
witnesses = 0
[acts]
accept = "auto"
"""
# The two totals, and all that could be told of one to the other.
PRICES = {"Nordwind": "17911.91", "Südwind": "17822.82"}
DEMAND = f"""\
name = "A small car"
category = "{CARS}"
max_price = "20000 EUR"
near = {{ lat = {PLACE}, lon = 5.1204, radius_km = 50 }}
expires = "7d"
rounds = 5
admit = ["stamp:4"]
[private]
reserve = "{RESERVE} EUR"
"""


def open_all(record: Record, keys: list[SealKey]) -> list[bytes]:
    """Return the payload of a record and, if any of `keys` opens it, of the one inside."""
    envelope = verify(record)
    if envelope.type != "sealed":
        return [record.payload]
    (key,) = [key for key in keys if key.public == envelope.body["key"]]
    return [record.payload, unseal(envelope, key).payload]


def strings(value: Any) -> str:
    """Return everything in a decoded payload as text, so that no encoding hides a canary."""
    if isinstance(value, dict):
        return "\n".join(strings(part) for pair in value.items() for part in pair)
    if isinstance(value, list):
        return "\n".join(map(strings, value))
    return value.decode("latin-1") if isinstance(value, bytes) else str(value)


async def vendor_keys(vendor: Any) -> list[SealKey]:
    """Return every key a vendor's home still holds that a person's message could be sealed to."""
    async with vendor.store.reading() as tx:
        rows = await tx.all("SELECT * FROM reply_key")
        return [SealKey(row["public"], tx.open("reply_key", "secret", row["public"], row["secret"])) for row in rows]


class Wire:
    """Everything between a person and their vendors, carried by hand, kept, and opened at the end."""

    def __init__(self, person: Any, vendors: list[Any]) -> None:
        self.person, self.vendors = person, vendors
        self.published: list[Record] = []
        self.to: dict[bytes, Any] = {}  # session -> vendor
        self._keys: dict[Any, dict[bytes, SealKey]] = {vendor: {} for vendor in vendors}

    async def exchange(self) -> None:
        """Carry everything both ways until nobody has anything to say."""
        moved = True
        while moved:
            moved = False
            for vendor in self.vendors:
                self._keys[vendor] |= {key.public: key for key in await vendor_keys(vendor)}
            for record in await self.person.sent():
                moved = True
                self.published.append(record)
                envelope = verify(record)
                if envelope.type == "demand":
                    for vendor in self.vendors:
                        await vendor.hear(record)
                elif envelope.type == "sealed":
                    await self.to[envelope.to].take(record)
            for vendor in self.vendors:
                for row in await vendor.rows("SELECT key FROM session"):
                    self.to[row["key"]] = vendor
                for record in await vendor.sent():
                    if verify(record).type == "sealed":
                        moved = True
                        await self.person.take(record)

    def opened(self) -> dict[Any, list[str]]:
        """Return all that the person published: what each vendor could open, and under None what everyone could."""
        found: dict[Any, list[str]] = {vendor: [] for vendor in (*self.vendors, None)}
        for record in self.published:
            vendor = self.to.get(verify(record).to) if verify(record).type == "sealed" else None
            for payload in open_all(record, list(self._keys[vendor].values()) if vendor else []):
                found[vendor].append(strings(decode(payload)))
        return found


async def test_reserve_place_and_rival_offers_are_in_no_byte_that_leaves(table: Table) -> None:
    """A whole session with a winner and a loser; every record that was published is opened and searched."""
    person = await table.person()
    async with person.store.transaction() as tx:
        await tx.put_private("contact", CONTACT)
    service = Service(person.agent)
    assert "canaryPath" in (await service.criteria_set(CRITERIA))["text"]
    winner, loser = [await table.vendor(name, price=price) for name, price in PRICES.items()]
    wire = Wire(person, [winner, loser])

    demand = await person.cast(DEMAND)
    await wire.exchange()
    sessions = {vendor: key for key, vendor in wire.to.items()}
    compared = await service.offer_compare(f"d{(await person.rows('SELECT number FROM demand'))[0]['number']}")
    assert [one["name"] for one in compared["criteria"]] == ["canary criterion", "other canary"]
    await person.counter(sessions[winner], "17300.00")
    await person.counter(sessions[loser], "17100.00")
    await wire.exchange()
    await person.accept(sessions[winner])
    await wire.exchange()
    assert await person.state(sessions[winner]) == "agreed"
    table.clock.now += desk._CLOSE_WITHIN[1]
    await person.agent.turn_clock(table.clock.now)
    await wire.exchange()
    assert await person.state(sessions[loser]) == "declined"

    opened = wire.opened()
    assert demand.id in [record.id for record in wire.published]
    # The search itself can find: the winner did learn the contact, and each heard their own price talked of.
    assert any(CONTACT["email"] in text for text in opened[winner])
    assert any("17300.00" in text for text in opened[winner])
    assert any("17100.00" in text for text in opened[loser])

    everything = "\n".join(text for texts in opened.values() for text in texts)
    for secret in (RESERVE, PLACE, "5.1204", *SCALES):
        assert secret not in everything
    for vendor, rival, price in ((winner, "Südwind", "17822"), (loser, "Nordwind", "17911")):
        heard = "\n".join(opened[vendor] + opened[None])
        assert rival not in heard
        assert price not in heard
    assert "17100" not in "\n".join(opened[winner])
    assert "17300" not in "\n".join(opened[loser])
    for value in CONTACT.values():
        assert value not in "\n".join(opened[loser] + opened[None])


async def test_a_mandate_and_its_haggling_tell_nobody_of_limits_or_rivals(table: Table) -> None:
    """Two vendors bargained with at once, to the end: all that either could open is searched."""
    person = await table.person()
    service = Service(person.agent)
    person.agent.online = True  # the wire carries; nothing here dials
    ladder = 'ladder = ["0%", "1.07%", "2.03%"]'
    vendors = [await table.vendor(name, price=price) for name, price in PRICES.items()]
    for vendor in vendors:
        path = vendor.home.config.with_name("policy.toml")
        path.write_text(path.read_text().replace('ladder = ["0%", "2%", "4%"]', ladder))
        vendor.agent.responder = await open_responder(vendor.agent)
        vendor.side = vendor.responder.side
    wire = Wire(person, vendors)
    await person.cast(DEMAND)
    await wire.exchange()
    await service.haggle_begin("d1", MANDATE)
    table.clock.now += 60
    for _ in range(20):
        await person.agent.haggler.take_turns()
        await wire.exchange()
        table.clock.now += 1
    assert (await service.haggle_view("d1"))["state"] == "agreed"
    asked = {vendor: set[str]() for vendor in vendors}
    for message in await person.messages():
        if message.type == "counter":
            asked[wire.to[message.session]].add(message.body["priceSpecification"]["price"])
    assert all(asked.values())

    opened = wire.opened()
    for one, rival in (vendors, vendors[::-1]):
        heard = "\n".join(opened[one] + opened[None])
        assert any(price in heard for price in asked[one])
        for secret in ("17666.61", "17555.51", "15222.21", "17555.52", "measured"):
            assert secret not in heard
        assert rival.responder.policy.name not in heard
        theirs = {
            message.body["priceSpecification"]["price"] for message in await rival.messages() if message.type == "offer"
        }
        assert not [price for price in theirs - asked[one] if price in heard]


async def test_floor_and_ladder_are_in_no_byte_that_a_vendor_sends(table: Table) -> None:
    """The person bids below the floor until no round is left; only prices the vendor chose to offer were heard."""
    person = await table.person()
    vendor = await table.vendor("Nordwind", policy="rounds = 3\n")
    path = vendor.home.config.with_name("policy.toml")
    path.write_text(
        path.read_text().replace('"90%"', '"17171.71"').replace('["0%", "2%", "4%"]', '["0%", "1.1%", "3.3%", "90.9%"]')
    )
    vendor.agent.responder = await open_responder(vendor.agent)
    vendor.side = vendor.responder.side
    heard: list[Record] = []
    demand = await person.cast()
    (record,) = await person.sent()
    await vendor.hear(record)
    for bid in ("9000.00", "9100.00", None):
        for sent in await vendor.sent():
            heard.append(sent)
            if verify(sent).type == "sealed":
                await person.take(sent)
        (row,) = await person.rows("SELECT key, state FROM session WHERE demand = ?", demand.id)
        if bid and row["state"] == "offered":
            await person.counter(row["key"], bid)
            await table.carry(person, vendor)
    said = [message for message in await person.messages() if message.author == vendor.responder.key]
    text = "\n".join(strings(decode(one)) for one in [*(m.record.payload for m in said), *(r.payload for r in heard)])
    assert [message.type for message in said] == ["offer", "offer", "offer"]
    assert "17406.00" in text, "the search can find: this is the second step of the ladder, and was offered"
    for secret in ("17171", "1.1%", "3.3%", "90.9", "floor", "ladder", "rounds"):
        assert secret not in text


def on_disk(folder: Path) -> bytes:
    """Return every byte of a home's database and its log."""
    return b"".join(path.read_bytes() for path in sorted(folder.glob("agent.db*")))


async def test_what_is_private_is_in_no_file_of_the_database_in_the_clear(table: Table) -> None:
    person, vendor = await table.person(), await table.vendor("Nordwind")
    async with person.store.transaction() as tx:
        await tx.put_private("contact", CONTACT)
    await Service(person.agent).criteria_set(CRITERIA)
    demand, (session,) = await table.offered(person, vendor, text=DEMAND)
    async with person.store.reading() as tx:
        row = await tx.one("SELECT * FROM demand")
        assert row is not None
        secrets = [tx.open("demand", name, demand.id, row[name]) for name in ("seed", "offer_secret")]
    await person.counter(session, "17311.00")
    for source, target in ((person, vendor), (vendor, person)):
        await table.carry(source, target)
    await person.accept(session)
    for source, target in ((person, vendor), (vendor, person), (person, vendor)):
        await table.carry(source, target)
    assert (await person.count("agreement"), await vendor.count("agreement")) == (1, 1)

    async with person.store.reading() as tx:
        rows = await tx.all("SELECT * FROM reply_key")
        secrets += [tx.open("reply_key", "secret", row["public"], row["secret"]) for row in rows]
    async with vendor.store.reading() as tx:
        rows = await tx.all("SELECT * FROM session")
        secrets += [tx.open("session", "seed", row["key"], row["seed"]) for row in rows]
        told = await tx.get_private(f"contact:{session.hex()}")
    assert told == CONTACT
    assert len(secrets) >= 4

    mine, theirs = on_disk(person.home.database.parent), on_disk(vendor.home.database.parent)
    assert demand.id in mine, "the search can find what is not private"
    for canary in (
        RESERVE.encode(),
        b"17311.00",
        *(value.encode() for value in SCALES),
        *(value.encode() for value in CONTACT.values()),
        *secrets,
    ):
        assert canary not in mine
    for canary in (*(value.encode() for value in CONTACT.values()), b"17311.00", *secrets):
        assert canary not in theirs


async def test_erased_keys_leave_no_trace_in_the_database_file(table: Table) -> None:
    """Whoever gets the home and its data key later must not find what was erased, not even sealed."""
    person = await table.person()
    demand = await person.cast()
    vendor = table.forger(demand)
    await person.take(vendor.seal(vendor.offer()))
    await person.counter(vendor.session, "17000.00")
    cells = [row["offer_secret"] for row in await person.rows("SELECT offer_secret FROM demand")]
    cells += [row["secret"] for row in await person.rows("SELECT secret FROM reply_key")]
    (counter,) = vendor.open(await person.sent())
    vendor.to_key = counter.body["reply"]
    accept = await person.accept(vendor.session)
    (sent,) = vendor.open(await person.sent())
    vendor.to_key = sent.body["reply"]
    await person.take(vendor.seal(vendor.say("confirm", {"accept": accept.id, "reply": vendor.replies[-1].public})))
    assert await person.rows("SELECT public FROM reply_key WHERE public = ?", counter.body["reply"]) == []
    assert await person.rows("SELECT offer_secret FROM demand") == [{"offer_secret": None}]

    log = sqlite3.connect(person.home.database)
    log.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    log.close()
    file = on_disk(person.home.database.parent)
    assert len(cells) == 2
    assert not any(cell in file for cell in cells)
