"""All connections of an agent: one courier for each relay and lane, dialling again with patience.

A lane is whose mail it is: each demand's key D has a connection of its own, so that no relay sees two demands side by
side; a vendor has one lane for all its sessions. Losing a relay loses nothing: what was not acknowledged is sent again,
what was not taken is read again.
"""

import asyncio
import contextlib
import logging
import random
import time
from collections.abc import Awaitable, Callable, Set
from dataclasses import dataclass, field

import aiohttp
from intentcast_protocol.errors import IntentcastError, InvalidMessage, Refused
from intentcast_protocol.frames import Closed, Cursor, Live, Records
from intentcast_protocol.identity import Key
from intentcast_protocol.invitation import Invitation
from intentcast_protocol.limits import MAX_STAMP, MAX_TAKE
from intentcast_protocol.record import Record
from intentcast_protocol.subscription import Filter

from intentcast_agent.link import Link, LinkDown, open_link
from intentcast_agent.outbox import Outbox, Parcel

log = logging.getLogger("intentcast.pool")
_PATIENCE = (0.2, 0.5, 1, 2, 5, 10, 30, 60)  # s before dialling again, jittered by half
_STEADY = 30  # s a connection must hold before patience starts anew


@dataclass(slots=True)
class Lane:
    """Whose mail it is, the keys to prove, and what to do with what comes."""

    name: bytes
    keys: Callable[[Set[Key]], Awaitable[list[tuple[bytes, Key]]]]  # (seed, key) of those not proven yet
    on_mail: Callable[[str, Record], Awaitable[None]]
    wanted: Filter | None = None
    on_public: Callable[[str, tuple[tuple[int, Record], ...]], Awaitable[None]] | None = None
    place: Callable[[str], Awaitable[Cursor | None]] | None = None
    keep_place: Callable[[str, Cursor], Awaitable[None]] | None = None
    # What a connection is owed besides mail, such as the proof of a domain; returns when to do it again (s), or None
    # for whenever the lane is poked.
    attend: Callable[[str, Link], Awaitable[int | None]] | None = None
    work: int = MAX_STAMP  # bits of a stamp that a first message may cost


@dataclass(slots=True)
class Courier:
    """Keeps one relay connected for one lane: reads mail, takes what was processed, delivers what is due."""

    relay: str
    lane: Lane
    outbox: Outbox
    http: aiohttp.ClientSession
    connected: bool = False
    ready: asyncio.Event = field(default_factory=asyncio.Event)
    _poke: asyncio.Event = field(default_factory=asyncio.Event)
    _mailboxes: dict[int, Key] = field(default_factory=dict)
    _proven: set[Key] = field(default_factory=set)
    _public: int | None = None
    _attend_at: int | None = None
    _over: bool = False

    def poke(self) -> None:
        """Say that there may be something to deliver, or a new key to prove."""
        self._poke.set()

    def stop(self) -> None:
        """Let the visit that is cancelled next be the last: a task group that fails at that moment loses the cancel."""
        self._over = True

    async def run(self) -> None:
        """Stay connected until stopped and cancelled."""
        failures = 0
        while True:
            began = time.monotonic()
            try:
                await self._visit()
            except (LinkDown, IntentcastError) as error:
                log.info("%s: %s", self.relay, error)
            except Exception:
                log.exception("%s: the visit ended badly", self.relay)
            finally:
                self.connected = False
                self.ready.clear()
            if self._over:
                return
            failures = 0 if time.monotonic() - began > _STEADY else failures + 1
            pause = _PATIENCE[min(failures, len(_PATIENCE)) - 1] if failures else _PATIENCE[0]
            await asyncio.sleep(pause * (0.75 + random.random() / 2))

    async def _visit(self) -> None:
        link = await open_link(self.http, self.relay)
        self._mailboxes.clear()
        self._proven.clear()
        self._attend_at = None
        try:
            if self.lane.wanted is not None:
                # Before the first demand is heard, so that offers carry what comes of it, and before anything is
                # pushed, which nobody reads yet.
                await self._attend(link)
            await self._prove_new(link)
            if self.lane.wanted is not None and self.lane.place:
                cursor = await self.lane.place(self.relay)
                self._public = await link.subscribe(self.lane.wanted, cursor)
            self.connected = True
            self._poke.set()
            async with asyncio.TaskGroup() as group:
                reading = group.create_task(self._read(link))
                delivering = group.create_task(self._deliver(link))
                reading.add_done_callback(lambda _: delivering.cancel())
        except* (LinkDown, IntentcastError) as errors:
            raise LinkDown(str(errors.exceptions[0])) from errors
        finally:
            await link.close()

    async def _prove_new(self, link: Link) -> None:
        new = await self.lane.keys(self._proven)
        await link.prove(new)
        for _, key in new:
            self._proven.add(key)
            await link.read_mailbox(key, self._mailboxes)

    async def _read(self, link: Link) -> None:
        while (pushed := await link.feed.get()) is not None:
            key = self._mailboxes.get(pushed.req)
            match pushed:
                case Records(_, records) if key is not None:
                    ids = [record.id for _, record in records if await self._take_in(record)]
                    for at in range(0, len(ids), MAX_TAKE):
                        await link.take(key, ids[at : at + MAX_TAKE])
                case Records(req, records) if req == self._public and self.lane.on_public and self.lane.keep_place:
                    await self.lane.on_public(self.relay, records)
                    await self.lane.keep_place(self.relay, Cursor(link.epoch, records[-1][0]))
                case Live(req, cursor):
                    if req == self._public and self.lane.keep_place:
                        await self.lane.keep_place(self.relay, cursor)
                    self.ready.set()
                case Closed(_, code):
                    raise LinkDown(f"the relay closed a subscription: {code}")
                case _:
                    log.info("%s: a push nobody asked for", self.relay)
        raise LinkDown("the connection ended")

    async def _take_in(self, record: Record) -> bool:
        """Give a record its effect; one that has none through a fault of ours waits on the relay, and holds up none."""
        try:
            await self.lane.on_mail(self.relay, record)
        except Exception:
            log.exception("%s: mail that could not be read stays there", self.relay)
            return False
        return True

    async def _attend(self, link: Link) -> None:
        if self.lane.attend and (self._attend_at is None or time.time() >= self._attend_at):
            self._attend_at = await self.lane.attend(self.relay, link)

    async def _deliver_due(self, link: Link) -> bool:
        """Hand over the next of what is due; return whether there was any."""
        now, domain = int(time.time()), link.domain is not None
        parcels = await self.outbox.due(self.lane.name, self.relay, now, domain=domain, work=self.lane.work)
        await asyncio.gather(*(self._hand_over(link, parcel) for parcel in parcels))
        return bool(parcels)

    async def _deliver(self, link: Link) -> None:
        while True:
            self._poke.clear()
            await self._prove_new(link)
            await self._attend(link)
            if await self._deliver_due(link):
                continue
            due = await self.outbox.next_due(self.lane.name, self.relay)
            soonest = min((at for at in (due, self._attend_at) if at is not None), default=None)
            wait = None if soonest is None else max(soonest - time.time(), 0.05)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(wait):
                    await self._poke.wait()

    async def _hand_over(self, link: Link, parcel: Parcel) -> None:
        try:
            if parcel.invitation:
                await _show(link, parcel.invitation)
            await link.publish(parcel.record)
        except (Refused, InvalidMessage) as error:
            await self.outbox.refused(parcel, self.relay, error.code, int(time.time()))
        else:
            await self.outbox.delivered(parcel.outbox, self.relay)


async def _show(link: Link, invitation: Invitation) -> None:
    """Show an invitation; one that the relay refuses opens no mailbox, which may pass, or another rung may."""
    try:
        await link.show(invitation)
    except (Refused, InvalidMessage) as error:
        raise Refused("refused.mailbox.not-admitted", str(error)) from error


class Pool:
    """The couriers of an agent, started and stopped as lanes come and go."""

    def __init__(self, http: aiohttp.ClientSession, outbox: Outbox) -> None:
        self._http = http
        self._outbox = outbox
        self._couriers: dict[tuple[bytes, str], tuple[Courier, asyncio.Task[None]]] = {}

    def open_lane(self, lane: Lane, relays: tuple[str, ...]) -> None:
        """See that a lane has a courier at each relay."""
        for relay in relays:
            if (lane.name, relay) not in self._couriers:
                courier = Courier(relay, lane, self._outbox, self._http)
                self._couriers[lane.name, relay] = (courier, asyncio.create_task(courier.run()))
        self.poke(lane.name)

    async def close_lane(self, name: bytes) -> None:
        """Let a lane's couriers go."""
        leaving = [self._couriers.pop(at) for at in list(self._couriers) if at[0] == name]
        tasks = [task for _, task in leaving]
        for courier, task in leaving:
            courier.stop()
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def poke(self, name: bytes) -> None:
        """Wake a lane's couriers: something was queued."""
        for (lane, _), (courier, _) in self._couriers.items():
            if lane == name:
                courier.poke()

    def couriers(self, name: bytes | None = None) -> list[Courier]:
        """Return the couriers, of one lane or of all."""
        return [courier for (lane, _), (courier, _) in self._couriers.items() if name in (None, lane)]

    async def close(self) -> None:
        """Stop everything; what was not delivered stays in the outbox."""
        for name in {lane for lane, _ in self._couriers}:
            await self.close_lane(name)
