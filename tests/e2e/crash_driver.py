"""Lives and deaths of one side of a session: a process that ends itself at its Nth durable effect, and what it does.

Run as a program this is a nursery: each line on its standard input names one life, which it forks, waits for, and
reports. A fork of a process that has imported everything takes milliseconds, so that hundreds of lives fit a minute.
Loaded as a module it makes the homes, drives a person, and says what is in a store afterwards.
"""

import asyncio
import json
import os
import signal
import sys
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import aiosqlite
from intentcast_agent import outbox, pool
from intentcast_agent.agent import Agent, run_agent
from intentcast_agent.home import Home, find_home, lock_home
from intentcast_agent.keystore import create, open_keystore
from intentcast_agent.service import Service
from intentcast_agent.settings import Settings, write_settings
from intentcast_agent.store import Transaction, open_store
from intentcast_agent.vendor import stockroom
from intentcast_agent.vendor.inventory.stock import StockItem
from intentcast_protocol.agreement import verify_agreement
from intentcast_relay import server
from intentcast_relay.config import Config
from intentcast_relay.store.contract import Changes
from intentcast_relay.store.sqlite import SqliteStore

KILLED = 137
LONGEST_LIFE = 30  # s
PATIENCE = (0.02, 0.05)
RETRY = (0, 1, 1)
CONTACT = {"name": "A. Person", "email": "person@mail.example", "postalCode": "3511 LX"}
POLICY = """\
name = "Autohof Noord"
currency = "EUR"
floor = "90%"
ladder = ["0%", "2%", "4%"]
validity = "30m"
"""
DEMAND = """\
name = "A small car"
category = "{category}"
max_price = "20000 EUR"
expires = "1d"
admit = ["stamp:4"]
relays = {relays}
[private]
reserve = "17123 EUR"
"""


async def until(holds: Callable[[], Awaitable[Any]], within: float = 30.0) -> None:
    """Look at a condition until it holds; raises TimeoutError naming it when it does not in time."""
    deadline = time.monotonic() + within
    while not await holds():
        if time.monotonic() > deadline:
            raise TimeoutError(f"this never came to hold: {holds}")
        await asyncio.sleep(0.01)


def hurry(patch: Callable[[object, str, object], None] = setattr) -> None:
    """Dial and deliver again without the long waits of real life."""
    patch(pool, "_PATIENCE", PATIENCE)
    patch(outbox, "_RETRY", RETRY)


# Homes


def make_home(path: Path, relays: tuple[str, ...]) -> Home:
    """Make a home with a keystore that opens by itself."""
    home = find_home({"INTENTCAST_HOME": str(path)})
    home.prepare()
    create(home.keystore, None)
    write_settings(home, Settings(relays))
    return home


async def make_vendor(path: Path, relays: tuple[str, ...], category: str, policy: str = POLICY, stock: int = 1) -> Home:
    """Make a vendor with a few things of one kind to sell."""
    home = make_home(path, relays)
    keystore = open_keystore(home.keystore, None)
    for name in ("vendor", "profile-seal"):
        keystore.put(name, os.urandom(32))
    home.config.with_name("policy.toml").write_text(policy)
    item = {"@type": "Car", "name": "2018 VW Golf", "category": category, "sku": "golf"}
    store = await open_store(home.database, keystore.data_key)
    async with store.transaction() as tx:
        await stockroom.load(tx, "cars", (StockItem("golf", item, "18000.00", "EUR", stock),))
    await store.close()
    return home


async def make_person(path: Path, relays: tuple[str, ...]) -> Home:
    """Make a person who can be reached."""
    home = make_home(path, relays)
    store = await open_store(home.database, open_keystore(home.keystore, None).data_key)
    async with store.transaction() as tx:
        await tx.put_private("contact", CONTACT)
    await store.close()
    return home


# What each side does with its life


@dataclass(frozen=True)
class Plan:
    """What a session is about, where it runs, and on how many of these relays all must be in the end."""

    category: str
    relays: tuple[str, ...]
    everywhere: bool = True


async def live_vendor(agent: Agent, plan: Plan) -> None:
    """Serve until one person's deal is done and all is said."""
    await agent.go_online()
    await until(partial(_vendor_done, agent, plan), LONGEST_LIFE)


async def _vendor_done(agent: Agent, plan: Plan) -> bool:
    async with agent.store.reading() as tx:
        contact = await tx.one("SELECT 1 FROM private WHERE name LIKE 'contact:%'")
        return contact is not None and await _all_sent(tx, plan)


async def live_person(agent: Agent, plan: Plan) -> None:
    """Go on from wherever the store is: cast once, counter once, accept once, and stay until all is said."""
    service = Service(agent)
    await agent.go_online()
    demands = await service.demand_list()
    if not demands["demands"]:
        drafts = demands["drafts"] or [
            await service.demand_preview(DEMAND.format(category=plan.category, relays=json.dumps(plan.relays)))
        ]
        await service.demand_cast(drafts[0]["draft"], within=0)
    await until(partial(_person_done, agent, service, plan), LONGEST_LIFE)


async def _person_done(agent: Agent, service: Service, plan: Plan) -> bool:
    offers = (await service.offer_list())["offers"]
    for offer in offers:
        if offer["state"] == "offered":
            messages = (await service.offer_view(offer["name"]))["messages"]
            counters = [message for message in messages if message["type"] == "counter"]
            if not counters:
                await service.deal_counter(offer["name"], "17500.00")
            else:
                await service.deal_accept(offer["name"], say_so=True)
    async with agent.store.reading() as tx:
        agreed = await tx.one("SELECT 1 FROM agreement")
        return agreed is not None and await _all_sent(tx, plan)


async def _all_sent(tx: Transaction, plan: Plan) -> bool:
    done = "(SELECT sum(state = 'done') FROM delivery d WHERE d.outbox = o.number)"
    least = "(SELECT count(*) FROM delivery d WHERE d.outbox = o.number)" if plan.everywhere else "1"
    return await tx.one(f"SELECT 1 FROM outbox o WHERE {done} < {least}") is None


async def live(role: str, home: Home, plan: Plan) -> None:
    """Live one side's life in this process."""
    with lock_home(home):
        async with run_agent(home, open_keystore(home.keystore, None)) as agent:
            await (live_vendor(agent, plan) if role == "vendor" else live_person(agent, plan))


async def live_relay(listen: str, database: Path) -> None:
    """Serve until SIGTERM."""
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    async with server.running(Config(listen=listen, database=database)):
        await stop.wait()


# How it dies


def die_at(effect: int, when: str) -> None:
    """End this process right before or right after its Nth commit that changes anything, in the thread that commits."""
    passed = changes = 0

    def agent_commit(db: aiosqlite.Connection) -> None:
        nonlocal passed, changes
        passed += db.total_changes > changes
        due, changes = db.total_changes > changes and passed == effect, db.total_changes
        if due and when == "before":
            os._exit(KILLED)
        db._conn.commit()
        if due:
            os._exit(KILLED)

    async def commit(self: aiosqlite.Connection) -> None:
        await self._execute(agent_commit, self)

    # The relay commits between its `_apply` and the end of its `_write`.
    apply, write = SqliteStore._apply, SqliteStore._write

    def relay_apply(self: SqliteStore, work: Changes) -> None:
        nonlocal passed, changes
        apply(self, work)
        changes = bool(work.insert or work.delete or work.admit)
        passed += changes
        if changes and when == "before" and passed == effect:
            os._exit(KILLED)

    def relay_write(self: SqliteStore, *arguments: Any) -> Changes:
        done = write(self, *arguments)
        if changes and passed == effect:
            os._exit(KILLED)
        return done

    aiosqlite.Connection.commit = commit  # type: ignore[method-assign]
    SqliteStore._apply, SqliteStore._write = relay_apply, relay_write  # type: ignore[method-assign]


# The nursery


@dataclass
class Nursery:
    """The test's end of the program below."""

    process: asyncio.subprocess.Process
    pid: int | None = None
    began: asyncio.Event = field(default_factory=asyncio.Event)

    async def life(self, **command: Any) -> int:
        """Live one life to its end and return its exit status."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps(command, default=str).encode() + b"\n")
        await self.process.stdin.drain()
        self.pid = int(await self.process.stdout.readline())
        self.began.set()
        try:
            return int(await self.process.stdout.readline())
        finally:
            self.pid = None
            self.began.clear()

    def kill(self, number: int) -> None:
        """Send a signal to whoever lives now."""
        if self.pid is not None:
            os.kill(self.pid, number)

    async def close(self) -> None:
        """End the life that may still be, then the nursery."""
        self.kill(signal.SIGKILL)
        assert self.process.stdin is not None
        self.process.stdin.close()
        await self.process.wait()


async def open_nursery(log: Path) -> Nursery:
    """Start the program below; what its children write goes to `log`."""
    with log.open("ab") as errors:
        process = await asyncio.create_subprocess_exec(
            sys.executable, __file__, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=errors
        )
    return Nursery(process)


def _raise_child(command: dict[str, Any]) -> None:
    # A child that nobody ends, because the test itself was killed, ends by itself.
    signal.alarm(LONGEST_LIFE + 30)
    hurry()
    if command.get("at"):
        die_at(command["at"], command["when"])
    if command["role"] == "relay":
        asyncio.run(live_relay(command["listen"], Path(command["database"])))
    else:
        home = find_home({"INTENTCAST_HOME": command["home"]})
        asyncio.run(live(command["role"], home, Plan(command["category"], tuple(command["relays"]))))


def main() -> None:
    """Fork a child for each line of standard input; print its pid, and when it is over its exit status."""
    for line in sys.stdin.buffer:
        pid = os.fork()
        if pid == 0:
            status = 1
            try:
                os.dup2(2, 1)
                _raise_child(json.loads(line))
                status = 0
            except BaseException as error:  # the child must never come back into this loop
                print(f"{type(error).__name__}: {error}", file=sys.stderr, flush=True)
                raise
            finally:
                sys.stderr.flush()
                os._exit(status)
        print(pid, flush=True)
        _, ended = os.waitpid(pid, 0)
        print(os.waitstatus_to_exitcode(ended), flush=True)


# What is there afterwards


@dataclass(frozen=True)
class Facts:
    """What one side's store holds when all is over."""

    agreements: dict[bytes, bytes]
    states: list[str]
    messages: list[tuple[bytes, str, int, bytes, str]]
    unprocessed: int
    evidence: int
    rejected: list[str]
    reservations: int
    deliveries: list[tuple[str, str]]
    private: dict[str, Any]


async def facts(home: Home) -> Facts:
    """Read a store that nobody has open."""
    store = await open_store(home.database, open_keystore(home.keystore, None).data_key)
    try:
        async with store.reading() as tx:
            names = [row["name"] for row in await tx.all("SELECT name FROM private")]
            return Facts(
                agreements={
                    bytes(row["id"]): tx.open("agreement", "bundle", row["id"], row["bundle"])
                    for row in await tx.all("SELECT * FROM agreement")
                },
                states=[row["state"] for row in await tx.all("SELECT state FROM session ORDER BY number")],
                messages=sorted(
                    (bytes(row["session"]), row["author"], row["seq"], bytes(row["id"]), row["type"])
                    for row in await tx.all("SELECT * FROM message")
                ),
                unprocessed=len(await tx.all("SELECT 1 FROM message WHERE processed IS NULL")),
                evidence=len(await tx.all("SELECT 1 FROM evidence")),
                rejected=[row["code"] for row in await tx.all("SELECT code FROM rejected")],
                reservations=len(await tx.all("SELECT 1 FROM reservation")),
                deliveries=[(row["state"], row["code"]) for row in await tx.all("SELECT state, code FROM delivery")],
                private={name: await tx.get_private(name) for name in names},
            )
    finally:
        await store.close()


async def check_agreement(person: Home, vendor: Home, *, everywhere: bool = True) -> None:
    """Hold both stores against everything a session promises; raises AssertionError."""
    mine, theirs = await facts(person), await facts(vendor)
    assert len(mine.agreements) == 1, mine.agreements
    assert mine.agreements == theirs.agreements
    for name, data in mine.agreements.items():
        assert verify_agreement(data).id == name
    assert mine.states == theirs.states == ["agreed"], (mine.states, theirs.states)
    assert mine.messages == theirs.messages, "what one side said, the other has heard"
    numbers = [message[:3] for message in mine.messages]
    assert len(numbers) == len(set(numbers)), "one message under one number"
    types = sorted(message[4] for message in mine.messages)
    assert types == ["accept", "ack", "confirm", "counter", "disclose", "offer", "offer"], types
    for side in (mine, theirs):
        assert (side.unprocessed, side.evidence, side.rejected) == (0, 0, []), side
        assert {state for state, _ in side.deliveries} <= ({"done"} if everywhere else {"done", "queued"}), side
    assert theirs.reservations == 1
    assert [value for name, value in theirs.private.items() if name.startswith("contact:")] == [CONTACT]


if __name__ == "__main__":
    main()
