"""What the relay tells while it runs: events with fields, one a line, for people or for programs.

An event holds no address, no person's key, no path of a request and nothing of a record. What libraries log is
reduced to who spoke and which error where, because their sentences quote whatever a visitor sent.
"""

import json
import logging
import sys
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Final, TextIO

from intentcast_relay.config import Log

OURS: Final = "intentcast_relay"
_LONGEST: Final = 500  # characters of one field
_log = logging.getLogger(OURS)


def tell(event: str, /, level: int = logging.INFO, **fields: str | float | list[str]) -> None:
    """Log one event. Fields hold numbers, settings and sentences of ours, never what a visitor sent."""
    if _log.isEnabledFor(level):
        _log.log(level, "%s", logfmt({"event": event, **fields}), extra={"event": {"event": event, **fields}})


def place(trace: TracebackType | None) -> str:
    """Return where an error arose, as file and line without the folders of this machine; never its text."""
    while trace and trace.tb_next:
        trace = trace.tb_next
    if trace is None:
        return "?"
    file = "/".join(trace.tb_frame.f_code.co_filename.replace("\\", "/").split("/")[-2:])
    return f"{file}:{trace.tb_lineno}"


def tell_error(event: str, error: BaseException) -> None:
    """Log a fault of this program by its type and place, because its text may hold what a peer sent."""
    tell(event, logging.ERROR, error=type(error).__name__, place=place(error.__traceback__))


def logfmt(fields: dict[str, Any]) -> str:
    """Return fields as a line for people: the event first, then ``name=value``, quoted where it would be unclear."""
    event, *rest = fields.items()
    return " ".join([str(event[1]), *(f"{name}={_quoted(value)}" for name, value in rest)])


def _quoted(value: object) -> str:
    text = ", ".join(value) if isinstance(value, list) else str(value)
    plain = text and text.isprintable() and not set(text) & set(' "=')
    # Other alphabets stay readable; what could break or turn the line does not.
    return text if plain else json.dumps(text, ensure_ascii=not text.isprintable())


def fields(record: logging.LogRecord) -> dict[str, Any]:
    """Return what may be told of a log record: an event's fields, our own message, or a library's name and error."""
    event = getattr(record, "event", None)
    if isinstance(event, dict):
        told = event
    elif record.name == OURS or record.name.startswith(f"{OURS}."):
        told = {"event": "note", "text": record.getMessage()}
    else:
        told = {"event": "library", "name": record.name}
    if record.exc_info and record.exc_info[1] is not None:
        error = record.exc_info[1]
        told = {**told, "error": type(error).__name__, "place": place(error.__traceback__)}
    return {name: value[:_LONGEST] if isinstance(value, str) else value for name, value in told.items()}


class Line(logging.Formatter):
    """Writes a record as one line; `as_json` for programs."""

    def __init__(self, *, as_json: bool) -> None:
        super().__init__()
        self._as_json = as_json

    def format(self, record: logging.LogRecord) -> str:
        """Return the line: when, how grave, what."""
        at = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        told = fields(record)
        if self._as_json:
            return json.dumps({"ts": at, "level": record.levelname.lower(), **told})
        return f"{at} {record.levelname} {logfmt(told)}"


def configure(settings: Log, stream: TextIO | None = None) -> None:
    """Make this process log as the settings say, on stderr unless told otherwise."""
    root = logging.getLogger()
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(Line(as_json=False))
    root.addHandler(handler)
    root.setLevel(logging.WARNING)
    adjust(settings)


def adjust(settings: Log) -> None:
    """Go on logging as these settings say; does nothing in a process that was not told to `configure`."""
    for handler in logging.getLogger().handlers:
        if isinstance(handler.formatter, Line):
            handler.setFormatter(Line(as_json=settings.format == "json"))
            _log.setLevel(settings.level.upper())
