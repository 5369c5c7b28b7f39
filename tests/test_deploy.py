"""What deploy/ tells an operator to run is what this program understands, and its files pass their own parsers."""

import json
import os
import re
import shlex
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest
from click.testing import CliRunner
from intentcast_relay.cli import main
from intentcast_relay.config import Config, load, read
from intentcast_relay.metrics import METRICS, PREFIX

ROOT = Path(__file__).parents[1]
DEPLOY = ROOT / "deploy"
SUFFIXES = ("_bucket", "_sum", "_count")
UNITS = sorted((DEPLOY / "systemd").glob("intentcast-*"))


def parser(name: str) -> str:
    """Return the path of a program that reads one of these files; on CI it has to be there."""
    found = shutil.which(name)
    if found is None:
        if os.environ.get("CI") == "true":
            pytest.fail(f"{name} is not installed, and .ci/run was to install it")
        pytest.skip(f"{name} is not installed; the checks without it still run")
    return found


def options_of(words: list[str]) -> None:
    """Refuse a command line that the relay's own parser would refuse."""
    while words and not words[0].startswith("-") and words[0] not in {"serve", "admin", "info", "init"}:
        words = words[1:]
    verbs = [word for word in words[:2] if not word.startswith("-") and "/" not in word]
    told = CliRunner().invoke(main, [*verbs, "--help"])
    assert told.exit_code == 0, told.output
    for word in words:
        if word.startswith("--"):
            assert word in told.output, f"{' '.join(verbs)} has no {word}"


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_a_unit_file_is_one_systemd_understands(unit: Path, tmp_path: Path) -> None:
    verify = parser("systemd-analyze")
    text = unit.read_text(encoding="utf-8").replace("/opt/intentcast/bin/intentcast-relay", "/bin/true")
    copy = tmp_path / unit.name
    copy.write_text(text, encoding="utf-8")
    if unit.suffix == ".timer":
        (tmp_path / f"{unit.stem}.service").write_text("[Service]\nExecStart=/bin/true\n", encoding="utf-8")
    done = subprocess.run([verify, "verify", "--man=no", str(copy)], capture_output=True, timeout=60, check=False)
    words = [line for line in done.stderr.decode().splitlines() if unit.name in line]
    assert words == []


def test_the_service_is_shut_in_well() -> None:
    command = [
        parser("systemd-analyze"),
        "security",
        "--offline=true",
        str(DEPLOY / "systemd/intentcast-relay.service"),
    ]
    done = subprocess.run(command, capture_output=True, timeout=60, check=False)
    level = re.search(r"Overall exposure level[^:]*: ([0-9.]+)", done.stdout.decode())
    assert level is not None
    assert float(level[1]) <= 2.0


@pytest.mark.parametrize("unit", [unit for unit in UNITS if unit.suffix == ".service"], ids=lambda unit: unit.name)
def test_a_unit_file_starts_what_there_is(unit: Path) -> None:
    (line,) = re.findall(r"^ExecStart=(.*)$", unit.read_text(encoding="utf-8"), re.MULTILINE)
    options_of(shlex.split(line)[1:])


def test_the_image_copies_and_starts_what_there_is() -> None:
    text = (DEPLOY / "Dockerfile").read_text(encoding="utf-8").replace("\\\n", " ")
    for sources in re.findall(r"^COPY (?!--from)(.*)$", text, re.MULTILINE):
        for source in sources.split()[:-1]:
            assert (ROOT / source).exists(), source
    (command,) = re.findall(r"^CMD (\[.*\])$", text, re.MULTILINE)
    options_of(json.loads(command))
    assert re.search(r"^USER (?!root)", text, re.MULTILINE)


def test_the_container_is_told_settings_the_relay_takes() -> None:
    config = load(DEPLOY / "compose/relay.toml")
    assert config.url == "wss://relay.example"
    assert config.limits == Config().limits
    read(tomllib.loads((DEPLOY / "relay.toml").read_text(encoding="utf-8")))


def test_compose_understands_its_file() -> None:
    file = str(DEPLOY / "compose/compose.yaml")
    command = [parser("docker-compose"), "-f", file, "config", "--quiet"]
    env = {**os.environ, "RELAY_DOMAIN": "relay.example"}
    done = subprocess.run(command, capture_output=True, env=env, timeout=60, check=False)
    assert done.returncode == 0, done.stderr.decode()


def test_caddy_understands_its_file(tmp_path: Path) -> None:
    command = [parser("caddy"), "validate", "--adapter", "caddyfile", "--config", str(DEPLOY / "compose/Caddyfile")]
    env = {**os.environ, "RELAY_DOMAIN": "relay.example", "HOME": str(tmp_path), "XDG_DATA_HOME": str(tmp_path)}
    done = subprocess.run(command, capture_output=True, env=env, timeout=60, check=False)
    assert done.returncode == 0, done.stderr.decode()


def test_the_dashboard_asks_for_metrics_there_are() -> None:
    board = json.loads((DEPLOY / "grafana/relay.json").read_text(encoding="utf-8"))
    known = {PREFIX + row.name for row in METRICS}
    asked = set()
    for panel in board["panels"]:
        for target in panel["targets"]:
            for name in re.findall(rf"{PREFIX}[a-z0-9_]+", target["expr"]):
                base = next((name.removesuffix(end) for end in SUFFIXES if name.endswith(end)), name)
                asked.add(name if name in known else base)
    assert asked <= known
    assert len(asked) >= 20
