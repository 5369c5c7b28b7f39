"""Commands that look at the agent itself: status, doctor. Status imports nothing slow."""

import sqlite3
import time
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path
from typing import Any

import click

from intentcast_agent.api import Failed, NoAgent, ask
from intentcast_agent.cli.call import call, fail, home, json_option, show
from intentcast_agent.cli.table import plain
from intentcast_agent.home import Home, HomeError


@click.command()
@json_option
def status(as_json: bool) -> None:
    """What runs, what waits, whose turn it is."""
    place = home()
    try:
        result = {"running": True, **ask(place, "status", {})}
    except NoAgent:
        result = {"running": False, **_at_rest(place)}
    show(result, as_json, _lines)


def _at_rest(place: Home) -> dict[str, Any]:
    """Read the counts of a home no process serves; no key is needed for them."""
    from intentcast_agent.settings import SettingsError, read_settings  # noqa: PLC0415

    try:
        relays = read_settings(place).relays
    except SettingsError:
        relays = ()
    result: dict[str, Any] = {"set_up": place.keystore.exists(), "relays": dict.fromkeys(relays, False)}
    if not place.database.exists():
        nothing = dict.fromkeys(("outbox", "demand", "session", "agreement", "stock"), 0)
        return {**result, "needs_you": [], "domain": None, "backup": _backup(None), **nothing}
    with closing(sqlite3.connect(f"file:{place.database}?mode=ro", uri=True)) as db:
        sql = (
            "SELECT number FROM session WHERE role = 'person' AND (state IN ('asking', 'amending', 'conflict') OR "
            "state = 'offered' AND demand IN (SELECT id FROM demand WHERE state = 'open'))"
        )
        result["needs_you"] = [f"o{number}" for (number,) in db.execute(sql)]
        result["outbox"] = db.execute("SELECT count(DISTINCT outbox) FROM delivery WHERE state = 'queued'").fetchone()[
            0
        ]
        for table in ("demand", "session", "agreement", "stock"):
            result[table] = db.execute(f"SELECT count(*) FROM {table}").fetchone()[0]  # noqa: S608
        result["domain"] = _domain(db, relays)
        result["backup"] = _backup(db)
    return result


def _backup(db: sqlite3.Connection | None) -> dict[str, Any]:
    """Return what can be said of backups without a key: whether there was one at all, not when."""
    from intentcast_agent.backup.advice import advise  # noqa: PLC0415

    names, anything, waiting = set(), False, 0
    if db:
        names = {name for (name,) in db.execute("SELECT name FROM private")}
        anything = bool(db.execute("SELECT 1 FROM demand UNION SELECT 1 FROM session").fetchone())
        waiting = db.execute("SELECT count(*) FROM session WHERE restoring = 1").fetchone()[0]
    advice = None if "backup" in names else advise(None, 0, anything=anything)
    return {
        "last": {"at": None} if "backup" in names else None,
        "age_days": None,
        "due": advice is not None,
        "advice": advice,
        "restored": {"waiting": waiting} if "restored" in names else None,
    }


def _domain(db: sqlite3.Connection, relays: tuple[str, ...]) -> dict[str, Any] | None:
    """Return what became of asking relays to look at a vendor's domain; None where none was ever asked."""
    if not db.execute("SELECT 1 FROM sqlite_master WHERE name = 'attestation'").fetchone():
        return None  # written by an older agent
    now = int(time.time())
    known = {
        relay: {"seen": bool(expires and expires > now), "until": expires, "reason": reason}
        for relay, expires, reason in db.execute("SELECT relay, expires, reason FROM attestation")
        if relay in relays
    }
    return known or None


def _lines(result: dict[str, Any]) -> Iterable[str]:
    if not result["running"] and not result["set_up"]:
        yield "This agent is not set up yet. Start with: intentcast init   or look around: intentcast demo"
        return
    yield "The agent is running." if result["running"] else "The agent is not running (intentcast serve keeps it so)."
    for relay, up in result["relays"].items():
        yield f"  {'✓' if up else '–'} {relay}{'' if up or not result['running'] else '  not connected'}"
    yield ", ".join(_count(result[name], name) for name in ("demand", "session", "agreement")) + (
        f", {result['stock']} in stock" if result["stock"] else ""
    )
    if result["domain"]:
        from intentcast_agent.cli.domain import domain_lines  # noqa: PLC0415

        yield from domain_lines(result["domain"])
    yield f"{_count(result['outbox'], 'record')} to go out yet." if result["outbox"] else "Nothing waits to go out."
    needs = ", ".join(result["needs_you"])
    yield f"Your turn: {needs}" if needs else "Nothing needs you."
    from intentcast_agent.cli.backup import backup_lines  # noqa: PLC0415

    yield from backup_lines(result["backup"])


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


@click.command()
@json_option
def doctor(as_json: bool) -> None:
    """Check this agent's setup: folders, keys, database, relays, clock. Shows no secrets."""
    place = home()
    checks = list(_checks(place))
    good = all(one["ok"] for one in checks)
    failed = None if good else fail("Something above needs you.")
    show({"ok": good, "checks": checks}, as_json, _findings, failed)


def _findings(result: dict[str, Any]) -> Iterable[str]:
    for one in result["checks"]:
        yield f"{'✓' if one['ok'] else '✗'} {one['check']}: {plain(one['found'], 200)}"


def _checks(place: Home) -> Iterable[dict[str, Any]]:
    from intentcast_agent.keystore import KeystoreError  # noqa: PLC0415
    from intentcast_agent.keystore import status as keystore_status  # noqa: PLC0415
    from intentcast_agent.settings import SettingsError, read_settings  # noqa: PLC0415

    try:
        place.prepare()
        yield _check("home", True, str(place.config.parent))
    except HomeError as error:
        yield _check("home", False, str(error))
        return
    try:
        state = keystore_status(place.keystore)
        yield _check("keys", state != "missing", f"{state}" if state != "missing" else "missing: intentcast init")
    except KeystoreError as error:
        yield _check("keys", False, str(error))
    yield _check("database", *_database(place.database))
    yield from _backups(place)
    try:
        relays = read_settings(place).relays
    except SettingsError as error:
        yield _check("settings", False, str(error))
        return
    enough = len(relays) > 1
    yield _check(
        "relays",
        enough,
        f"{len(relays)}" if enough else f"{len(relays)}: use two or more, so that none can hide an answer",
    )
    yield from _relays(relays)
    yield from _domains(place, relays)


def _domains(place: Home, relays: tuple[str, ...]) -> Iterable[dict[str, Any]]:
    """Check that each relay that was asked has seen the vendor's domain."""
    if not place.database.exists():
        return
    try:
        with closing(sqlite3.connect(f"file:{place.database}?mode=ro", uri=True)) as db:
            known = _domain(db, relays) or {}
    except sqlite3.Error:
        return  # told already
    for relay, one in known.items():
        found = "seen" if one["seen"] and not one["reason"] else f"not seen: {one['reason'] or 'it has lapsed'}"
        yield _check(f"your domain at {relay}", one["seen"], found)


def _backups(place: Home) -> Iterable[dict[str, Any]]:
    """Check that there is a backup, and that it is not old; no passphrase is asked for to learn its age."""
    from intentcast_agent.columns import ColumnDamaged  # noqa: PLC0415
    from intentcast_agent.keystore import KeystoreError  # noqa: PLC0415
    from intentcast_agent.keystore import status as keystore_status  # noqa: PLC0415
    from intentcast_agent.settings import SettingsError  # noqa: PLC0415
    from intentcast_agent.store import StoreNewer  # noqa: PLC0415

    if not place.database.exists():
        return
    try:
        if keystore_status(place.keystore) == "keyfile":
            state = call("backup_state")
        else:
            try:
                state = ask(place, "backup_state", {})
            except NoAgent:
                with closing(sqlite3.connect(f"file:{place.database}?mode=ro", uri=True)) as db:
                    state = _backup(db)
    except (KeystoreError, HomeError, SettingsError, ColumnDamaged, StoreNewer, Failed, sqlite3.Error):
        return  # what is wrong there is told by another check
    days = state["age_days"]
    if days is None:
        found = "there is one; its age is told while the agent runs" if state["last"] else "nothing to keep yet"
    else:
        found = "made today" if days == 0 else f"{days} days old"
    yield _check("backup", not state["due"], state["advice"] or found)


def _check(name: str, ok: bool, found: str) -> dict[str, Any]:
    return {"check": name, "ok": ok, "found": found}


def _database(path: Path) -> tuple[bool, str]:
    if not path.exists():
        return True, "none yet"
    try:
        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as db:
            found = db.execute("PRAGMA quick_check").fetchone()[0]
            version = db.execute("PRAGMA user_version").fetchone()[0]
    except sqlite3.Error as error:
        return False, str(error)
    return found == "ok", f"{found}, schema {version}, SQLite {sqlite3.sqlite_version}"


def _relays(relays: tuple[str, ...]) -> Iterable[dict[str, Any]]:
    import asyncio  # noqa: PLC0415
    import time  # noqa: PLC0415

    import aiohttp  # noqa: PLC0415

    async def look(relay: str) -> dict[str, Any]:
        url = relay.replace("ws", "http", 1)
        try:
            timeout = aiohttp.ClientTimeout(total=5)
            async with aiohttp.ClientSession(timeout=timeout) as http, http.get(url) as answer:
                info = await answer.json(content_type=None)
            skew = abs(int(info["now"]) - int(time.time()))
        except (aiohttp.ClientError, TimeoutError, ValueError, KeyError, TypeError) as error:
            return _check(relay, False, f"cannot be reached ({type(error).__name__})")
        return _check(relay, skew <= 120, "up" if skew <= 120 else f"up, but its clock differs from yours by {skew} s")

    async def look_all() -> list[dict[str, Any]]:
        return list(await asyncio.gather(*(look(relay) for relay in relays)))

    yield from asyncio.run(look_all())
