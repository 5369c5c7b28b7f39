"""The operator's file: what it may say, and how it is told what it may not."""

import tomllib
from dataclasses import fields
from pathlib import Path

import pytest
from intentcast_relay.config import Batch, Config, ConfigError, Limits, Policy, load, read, template

ROOT = Path(__file__).parents[2]


def test_the_template_is_the_file_in_deploy() -> None:
    assert (ROOT / "deploy" / "relay.toml").read_text(encoding="utf-8") == template()


def test_the_template_says_the_defaults() -> None:
    config = read(tomllib.loads(template()))
    assert config == Config()


def test_the_template_names_every_setting() -> None:
    text = template()
    names = [entry.name for kind in (Config, Limits, Batch) for entry in fields(kind)]
    assert [name for name in names if f"{name} =" not in text and f"[{name}]" not in text] == []


def test_what_the_template_comments_out_is_the_default() -> None:
    lines = [line.removeprefix("# ") for line in template().splitlines()]
    sections = {"[limits]", "[batch]", "[policy]"}
    numbers = [line for line in lines if line.partition(" = ")[2].isdigit() or line in sections]
    config = read(tomllib.loads("\n".join(numbers)))
    assert (config.limits, config.batch, config.policy) == (Limits(), Batch(), Policy())


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("lisen = 'x'", "lisen is not a setting"),
        ("limits.conections = 1", "limits.conections is not a setting"),
        ("listen = '7447'", "listen is"),
        ("listen = 'host:70000'", "listen is"),
        ("listen = 7447", "listen has to be a text"),
        ("url = 'https://relay.example'", "url is"),
        ("url = 'wss://relay.example/path'", "url is"),
        ("url = 'wss://me@relay.example'", "url is"),
        ("url = 'wss://[::1'", "url is"),
        ("hosts = 'relay.example'", "hosts has to be a list"),
        ("hosts = [1]", "hosts has to be a text"),
        ("limits = 3", "limits has to be a section"),
        ("limits.connections = '3'", "limits.connections has to be a whole number"),
        ("limits.connections = 0", "limits.connections has to be a whole number"),
        ("limits.connections = true", "limits.connections has to be a whole number"),
        ("limits.subscriptions = 33", "limits.subscriptions is 33; at most 32"),
        ("limits.page = 5000", "limits.page is 5000"),
        ("batch.items = 100000", "batch.items is 100000"),
        ("batch.milliseconds = -1", "batch.milliseconds has to be a whole number"),
        ("name = ''", "name has to be a text"),
        ("policy = 1", "policy has to be a section"),
        ("policy.comand = ['x']", "policy.comand is not a setting"),
        ("policy.command = 'x'", "policy.command has to be a list"),
        ("metrics = 3", "metrics has to be a section"),
        ("metrics.listen = '9464'", "metrics.listen is"),
        ("metrics.port = 1", "metrics.port is not a setting"),
        ("log.format = 'xml'", 'log.format is "xml"; it has to be one of text, json'),
        ("log.level = 'loud'", "log.level is"),
        ("log.level = 3", "log.level has to be a text"),
        ("policy.command = ['']", "policy.command has to be a text"),
        ("policy.types = ['sealed']", 'policy.types is "sealed"; it has to be one of demand, profile'),
        ("policy.timeout_ms = 0", "policy.timeout_ms has to be a whole number"),
        ("policy.timeout_ms = 60001", "policy.timeout_ms is 60001; at most 60000"),
    ],
)
def test_a_wrong_setting_is_named_in_a_sentence(text: str, says: str) -> None:
    with pytest.raises(ConfigError, match=says) as caught:
        read(tomllib.loads(text))
    assert str(caught.value).endswith(".")


def test_a_file_that_is_no_toml_is_refused(tmp_path: Path) -> None:
    (tmp_path / "relay.toml").write_text("listen = ")
    with pytest.raises(ConfigError, match="not valid TOML"):
        load(tmp_path / "relay.toml")
    with pytest.raises(ConfigError, match="cannot be read"):
        load(tmp_path / "none.toml")


def test_a_relative_database_starts_at_the_files_folder(tmp_path: Path) -> None:
    (tmp_path / "relay.toml").write_text('database = "data/relay.db"')
    assert load(tmp_path / "relay.toml").database == tmp_path / "data" / "relay.db"


def test_the_address_follows_the_real_port() -> None:
    assert Config(listen="127.0.0.1:0").bound(5000).url == "ws://127.0.0.1:5000"
    assert Config(listen="[::1]:0").bound(5000).url == "ws://[::1]:5000"
    assert Config(listen="127.0.0.1:0", url="wss://relay.example").bound(5000).url == "wss://relay.example"


def test_proofs_may_name_the_address_with_and_without_its_default_port() -> None:
    config = Config(listen="127.0.0.1:0", url="wss://Relay.example", hosts=("Other.example:99",)).bound(5000)
    assert config.authorities == {"127.0.0.1:5000", "relay.example", "relay.example:443", "other.example:99"}
    assert Config(listen="127.0.0.1:0").bound(5000).authorities == {"127.0.0.1:5000"}
