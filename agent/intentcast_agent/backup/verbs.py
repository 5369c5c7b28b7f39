"""Backups as the running agent makes them, and how old the last one is; `Service` has these verbs too."""

import asyncio
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from intentcast_agent.backup.advice import DAY, advise
from intentcast_agent.backup.create import create
from intentcast_agent.restore import restored
from intentcast_agent.view import Json

if TYPE_CHECKING:
    from intentcast_agent.agent import Agent

_NOTE = "backup"


class BackupVerbs:
    """The verbs on backups of one home's agent."""

    agent: "Agent"

    async def backup_create(self, passphrase: str, path: str | None = None, replace: bool = False) -> Json:
        """Write a backup to a file, by default one of today in the home's folder for exports, while all goes on.

        `passphrase` seals it, has 1 to 1024 bytes and is kept nowhere; `path` is a whole one; `replace` allows an older
        backup there to be replaced once the new one is whole. Raises BackupError.
        """
        home, now = self.agent.home, self.agent.now()
        day = datetime.fromtimestamp(now, UTC).strftime("%Y-%m-%d")
        target = Path(path) if path else home.exports / f"intentcast-{day}.backup"
        secret = passphrase.encode("utf-8", "surrogateescape")
        made = await asyncio.to_thread(create, home, target, secret, now=now, replace=replace)
        last = {"at": made.made, "path": str(made.path), "size": made.size, "fingerprint": made.fingerprint}
        async with self.agent.store.transaction() as tx:
            await tx.put_private(_NOTE, last)
        return last

    async def backup_state(self) -> Json:
        """Say when the last backup was made, whether one is due, and what is still missing after a restore."""
        async with self.agent.store.reading() as tx:
            last = await tx.get_private(_NOTE)
            noted = await restored(tx)
            row = await tx.one(
                "SELECT EXISTS (SELECT 1 FROM demand) OR EXISTS (SELECT 1 FROM session) OR "
                "EXISTS (SELECT 1 FROM stock) AS anything, "
                "(SELECT count(*) FROM session WHERE restoring = 1) AS waiting"
            )
        now = self.agent.now()
        assert row is not None
        anything = bool(row["anything"]) or self.agent.keystore.get("vendor") is not None
        advice = advise(last["at"] if last else None, now, anything=anything)
        return {
            "last": last,
            "age_days": max(now - last["at"], 0) // DAY if last else None,
            "due": advice is not None,
            "advice": advice,
            "restored": {**noted, "waiting": int(row["waiting"])} if noted else None,
        }
