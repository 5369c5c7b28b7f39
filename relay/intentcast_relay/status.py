"""How the relay is doing, as one JSON value: the operator's page draws it, /status.json gives it to programs.

Pure. Of visitors it holds numbers only. Times are whole seconds since 1970 (null for never), sizes bytes.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from intentcast_protocol.errors import CODES

from intentcast_relay.history import Minute
from intentcast_relay.metrics import DISK_LOW, Facts

SIGNS: Final = 3  # decimal places of a rate or of milliseconds


def status(
    info: Mapping[str, Any],
    facts: Facts,
    latest: Minute,
    minutes: Sequence[Minute],
    *,
    now: int,
    state: str,
    why: str = "",
) -> dict[str, Any]:
    """Return the whole picture. `info` is the info document, `why` what is wrong with the settings, if anything."""
    meter = facts.meter
    refused = sorted(meter.refused.items(), key=lambda pair: (-pair[1], pair[0]))
    hours = [*minutes, latest]
    return {
        "state": state,
        "since": facts.started,
        "now": now,
        "attention": attention(facts, why),
        "relay": {key: info.get(key, "") for key in ("name", "version", "protocol", "url", "key", "epoch")},
        "settings": {"ok": facts.config_ok, "why": why, "reloads": meter.reloads.total()},
        "traffic": {
            "connections": facts.connections,
            "subscriptions": facts.subscriptions,
            "queued": facts.queued,
            "acked_per_second": _round(latest.acked),
            "refused_per_second": _round(latest.refused),
            "delivered_per_second": _round(latest.delivered),
            "ack_ms": {"p50": _ms(latest.ack_p50), "p99": _ms(latest.ack_p99)},
            "fsync_ms": {"p50": _ms(latest.sync_p50), "p99": _ms(latest.sync_p99)},
            "received": meter.received,
            "acked": meter.acked,
            "refused": meter.refused.total(),
            "commits": meter.batches.count,
            "delivered": meter.delivered,
            "connected": meter.connected,
            "turned_away": facts.turned_away,
            "replays": meter.replays,
            "slow_readers": meter.slow_readers,
        },
        "refusals": [{"code": code, "sentence": CODES.get(code, code), "count": count} for code, count in refused],
        "storage": {
            "records": dict(sorted(facts.census.records.items())),
            "mailboxes": facts.census.mailboxes,
            "database_bytes": facts.database_bytes,
            "wal_bytes": facts.wal_bytes,
            "disk_free": facts.disk_free,
            "disk_total": facts.disk_total,
        },
        "sweep": {"at": meter.swept_at or None, "seconds": _round(meter.sweep_seconds), "removed": meter.swept},
        "backup": {"at": facts.backup_at or None},
        "process": {"cpu_seconds": _rounded(facts.cpu), "memory_bytes": dict(facts.memory), "faults": meter.faults},
        "minutes": {
            "acked_per_second": [_round(one.acked) for one in hours],
            "refused_per_second": [_round(one.refused) for one in hours],
            "delivered_per_second": [_round(one.delivered) for one in hours],
            "connections": [one.connections for one in hours],
            "ack_p50_ms": [_ms(one.ack_p50) for one in hours],
            "ack_p99_ms": [_ms(one.ack_p99) for one in hours],
            "fsync_p50_ms": [_ms(one.sync_p50) for one in hours],
            "fsync_p99_ms": [_ms(one.sync_p99) for one in hours],
        },
    }


def attention(facts: Facts, why: str) -> list[str]:
    """Return what an operator should look at, as sentences; none is a good day."""
    found: list[str] = []
    if not facts.config_ok:
        found.append(f"The settings file is wrong, so the relay keeps its earlier settings. {why}")
    if facts.disk_free < DISK_LOW:
        found.append(f"The database's disk is nearly full: {facts.disk_free // 2**20} MiB are left.")
    if facts.meter.faults:
        found.append(f"Internal errors since the start: {facts.meter.faults}. The log names the place of each.")
    return found


def _round(value: float) -> float:
    return round(value, SIGNS)


def _rounded(values: Mapping[str, float]) -> dict[str, float]:
    return {name: _round(value) for name, value in values.items()}


def _ms(seconds: float | None) -> float | None:
    return None if seconds is None else _round(seconds * 1000)
