"""What the relay looks after between requests: how much it holds, and whether its disk has room.

Gathers, for the operator, what the meter alone does not know. DESIGN §5 "Operators"
"""

import logging
from pathlib import Path
from typing import Final

from intentcast_relay import VERSION
from intentcast_relay.log import tell
from intentcast_relay.machine import disk, usage
from intentcast_relay.metrics import DISK_LOW, Census, Facts, Meter
from intentcast_relay.store.contract import Store, StoreError

_ENOUGH: Final = DISK_LOW + DISK_LOW // 4  # bytes at which a low disk is said to have room again: no back and forth


class Survey:
    """The operator's view of one relay; `look` is called every minute, `facts` whenever somebody asks."""

    def __init__(self, meter: Meter, store: Store, database: Path, started: int) -> None:
        self._meter = meter
        self._store = store
        self._database = database
        self._started = started
        self._census = Census()
        self._low = False

    async def look(self, *, census: bool) -> None:
        """Count what is stored, if anybody is there to see it, and tell when the disk runs low or has room again."""
        self.watch(disk(self._database).free)
        if census:
            try:
                self._census = await self._store.census()
            except StoreError as error:
                tell("census-failed", logging.WARNING, why=str(error))

    def watch(self, free: int) -> None:
        """Tell of a disk that becomes low, once, and of one that has room again."""
        if free < DISK_LOW and not self._low:
            self._low = True
            tell("disk-low", logging.WARNING, free=free)
        elif free >= _ENOUGH and self._low:
            self._low = False
            tell("disk-ok", free=free)

    def facts(
        self, *, connections: int, turned_away: int, subscriptions: int, queued: int, config_ok: bool, backup_at: int
    ) -> Facts:
        """Return how the relay stands now."""
        room, used = disk(self._database), usage()
        return Facts(
            meter=self._meter,
            census=self._census,
            version=VERSION,
            started=self._started,
            connections=connections,
            turned_away=turned_away,
            subscriptions=subscriptions,
            queued=queued,
            database_bytes=room.database,
            wal_bytes=room.wal,
            disk_free=room.free,
            disk_total=room.total,
            config_ok=config_ok,
            backup_at=backup_at,
            cpu=used.cpu,
            memory=used.memory,
        )
