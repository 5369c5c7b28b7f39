"""Haggling from the command line, through real relays and bots: within the mandate, handed back, and never told."""

from pathlib import Path
from typing import Any

import pytest

ELM = "EL-1\t2018 Volkswagen Golf Variant\t17900 EUR\t916\tVolkswagen\tGolf\t2018\t64000 km\tstation_wagon\n"
FIR = "FI-1\t2019 Volkswagen Golf Variant\t17500 EUR\t916\tVolkswagen\tGolf\t2019\t52000 km\tstation_wagon\n"
MOST, ASKS, TARGET = "17877", "16555", "15111"
MANDATE = f"""\
most = "{MOST} EUR"
target = "{TARGET} EUR"
rounds = 4
within = "1m"
witnesses = 0
[acts]
accept = "auto"
"""


def offered(stage: Any, until: Any, want: str) -> tuple[Any, list[Any]]:
    """Set up two relays, two vendors at work and a person who has both their offers."""
    for name in ("a", "b"):
        stage.relay(name)
    elm, fir = stage.vendor("elm", "a", "b", stock=ELM), stage.vendor("fir", "a", stock=FIR)
    bots = [elm.serve("vendor"), fir.serve("vendor")]
    person = stage.person("robin", "a", "b")
    stage.write("want.toml", want)
    person("demand", "cast", "want.toml", "--yes")
    until(lambda: person.json("offer", "list", "d1")["total"] == 2)
    return person, bots


@pytest.mark.reliability
def test_the_agent_haggles_and_signs_within_its_mandate(stage: Any, until: Any, want: str) -> None:
    person, bots = offered(stage, until, want)
    assert "17900" in person("deal", "mandate", "d1").out
    stage.write("mandate.toml", MANDATE)
    view = person.json("deal", "haggle", "d1", "--mandate", "mandate.toml")
    assert view["state"] in ("agreed", "at work")
    if view["state"] == "at work":
        view = person.json("deal", "haggle", "d1")
    assert view["state"] == "agreed"
    (agreed,) = [one for one in view["threads"] if one["state"] == "agreed"]
    assert float(agreed["said"][-1]["total"]) < 17_400
    assert {act["clause"] for act in view["acts"]} == {"acts.counter", "acts.accept"}
    (proof,) = person.json("agreement", "list")["agreements"]
    assert proof["verified"]
    shown = person("deal", "haggle", "d1").out
    assert "8 counters" in shown or "counters, each allowed" in shown
    for bot in bots:
        bot.stop()
    _nobody_learnt(stage.folder, MOST, TARGET)


def test_a_mandate_with_a_typo_is_refused_by_name(stage: Any, want: str) -> None:
    stage.relay("a")
    person = stage.person("robin", "a")
    stage.write("want.toml", want)
    person("demand", "cast", "want.toml", "--yes")
    stage.write("mandate.toml", 'mots = "1 EUR"')
    failed = person("deal", "haggle", "d1", "--mandate", "mandate.toml", code=2)
    assert "Did you mean most?" in failed.err
    assert "under no mandate" in person("deal", "haggle", "d1", code=1).err
    stage.write("mandate.toml", MANDATE)
    assert person.json("deal", "haggle", "d1", "--mandate", "mandate.toml", "--wait", "1", code=7)["state"] == "at work"
    assert person.json("deal", "stop", "d1")["state"] == "stopped"


def _nobody_learnt(folder: Path, *secrets: str) -> None:
    """Search every file that is not the person's own: relays' databases, bots' homes, what they logged."""
    own = folder / "robin"
    files = [path for path in folder.rglob("*") if path.is_file() and own not in path.parents]
    texts = {path: path.read_bytes() for path in files if path.name not in ("mandate.toml", "want.toml")}
    assert any(path.suffix == ".db" for path in texts)
    for path, data in texts.items():
        for secret in secrets:
            assert secret.encode() not in data, path


def test_a_mandate_file_is_never_overwritten_nor_read_in_part(stage: Any, want: str) -> None:
    stage.relay("a")
    person = stage.person("robin", "a")
    stage.write("want.toml", want)
    person("demand", "cast", "want.toml", "--yes")
    stage.write("mandate.toml", MANDATE)
    assert "exists already" in person("deal", "mandate", "d1", "-o", "mandate.toml", code=1).err
    assert (stage.folder / "mandate.toml").read_text(encoding="utf-8") == MANDATE
    stage.write("long.toml", MANDATE + "#" * 70_000)
    assert "larger than" in person("deal", "haggle", "d1", "--mandate", "long.toml", code=2).err
    (stage.folder / "other.toml").write_bytes(b"\xff\xfe")
    assert "UTF-8" in person("deal", "haggle", "d1", "--mandate", "other.toml", code=2).err
    assert "deal mandate d1 -o" in person("deal", "haggle", "d1", code=1).err
