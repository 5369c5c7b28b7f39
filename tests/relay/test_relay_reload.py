"""Settings that change while the relay runs: what applies, what waits for a restart, and what a wrong file does."""

import asyncio
import logging
import os
from dataclasses import replace
from pathlib import Path

import pytest
from intentcast_relay.config import Batch, Config, ConfigError, Limits, Log, Metrics, load
from intentcast_relay.reload import Reload, differences, frozen


class Running:
    """Stands where the relay does: takes settings, or refuses them."""

    def __init__(self) -> None:
        self.applied: list[Config] = []
        self.complaints: list[str] = []
        self.refuses = ""
        self.changed = asyncio.Event()

    def apply(self, config: Config) -> None:
        if self.refuses:
            raise ConfigError(self.refuses)
        self.applied.append(config)
        self.changed.set()

    def complain(self, why: str) -> None:
        self.complaints.append(why)


class File:
    """A settings file that is written anew with a modification time of its own each time."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.written = 1_800_000_000

    def write(self, text: str) -> None:
        self.path.write_text(text)
        self.written += 1
        os.utime(self.path, (self.written, self.written))


@pytest.fixture
def running() -> Running:
    return Running()


@pytest.fixture
def file(tmp_path: Path) -> File:
    found = File(tmp_path / "relay.toml")
    found.write('name = "One"\n')
    return found


@pytest.fixture
def reload(file: File, running: Running) -> Reload:
    return Reload(file.path, running, load(file.path), lambda config: config)


def test_differences_are_named_like_the_keys_of_the_file() -> None:
    new = replace(Config(), name="Mine", limits=Limits(page=9), batch=Batch(items=3), metrics=Metrics("127.0.0.1:1"))
    assert set(differences(Config(), new)) == {"name", "limits.page", "batch.items", "metrics.listen"}
    assert differences(Config(), Config()) == []


def test_what_only_a_start_decides_stays() -> None:
    old = Config(listen="127.0.0.1:1", url="ws://a", database=Path("a.db"))
    new = Config(listen="127.0.0.1:2", url="ws://b", database=Path("b.db"), name="B", log=Log("json"))
    new = replace(new, batch=Batch(items=9, processes=7))
    batch = Batch(items=9, processes=Config().batch.processes)
    assert frozen(old, new) == replace(old, name="B", log=Log("json"), batch=batch)


def test_unchanged_file_is_left_alone(reload: Reload, running: Running) -> None:
    for _ in range(3):
        reload.look()
    assert running.applied == []


def test_change_is_applied_once_it_has_settled(reload: Reload, running: Running, file: File) -> None:
    file.write('name = "Two"\n')
    reload.look()
    assert running.applied == []
    reload.look()
    reload.look()
    assert [config.name for config in running.applied] == ["Two"]


def test_file_still_being_written_is_not_read(reload: Reload, running: Running, file: File) -> None:
    for text in ('name = "Tw', 'name = "Two"\nlimits', 'name = "Two"\n'):
        file.write(text)
        reload.look()
    reload.look()
    assert [config.name for config in running.applied] == ["Two"]
    assert running.complaints == []


def test_asking_reads_even_an_unchanged_file_at_once(reload: Reload, running: Running) -> None:
    reload.look(now=True)
    reload.look()
    assert [config.name for config in running.applied] == ["One"]


@pytest.mark.parametrize(
    ("text", "says"),
    [("name = ", "not valid TOML"), ("lisen = 1", "lisen is not a setting"), ("limits.page = 0", "limits.page")],
)
def test_wrong_file_changes_nothing_and_is_told(
    reload: Reload, running: Running, file: File, caplog: pytest.LogCaptureFixture, text: str, says: str
) -> None:
    file.write(text)
    for _ in range(4):
        reload.look()
    assert running.applied == []
    assert [says in why for why in running.complaints] == [True]
    assert [entry.levelno for entry in caplog.records] == [logging.WARNING]
    assert says in caplog.text


def test_missing_file_is_told_and_its_return_applied(reload: Reload, running: Running, file: File) -> None:
    file.path.unlink()
    reload.look()
    reload.look()
    assert ["cannot be read" in why for why in running.complaints] == [True]
    file.write('name = "Back"\n')
    reload.look()
    reload.look()
    assert [config.name for config in running.applied] == ["Back"]


def test_relay_that_began_without_a_file_misses_none_and_takes_one(file: File, running: Running) -> None:
    file.path.unlink()
    reload = Reload(file.path, running, Config(), lambda config: config)
    reload.look(now=True)
    assert running.complaints == []
    file.write('name = "New"\n')
    reload.look()
    reload.look()
    assert [config.name for config in running.applied] == ["New"]


def test_settings_the_relay_refuses_are_told(reload: Reload, running: Running, file: File) -> None:
    running.refuses = "No."
    file.write('name = "Two"\n')
    reload.look(now=True)
    assert running.complaints == ["No."]


def test_what_needs_a_restart_is_named(
    reload: Reload, running: Running, file: File, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    file.write('name = "Two"\nlisten = "127.0.0.1:9"\nurl = "ws://b"\nmetrics.listen = "127.0.0.1:8"\n')
    reload.look(now=True)
    reloaded, restart = caplog.messages
    assert reloaded == "reloaded changed=name"
    assert restart == 'restart-needed settings="listen, url, metrics.listen"'
    assert len(running.applied) == 1


def test_command_line_stands_above_the_file(file: File, running: Running) -> None:
    def override(config: Config) -> Config:
        return replace(config, listen="127.0.0.1:0")

    reload = Reload(file.path, running, override(load(file.path)), override)
    file.write('listen = "127.0.0.1:9"\n')
    reload.look(now=True)
    assert running.applied[0].listen == "127.0.0.1:0"


async def test_change_is_noticed_and_asking_needs_none(
    reload: Reload, running: Running, file: File, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("intentcast_relay.reload.EVERY", 0.01)
    watching = asyncio.create_task(reload.run())
    file.write('name = "Two"\n')
    await asyncio.wait_for(running.changed.wait(), 5)
    running.changed.clear()
    reload.wake()
    await asyncio.wait_for(running.changed.wait(), 5)
    assert [config.name for config in running.applied] == ["Two", "Two"]
    watching.cancel()
    await asyncio.gather(watching, return_exceptions=True)


async def test_fault_while_applying_ends_nothing(
    reload: Reload, running: Running, file: File, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(_: Config) -> None:
        running.changed.set()
        raise RuntimeError("secret")

    monkeypatch.setattr(running, "apply", fail)
    watching = asyncio.create_task(reload.run())
    for _ in range(2):
        running.changed.clear()
        reload.wake()
        await asyncio.wait_for(running.changed.wait(), 5)
    watching.cancel()
    await asyncio.gather(watching, return_exceptions=True)
    assert caplog.text.count("RuntimeError") == 2
    assert "secret" not in caplog.text
