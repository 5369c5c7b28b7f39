"""What the log says, and what it never says."""

import io
import json
import logging
from collections.abc import Iterator

import pytest
from intentcast_relay.config import Log
from intentcast_relay.log import Line, adjust, configure, logfmt, place, tell, tell_error

SECRET = "203.0.113.9 did:key:z6Mk-somebody"


@pytest.fixture(autouse=True)
def loggers() -> Iterator[None]:
    """Give the process its own logging back."""
    root, ours = logging.getLogger(), logging.getLogger("intentcast_relay")
    before = (list(root.handlers), root.level, ours.level)
    yield
    root.handlers, ours.disabled = before[0], False
    root.setLevel(before[1])
    ours.setLevel(before[2])


def lines(form: str, level: str = "info") -> io.StringIO:
    stream = io.StringIO()
    configure(Log(form, level), stream)
    return stream


def caught(text: str) -> ValueError:
    try:
        raise ValueError(text)
    except ValueError as error:
        return error


def test_json_line_has_time_level_event_and_fields() -> None:
    stream = lines("json")
    tell("swept", logging.WARNING, removed=3, seconds=0.5)
    (line,) = map(json.loads, stream.getvalue().splitlines())
    assert line.pop("ts").endswith("Z")
    assert line == {"level": "warning", "event": "swept", "removed": 3, "seconds": 0.5}


def test_text_line_quotes_only_what_would_be_unclear() -> None:
    assert logfmt({"event": "started", "listen": "[::1]:7447", "name": "Our relay", "n": 3, "none": ""}) == (
        'started listen=[::1]:7447 name="Our relay" n=3 none=""'
    )
    assert logfmt({"event": "reloaded", "changed": ["limits.page", "name"]}) == 'reloaded changed="limits.page, name"'


@pytest.mark.parametrize("form", ["text", "json"])
def test_no_text_can_begin_a_line_of_its_own(form: str) -> None:
    stream = lines(form)
    tell("settings-refused", why="a\nb\u2028c\x1b[2Kd\u202ee")
    (line,) = stream.getvalue().splitlines()
    assert "\x1b" not in line
    assert "\u202e" not in line


def test_long_field_is_cut() -> None:
    stream = lines("json")
    tell("settings-refused", why="x" * 10_000)
    assert len(stream.getvalue()) < 1_000


def test_level_hides_what_is_below_it_and_changes_at_once() -> None:
    stream = lines("text", "warning")
    tell("started")
    assert stream.getvalue() == ""
    adjust(Log("text", "debug"))
    tell("detail", logging.DEBUG)
    assert stream.getvalue().endswith(" DEBUG detail\n")
    assert stream.getvalue().count("\n") == 1


@pytest.mark.parametrize("form", ["text", "json"])
def test_error_is_told_by_type_and_place_alone(form: str) -> None:
    stream = lines(form)
    tell_error("internal-error", caught(SECRET))
    text = stream.getvalue()
    assert "ValueError" in text
    assert "relay/test_relay_log.py:" in text
    assert "203.0.113.9" not in text


@pytest.mark.parametrize("form", ["text", "json"])
def test_what_a_library_logs_is_reduced_to_its_name_and_error(form: str) -> None:
    stream = lines(form)
    logging.getLogger("aiohttp.server").error("Error handling request from %s", SECRET, exc_info=caught(SECRET))
    text = stream.getvalue()
    assert "aiohttp.server" in text
    assert "ValueError" in text
    assert "203.0.113.9" not in text
    assert "did:key" not in text
    assert text.count("\n") == 1


def test_plain_message_of_ours_is_a_note() -> None:
    stream = lines("json")
    logging.getLogger("intentcast_relay").warning("the hook said %s", "no")
    assert json.loads(stream.getvalue())["text"] == "the hook said no"


def test_place_is_the_innermost_and_has_no_folder_of_this_machine() -> None:
    where = place(caught("").__traceback__)
    assert where.startswith("relay/test_relay_log.py:")
    assert place(None) == "?"


def test_line_without_an_event_never_fails() -> None:
    record = logging.LogRecord("asyncio", logging.ERROR, "x.py", 1, "%s %s", ("too few",), None)
    assert json.loads(Line(as_json=True).format(record))["name"] == "asyncio"
