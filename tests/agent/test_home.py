"""One place for an agent's things, one process at a time, and nobody else's hand in it."""

import json
import os
import signal
import socket
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import astuple
from pathlib import Path

import pytest
from intentcast_agent import home as home_room
from intentcast_agent.home import Home, HomeLocked, HomeUnusable, find_home, lock_home, socket_address

needs_proc = pytest.mark.skipif(sys.platform != "linux", reason="only Linux has /proc/self/fd")

HOLDER = """
import os, sys
from intentcast_agent.home import find_home, lock_home
with lock_home(find_home(os.environ)):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return find_home({"INTENTCAST_HOME": str(tmp_path / "home")})


def child_env(**extra: str) -> dict[str, str]:
    return {"PYTHONPATH": os.pathsep.join(sys.path), "PATH": os.environ["PATH"], **extra}


@contextmanager
def holder(home: Home) -> Iterator["subprocess.Popen[bytes]"]:
    """Another process that holds the home until its standard input closes."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=child_env(INTENTCAST_HOME=str(home.lock.parent)),
    )
    with process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"held\n"
        try:
            yield process
        finally:
            if process.poll() is None:
                process.kill()


def test_intentcast_home_holds_everything(tmp_path: Path) -> None:
    home = find_home({"INTENTCAST_HOME": str(tmp_path)})
    assert all(Path(path).is_relative_to(tmp_path) for path in astuple(home))
    assert len(set(astuple(home))) == 7
    assert (home.config.name, home.database.name) == ("config.toml", "agent.db")


def test_relative_home_survives_a_change_of_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert find_home({"INTENTCAST_HOME": "mine"}).database == tmp_path / "mine" / "agent.db"


@pytest.mark.skipif(sys.platform != "linux", reason="the XDG folders are Linux's")
def test_home_without_override_is_spread_over_the_platform_folders(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for kind in ("config", "data", "state"):
        monkeypatch.setenv(f"XDG_{kind.upper()}_HOME", str(tmp_path / kind))
    home = find_home({"INTENTCAST_HOME": ""})
    assert home.config == tmp_path / "config" / "intentcast" / "config.toml"
    assert home.keystore.parent == home.database.parent == home.lock.parent == tmp_path / "data" / "intentcast"
    assert home.socket.parent == home.log.parent == tmp_path / "state" / "intentcast"


def test_socket_does_not_move_with_the_runtime_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, recwarn: pytest.WarningsRecorder
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("XDG_RUNTIME_DIR", raising=False)
    without = find_home({})
    monkeypatch.setenv("XDG_RUNTIME_DIR", "/run/user/1")
    assert find_home({}) == without
    assert not recwarn.list


def test_account_without_a_home_folder_is_told_to_name_one(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_STATE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(os.path, "expanduser", lambda path: path)
    for env in ({}, {"INTENTCAST_HOME": "~/mine"}):
        with pytest.raises(HomeUnusable, match="INTENTCAST_HOME"):
            find_home(env)


def test_finding_a_home_touches_no_disk(home: Home) -> None:
    assert not home.lock.parent.exists()


def test_prepare_makes_every_folder_private_whatever_the_umask(tmp_path: Path) -> None:
    home = find_home({"INTENTCAST_HOME": str(tmp_path / "a" / "b")})
    before = os.umask(0)
    try:
        home.prepare()
        home.prepare()
    finally:
        os.umask(before)
    for folder in (*home.folders, tmp_path / "a"):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700


@pytest.mark.parametrize("bits", [0o755, 0o750, 0o701, 0o770])
def test_prepare_refuses_a_folder_open_to_others_and_leaves_it_alone(home: Home, bits: int) -> None:
    folder = home.database.parent
    folder.mkdir()
    folder.chmod(bits)
    with pytest.raises(HomeUnusable, match=r"chmod 700 .*/home"):
        home.prepare()
    assert stat.S_IMODE(folder.stat().st_mode) == bits


def test_prepare_refuses_a_folder_of_another_account(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    home.prepare()
    monkeypatch.setattr(os, "geteuid", lambda: 4_000_000)
    with pytest.raises(HomeUnusable, match="another account"):
        home.prepare()


def test_prepare_says_what_to_do_when_a_file_is_in_the_way(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(HomeUnusable, match="Set INTENTCAST_HOME"):
        find_home({"INTENTCAST_HOME": str(tmp_path / "file" / "home")}).prepare()


def test_lock_writes_the_pid_and_a_private_file(home: Home) -> None:
    with lock_home(home):
        assert home.lock.read_text() == f"{os.getpid()}\n"
        assert stat.S_IMODE(home.lock.stat().st_mode) == 0o600
    assert home.lock.read_text() == ""


def test_home_can_be_taken_again_after_release(home: Home) -> None:
    lock = lock_home(home)
    lock.release()
    with lock_home(home):
        lock.release()
        with pytest.raises(HomeLocked):
            lock_home(home)


def test_second_process_is_told_which_process_holds_the_home(home: Home) -> None:
    with holder(home) as process:
        with pytest.raises(HomeLocked) as locked:
            lock_home(home)
        assert locked.value.pid == process.pid
        assert f"pid {process.pid}" in str(locked.value)
        assert f"kill {process.pid}" in str(locked.value)


def test_lock_is_free_when_its_holder_is_killed(home: Home) -> None:
    with holder(home) as process:
        process.send_signal(signal.SIGKILL)
        process.wait()
        with lock_home(home):
            assert home.lock.read_text() == f"{os.getpid()}\n"


def test_lock_is_not_inherited_by_a_program_we_start(home: Home) -> None:
    lock = lock_home(home)
    with subprocess.Popen(["sleep", "30"]) as child:
        try:
            lock.release()
            lock_home(home).release()
        finally:
            child.kill()


def test_holder_that_has_not_written_its_pid_is_reported_without_one(home: Home) -> None:
    with lock_home(home):
        home.lock.write_text("")
        with pytest.raises(HomeLocked) as locked:
            lock_home(home)
    assert locked.value.pid is None
    assert "None" not in str(locked.value)


@needs_proc
def test_failed_lock_leaks_no_descriptor(home: Home) -> None:
    with lock_home(home):
        before = len([*Path("/proc/self/fd").iterdir()])
        for _ in range(3):
            with pytest.raises(HomeLocked):
                lock_home(home)
        assert len([*Path("/proc/self/fd").iterdir()]) == before


@pytest.mark.parametrize("depth", [0, pytest.param(3, marks=needs_proc), pytest.param(20, marks=needs_proc)])
def test_socket_works_at_any_length_of_home(tmp_path: Path, depth: int) -> None:
    home = find_home({"INTENTCAST_HOME": str(tmp_path.joinpath("h", *["a folder name of thirty bytes."] * depth))})
    home.prepare()
    with socket_address(home) as address, socket.socket(socket.AF_UNIX) as server:
        assert len(os.fsencode(address)) <= home_room.LONGEST_SOCKET_PATH
        server.bind(address)
        server.listen()
        assert home.socket.is_socket()
        with socket_address(home) as theirs, socket.socket(socket.AF_UNIX) as client:
            client.connect(theirs)
            client.sendall(b"hello")
            accepted, _ = server.accept()
            with accepted:
                assert accepted.recv(5) == b"hello"


@needs_proc
def test_socket_of_a_long_home_is_reached_from_another_process(tmp_path: Path) -> None:
    home = find_home({"INTENTCAST_HOME": str(tmp_path / ("n" * 120))})
    home.prepare()
    program = (
        "import os, socket\n"
        "from intentcast_agent.home import find_home, socket_address\n"
        "with socket_address(find_home(os.environ)) as address, socket.socket(socket.AF_UNIX) as client:\n"
        "    client.connect(address)\n"
    )
    with socket_address(home) as address, socket.socket(socket.AF_UNIX) as server:
        server.bind(address)
        server.listen()
        env = child_env(INTENTCAST_HOME=str(home.socket.parent))
        assert subprocess.run([sys.executable, "-c", program], env=env, check=False).returncode == 0


def test_long_home_without_proc_is_refused_with_advice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = find_home({"INTENTCAST_HOME": str(tmp_path / ("n" * 120))})
    home.prepare()
    monkeypatch.setattr(sys, "platform", "darwin")
    with pytest.raises(HomeUnusable, match="shorter name"), socket_address(home):
        pass


def test_socket_address_refuses_a_folder_others_can_enter(home: Home) -> None:
    home.prepare()
    home.socket.parent.chmod(0o711)
    with pytest.raises(HomeUnusable), socket_address(home):
        pass


@needs_proc
def test_long_address_stays_with_the_folder_that_was_checked(tmp_path: Path) -> None:
    home = find_home({"INTENTCAST_HOME": str(tmp_path / ("n" * 120))})
    home.prepare()
    ours, moved = home.socket.parent, tmp_path / "moved"
    with socket_address(home) as address, socket.socket(socket.AF_UNIX) as server:
        ours.rename(moved)
        ours.symlink_to("/tmp")
        server.bind(address)
        assert (moved / "agent.sock").is_socket()


def test_socket_address_of_no_home_means_no_agent_runs(home: Home) -> None:
    with pytest.raises(FileNotFoundError), socket_address(home):
        pass


def test_finding_a_home_loads_no_slow_library() -> None:
    program = "import intentcast_agent.home, intentcast_agent.keystore, sys, json; print(json.dumps(list(sys.modules)))"
    run = subprocess.run([sys.executable, "-c", program], env=child_env(), check=True, capture_output=True)
    loaded = {name.partition(".")[0] for name in json.loads(run.stdout)}
    assert not loaded & {"aiohttp", "asyncio", "msgpack", "nacl", "platformdirs"}
