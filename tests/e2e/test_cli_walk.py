"""The main job by hand: separate processes, each ended and started again between the steps, and a proof at the end."""

import shutil
import subprocess
import sys
import urllib.request
from pathlib import Path
from typing import Any

import pytest
from intentcast_protocol.record import decode_record

ALDER = (
    "AL-1\t2018 Volkswagen Golf Variant\t16000 EUR\t916\tVolkswagen\tGolf\t2018\t64000 km\tstation_wagon\n"
    "AL-2\t2016 Volkswagen Golf\t9000 EUR\t916\tVolkswagen\tGolf\t2016\t128000 km\thatchback\n"
)
BIRCH = "BI-1\t2019 Volkswagen Golf Variant\t17500 EUR\t916\tVolkswagen\tGolf\t2019\t41000 km\tstation_wagon\n"


@pytest.mark.parametrize(
    "served", [pytest.param(False, marks=pytest.mark.reliability), True], ids=["verbs alone", "verbs over the socket"]
)
def test_cli_walk_ends_in_a_proof_though_every_process_is_restarted(
    stage: Any, until: Any, want: str, served: bool
) -> None:
    relays = [stage.relay("north"), stage.relay("south")]
    alder = stage.vendor("alder", "north", "south", stock=ALDER)
    birch = stage.vendor("birch", "north", "south", stock=BIRCH)
    bots = [alder.serve("vendor"), birch.serve("vendor")]
    person = stage.person("person", "north", "south")
    agent = person.serve() if served else None
    assert person.json("status")["running"] is served
    person("contact", "set", "name=A. Person", "email=me@mail.example")

    # What was previewed is what is signed, and what every relay stores.
    stage.write("want.toml", want)
    preview = person.json("demand", "preview", "want.toml")
    assert preview["private"]["reserve"] == "17900.00"
    assert "17900" not in preview["public"]["bytes"] + str(preview["public"]["view"])
    cast = person.json("demand", "cast", preview["draft"])
    assert cast["id"] == preview["demand"]
    assert set(cast["relays"].values()) == {"done"}
    for name in ("north", "south"):
        with urllib.request.urlopen(f"{stage.url(name).replace('ws', 'http', 1)}/records/{cast['id']}") as answer:
            assert decode_record(answer.read()).payload.hex() == preview["public"]["bytes"]

    until(lambda: person.json("offer", "list", "d1")["total"] == 2)

    # Everyone goes down once, half of them without a warning.
    relays[0].kill()
    relays[0] = stage.relay("north")
    bots[0].stop()
    bots[0] = alder.serve("vendor")
    bots[1].kill()
    bots[1] = birch.serve("vendor")
    if agent:
        agent.kill()
        agent = person.serve()

    listed = person.json("offer", "compare", "d1")
    assert [offer["vendor"] for offer in listed["offers"]] == ["Alder Cars", "Birch Cars"]
    assert [offer["fit"] for offer in listed["offers"]] == ["fits", "fits"]
    best = listed["offers"][0]["name"]
    assert listed["offers"][0]["total"] == "16150.00"
    countered = person.json("deal", "counter", best, "--total", "15000")
    assert countered["total"] == "15670.00"
    assert countered["rounds"] == 1

    # The accept waits for a vendor who is gone, on relays that go too.
    bots[0].kill()
    assert person.json("deal", "accept", best, "--yes", "--wait", "0.5", code=7)["state"] == "accepted"
    relays[0].kill()
    relays[1].stop()
    if agent:
        agent.stop()
    relays[:] = [stage.relay("north"), stage.relay("south")]
    bots[0] = alder.serve("vendor")
    if agent:
        agent = person.serve()
    agreed = person.json("deal", "accept", best, "--wait", "30")
    assert agreed["state"] == "agreed"
    assert {row["attribute"] for row in agreed["disclosed"] if row["decision"] == "released"} == {"name", "email"}

    # Both sides hold the same bytes, and the winner alone knows whom to call.
    deal = until(lambda: _contacted(alder.json("vendor", "deals")["deals"]))
    assert deal["contact"] == {"name": "A. Person", "email": "me@mail.example"}
    assert not _contacted(birch.json("vendor", "deals")["deals"])
    path = stage.folder / "deal.agreement"
    agreement = person.json("agreement", "export", "a1", "-o", str(path))
    alder("agreement", "export", "a1", "-o", "theirs.agreement")
    assert path.read_bytes() == (stage.folder / "theirs.agreement").read_bytes()
    assert person.json("agreement", "list")["agreements"][0]["id"] == agreement["id"]
    for process in (*relays, *bots, *([agent] if agent else [])):
        process.stop()
    _prove_offline(stage, path, agreement["id"])


def _contacted(deals: list[dict[str, Any]]) -> dict[str, Any] | None:
    return next((deal for deal in deals if deal["contact"]), None)


def _prove_offline(stage: Any, path: Path, agreement: str) -> None:
    """Verify a bundle with no network, no home and no account, then with one bit flipped in several places."""
    empty = stage.folder / "nobody"
    empty.mkdir()
    env = _walled(stage) | {"HOME": str(empty)}
    prefix = _no_network()
    proof = stage.run("agreement", "verify", str(path), "--json", env=env, prefix=prefix).json
    assert proof["verified"]
    assert proof["id"] == agreement
    assert proof["price"] == "15670.00"
    assert proof["witnessed"] == "not witnessed"
    good = path.read_bytes()
    for at in (len(good) // 5, len(good) // 2, len(good) - 40):
        path.write_bytes(good[:at] + bytes([good[at] ^ 1]) + good[at + 1 :])
        assert not stage.run("agreement", "verify", str(path), "--json", env=env, prefix=prefix, code=6).json[
            "verified"
        ]
    said = stage.run("agreement", "verify", str(path), env=env, prefix=prefix, code=6)
    assert not said.out
    assert list(empty.iterdir()) == [], "verifying leaves nothing behind"


def _walled(stage: Any) -> dict[str, str]:
    """Return an environment in which a Python process ends with 99 as soon as it makes a socket."""
    wall = stage.folder / "wall"
    wall.mkdir()
    (wall / "sitecustomize.py").write_text(
        "import os, sys\nsys.addaudithook(lambda event, _: event.startswith('socket.') and os._exit(99))\n"
    )
    env: dict[str, str] = {name: value for name, value in stage.env.items() if not name.startswith("XDG_")}
    env["PYTHONPATH"] = str(wall)
    probe = subprocess.run([sys.executable, "-c", "import socket; socket.socket()"], env=env, check=False)
    assert probe.returncode == 99, "the wall stands"
    return env


def _no_network() -> tuple[str, ...]:
    """Return what to put before a command so that it has no network at all, where the system lets us do so."""
    tool = shutil.which("unshare")
    for words in ((tool, "-n"), (tool, "-r", "-n")):
        if tool and subprocess.run([*words, "true"], capture_output=True, check=False).returncode == 0:
            return words
    return ()
