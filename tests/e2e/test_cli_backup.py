"""A home that is lost and put back elsewhere: sealed while the agent served, proven, restored, and the deal goes on."""

import shutil
import stat
from typing import Any

import pytest

ALDER = "AL-1\t2018 Volkswagen Golf Variant\t16000 EUR\t916\tVolkswagen\tGolf\t2018\t64000 km\tstation_wagon\n"


@pytest.mark.reliability
def test_lost_home_is_restored_elsewhere_and_its_deal_goes_on(stage: Any, until: Any, want: str) -> None:
    stage.relay("north")
    alder = stage.vendor("alder", "north", stock=ALDER)
    alder.serve("vendor")
    person = stage.person("person", "north")
    secret = stage.write("secret", "correct horse battery staple\n")
    wrong = stage.write("wrong", "correct horse battery stapler\n")
    for file in (secret, wrong):
        file.chmod(0o600)
    agent = person.serve()
    stage.write("want.toml", want)
    person("demand", "cast", "want.toml", "--yes")
    until(lambda: person.json("offer", "list", "d1")["total"] == 1)
    assert "No backup yet" in person("status").out

    # Taken while the agent serves, and what happens afterwards is lost with the home.
    sealed = ("--passphrase-file", "secret")
    made = person.json("backup", "create", "person.backup", *sealed)
    backup = stage.folder / "person.backup"
    assert stat.S_IMODE(backup.stat().st_mode) == 0o600
    assert person.json("status")["backup"]["last"] == made
    countered = person.json("deal", "counter", "o1", "--total", "15000")
    assert countered["rounds"] == 1
    total = until(lambda: _standing(person))["total"]
    agent.kill()
    shutil.rmtree(person.home)

    again = type(person)(stage, "elsewhere")
    assert made["fingerprint"] in again("backup", "sheet", "person.backup").out.replace(" ", "").replace("\n", "")
    assert again.json("backup", "verify", "person.backup", "--passphrase-file", "wrong", code=4)["error"]["code"]
    (stage.folder / "cut.backup").write_bytes(backup.read_bytes()[:-1])
    said = again.json("backup", "restore", "cut.backup", *sealed, code=6)
    assert said["error"]["code"] == "damaged"
    proof = again.json("backup", "verify", "person.backup", *sealed)
    assert (proof["verified"], proof["open_demands"], proof["open_sessions"]) == (True, 1, 1)
    again("backup", "restore", "person.backup", *sealed)
    assert "--replace" in again("backup", "restore", "person.backup", *sealed, code=2).err
    assert "1 session waits" in again("status").out

    # Its next start asks the vendor; the counter and the offer that answered it come back, and the deal is made.
    again.serve()
    until(lambda: again.json("status")["backup"]["restored"]["waiting"] == 0)
    assert until(lambda: _standing(again))["total"] == total
    assert again.json("deal", "accept", "o1", "--yes", "--wait", "30")["state"] == "agreed"
    again("agreement", "export", "a1", "-o", "deal.agreement")
    assert again.json("agreement", "verify", "deal.agreement")["price"] == total


def _standing(party: Any) -> Any:
    """Return the offer that stands after the counter, if it has come."""
    offer = party.json("offer", "view", "o1")
    return offer if offer["rounds"] == 1 and offer["state"] == "offered" else None
