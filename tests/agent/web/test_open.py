"""`intentcast open`: one command from nothing to a page, and a second one finds the same agent."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from intentcast_agent.cli import open as command
from intentcast_agent.home import Home, HomeLocked, find_home, lock_home
from intentcast_agent.keystore import create
from intentcast_agent.passphrase import INTERACTIVE


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Home]:
    """A home that does not exist yet; whichever agent is started in it is stopped in the end."""
    place = find_home({"INTENTCAST_HOME": str(tmp_path / "home")})
    yield place
    try:
        lock_home(place).release()
    except HomeLocked as held:
        with contextlib.suppress(ProcessLookupError):
            os.kill(int(str(held.pid)), signal.SIGTERM)


def run(place: Home, *words: str) -> subprocess.CompletedProcess[str]:
    env = {"INTENTCAST_HOME": str(place.config.parent), "PATH": "/usr/bin:/bin", "LANG": "C.UTF-8",
           "PYTHONPATH": os.pathsep.join(sys.path)}  # fmt: skip
    words = (sys.executable, "-m", "intentcast_agent", *words)
    return subprocess.run(words, capture_output=True, text=True, env=env, timeout=60, check=False)


def opened(place: Home, *words: str) -> dict[str, Any]:
    done = run(place, "open", "--json", *words)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


class Stay(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: Any) -> None:
        return None


def status(url: str) -> int:
    try:
        return int(urllib.request.build_opener(Stay).open(url, timeout=20).status)
    except urllib.error.HTTPError as error:
        return error.code


def test_new_agent_is_made_started_and_found_again(place: Home) -> None:
    first = opened(place)
    assert first["new"]["keystore"] == "created"
    assert status(first["url"]) == 303
    second = opened(place)
    assert (second["port"], second["new"]) == (first["port"], None)
    assert second["url"] != first["url"]
    assert (status(first["url"]), status(second["url"])) == (401, 303)
    done = run(place, "open", "--port", str(first["port"] % 60_000 + 1_024))
    assert done.returncode == 1
    assert f"on port {first['port']} already" in done.stderr
    os.kill(first["pid"], signal.SIGTERM)


def test_secret_that_lets_a_browser_in_is_in_no_file_of_the_home(place: Home) -> None:
    token = opened(place, "--no-browser")["url"].split("token=")[1]
    files = [path for path in place.config.parent.rglob("*") if path.is_file()]
    assert files
    assert not [path for path in files if token.encode() in path.read_bytes()]


def test_locked_keystore_is_said_at_once_and_nothing_runs(place: Home, tmp_path: Path) -> None:
    place.prepare()
    create(place.keystore, b"correct horse", cost=INTERACTIVE)
    done = run(place, "open")
    assert done.returncode == 4
    wrong = tmp_path / "wrong"
    wrong.write_text("battery\n")
    wrong.chmod(0o600)
    done = run(place, "open", "--passphrase-file", str(wrong))
    assert done.returncode == 4, done.stderr
    assert "passphrase" in done.stderr
    lock_home(place).release()


def test_passphrase_reaches_the_agent_and_neither_argv_nor_environment(place: Home, tmp_path: Path) -> None:
    place.prepare()
    create(place.keystore, b"correct horse", cost=INTERACTIVE)
    file = tmp_path / "passphrase"
    file.write_text("correct horse\n")
    file.chmod(0o600)
    pid = opened(place, "--passphrase-file", str(file))["pid"]
    told = Path(f"/proc/{pid}/cmdline"), Path(f"/proc/{pid}/environ")
    assert not [path for path in told if b"correct" in path.read_bytes()]


def test_browser_is_started_with_no_secret(place: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a browser is started with, every account on the machine can read."""
    place.prepare()
    shown: list[str] = []
    monkeypatch.setenv("DISPLAY", ":0")
    monkeypatch.setattr("webbrowser.open", lambda url: shown.append(url) or True)
    assert command._browse(place, "http://127.0.0.1:1/enter?token=secret")
    way = Path(shown[0].removeprefix("file://"))
    assert "secret" not in shown[0]
    assert "secret" in way.read_text()
    assert way.stat().st_mode & 0o077 == 0


def test_browser_is_not_looked_for_where_there_is_no_screen(place: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(sys, "platform", "linux")
    assert not command._browse(place, "http://127.0.0.1:1/")
