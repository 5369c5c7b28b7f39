"""The operator's page: the status as one HTML file that needs no script, no other file and no network.

Pure: a status in, text out. Every text of the operator's is escaped; of visitors it shows numbers only.
"""

import base64
import hashlib
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from html import escape
from importlib.resources import files
from string import Template
from typing import Any, Final

from intentcast_relay.metrics import DISK_LOW

_TEMPLATE: Final = files("intentcast_relay").joinpath("console.html").read_text(encoding="utf-8")
_STYLE: Final = _TEMPLATE.partition("<style>")[2].partition("</style>")[0]
_HASH: Final = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
# Nothing but this page's own style may load or run, wherever a name of the operator's may have come from.
POLICY: Final = (
    f"default-src 'none'; style-src 'sha256-{_HASH}'; img-src data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_FEWEST: Final = 30  # minutes that a chart spans at least
_WIDTH: Final = 360
_HEIGHT: Final = 48
_UNITS: Final = ("KiB", "MiB", "GiB", "TiB")
_STATES: Final = {"open": "Takes records", "stopping": "Is stopping", "failed": "Cannot write"}


def page(status: Mapping[str, Any]) -> str:
    """Return the whole page."""
    relay, now = status["relay"], status["now"]
    running = f"{_STATES[status['state']]}, running for {span(now - status['since'])}"
    worry = "attention" if status["state"] == "open" and status["attention"] else status["state"]
    return Template(_TEMPLATE).substitute(
        title=escape(f"{relay['name']} · relay"),
        name=escape(relay["name"]),
        mood=worry,
        state=running,
        who=_who(relay),
        attention=_attention(status["attention"]),
        tiles=_tiles(status["traffic"], status["minutes"]),
        refusals=_refusals(status["refusals"]),
        stored=_stored(status["storage"]),
        machine=_machine(status),
    )


def _who(relay: Mapping[str, Any]) -> str:
    rows = {
        "Address": relay["url"],
        "Key": relay["key"],
        "Version": f"{relay['version']}, protocol {relay['protocol']}",
    }
    return "".join(f"<dt>{name}</dt><dd><code>{escape(text)}</code></dd>" for name, text in rows.items() if text)


def _attention(sentences: Sequence[str]) -> str:
    if not sentences:
        return ""
    return f'<ul class="attention-list">{"".join(f"<li>{escape(one)}</li>" for one in sentences)}</ul>'


def _tiles(traffic: Mapping[str, Any], minutes: Mapping[str, Sequence[float | None]]) -> str:
    ack, fsync = traffic["ack_ms"], traffic["fsync_ms"]
    second = "<small>a second</small>"
    tiles = (
        (
            "Writes",
            f"{rate(traffic['acked_per_second'])} {second}",
            f"{traffic['acked']:,} so far, {traffic['queued']:,} waiting",
            (minutes["acked_per_second"],),
            rate,
        ),
        (
            "From record to ack",
            f"{milliseconds(ack['p50'])} <small>p50</small>",
            f"p99 {milliseconds(ack['p99'])}",
            (minutes["ack_p99_ms"], minutes["ack_p50_ms"]),
            milliseconds,
        ),
        (
            "Until the disk has a commit",
            f"{milliseconds(fsync['p50'])} <small>p50</small>",
            f"p99 {milliseconds(fsync['p99'])}, {traffic['commits']:,} commits so far",
            (minutes["fsync_p99_ms"], minutes["fsync_p50_ms"]),
            milliseconds,
        ),
        (
            "Deliveries",
            f"{rate(traffic['delivered_per_second'])} {second}",
            f"{traffic['delivered']:,} so far, {traffic['slow_readers']:,} slow readers closed",
            (minutes["delivered_per_second"],),
            rate,
        ),
        (
            "Connections",
            f"{traffic['connections']:,} <small>open</small>",
            f"{traffic['subscriptions']:,} subscriptions, {traffic['turned_away']:,} turned away so far",
            (minutes["connections"],),
            rate,
        ),
        (
            "Refused",
            f"{rate(traffic['refused_per_second'])} {second}",
            f"{traffic['refused']:,} so far",
            (minutes["refused_per_second"],),
            rate,
        ),
    )
    return "".join(_tile(*tile) for tile in tiles)


def _tile(
    title: str, number: str, beside: str, lines: Sequence[Sequence[float | None]], shown: Callable[[float], str]
) -> str:
    length = max(len(lines[0]) - 1, _FEWEST)
    top = max((value for line in lines for value in line if value is not None), default=0)
    peak = f"at most {shown(top)}"
    return (
        f'<section class="tile"><h2>{title}</h2><p class="number">{number}</p><p class="beside">{beside}</p>'
        f"{spark(f'{title}: {peak}', lines, length, top)}"
        f'<p class="axis"><span>{span(length * 60)} ago</span><span>{peak}</span><span>now</span></p></section>'
    )


def spark(label: str, lines: Sequence[Sequence[float | None]], length: int, top: float) -> str:
    """Return values a minute apart as a small chart whose right edge is now; None is a gap."""
    step, scale = _WIDTH / length, (_HEIGHT - 2) / (top or 1)
    paths: list[str] = []
    for number, line in enumerate(lines):
        for run in _runs(line):
            points = [(_WIDTH - (len(line) - 1 - at) * step, _HEIGHT - 1 - value * scale) for at, value in run]
            if len(points) == 1:
                points.append((points[0][0] - 0.5, points[0][1]))
            drawn = "L".join(f"{x:.1f} {y:.1f}" for x, y in points)
            if number == 0:
                ends = f"M{points[0][0]:.1f} {_HEIGHT - 1}L{drawn}L{points[-1][0]:.1f} {_HEIGHT - 1}Z"
                paths.append(f'<path class="area" d="{ends}"/>')
            second = ' class="second"' if number else ""
            paths.append(f'<path{second} d="M{drawn}"/>')
    ground = f'<line x1="0" y1="{_HEIGHT - 1}" x2="{_WIDTH}" y2="{_HEIGHT - 1}"/>'
    return (
        f'<svg class="spark" viewBox="0 0 {_WIDTH} {_HEIGHT}" preserveAspectRatio="none" role="img" '
        f'aria-label="{label}"><title>{label}</title>{ground}{"".join(paths)}</svg>'
    )


def _runs(line: Sequence[float | None]) -> Iterable[list[tuple[int, float]]]:
    run: list[tuple[int, float]] = []
    for at, value in enumerate([*line, None]):
        if value is not None:
            run.append((at, value))
        elif run:
            yield run
            run = []


def _refusals(refusals: Sequence[Mapping[str, Any]]) -> str:
    if not refusals:
        return '<p class="none">Nothing was refused.</p>'
    most = max(one["count"] for one in refusals)
    rows = (
        f"<tr><td>{escape(one['sentence'])}<br><code>{escape(one['code'])}</code>{_bar(one['count'] / most)}</td>"
        f'<td class="count">{one["count"]:,}</td></tr>'
        for one in refusals
    )
    return f"<table>{''.join(rows)}</table>"


def _stored(storage: Mapping[str, Any]) -> str:
    rows = {
        "All records": f"{sum(storage['records'].values()):,}",
        **{f"· {name}": f"{count:,}" for name, count in storage["records"].items()},
        "Mailboxes in use": f"{storage['mailboxes']:,}",
        "Database": size(storage["database_bytes"]),
        "Write-ahead log": size(storage["wal_bytes"]),
    }
    return _table({escape(name): text for name, text in rows.items()}, "count")


def _machine(status: Mapping[str, Any]) -> str:
    now, storage, process, settings = status["now"], status["storage"], status["process"], status["settings"]
    free, total = storage["disk_free"], storage["disk_total"]
    rows = {
        "Disk": f"{size(free)} free of {size(total)}{_bar(1 - free / total if total else 0, low=free < DISK_LOW)}",
        "Settings": "as in the file" if settings["ok"] else "earlier ones, the file is wrong",
        "Last sweep": f"{ago(status['sweep']['at'], now)}, {status['sweep']['removed']:,} removed so far",
        "Last backup": ago(status["backup"]["at"], now),
        "Memory": _each(process["memory_bytes"], size),
        "Processor": _each(process["cpu_seconds"], lambda seconds: f"{seconds:,.1f} s"),
        "Running since": datetime.fromtimestamp(status["since"], UTC).strftime("%Y-%m-%d %H:%M UTC"),
    }
    return _table(rows, "")


def _each(values: Mapping[str, float], shown: Callable[[float], str]) -> str:
    return ", ".join(f"{escape(name)} {shown(value)}" for name, value in values.items())


def _table(rows: Mapping[str, str], kind: str) -> str:
    cell = f'<td class="{kind}">' if kind else "<td>"
    return f"<table>{''.join(f'<tr><th>{name}</th>{cell}{text}</td></tr>' for name, text in rows.items())}</table>"


def _bar(share: float, *, low: bool = False) -> str:
    width = max(0.0, min(share, 1.0)) * 100
    return (
        '<svg class="bar" viewBox="0 0 100 4" preserveAspectRatio="none" aria-hidden="true">'
        f'<rect class="track" width="100" height="4"/>'
        f'<rect class="part{" low" if low else ""}" width="{width:.1f}" height="4"/></svg>'
    )


def size(count: float) -> str:
    """Return bytes as a person reads them."""
    if count < 1024:
        return f"{count:.0f} B"
    power = min(int(math.log2(count)) // 10, len(_UNITS))
    return f"{count / 1024**power:,.1f} {_UNITS[power - 1]}"


def span(seconds: int) -> str:
    """Return a length of time in its two largest units."""
    minutes, hours, days = seconds // 60, seconds // 3600, seconds // 86_400
    if seconds < 60:
        return f"{max(seconds, 0)} s"
    if minutes < 60:
        return f"{minutes} min"
    if hours < 24:
        return f"{hours} h {minutes % 60} min" if minutes % 60 else f"{hours} h"
    return f"{days} d {hours % 24} h" if hours % 24 else f"{days} d"


def ago(at: int | None, now: int) -> str:
    """Return how long something is past that this process did."""
    return "none since the start" if at is None else f"{span(now - at)} ago"


def rate(value: float) -> str:
    """Return a number a second: whole from ten on, and never 0 for what is not."""
    return f"{value:,.0f}" if value >= 10 or value == 0 else f"{value:.2g}"


def milliseconds(value: float | None) -> str:
    """Return milliseconds with as many places as mean something."""
    if value is None:
        return "–"
    return f"{value:,.0f} ms" if value >= 100 else f"{value:.3g} ms"
