"""What goes wrong at the command line: a coded sentence, the right exit code, nothing lost, and never a traceback.

That no traceback and no "fault in intentcast" is ever shown, and that --json failures are one object each, is checked
by the stage for every verb these tests run.
"""

import contextlib
import json
import os
import pty
import select
import signal
import sqlite3
import subprocess
import sys
import unicodedata
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import pytest
from intentcast_agent.home import find_home, lock_home

GOLF = "AL-1\t2018 Volkswagen Golf Variant\t16000 EUR\t916\tVolkswagen\tGolf\t2018\t64000 km\tstation_wagon\n"


def stored(stage: Any, relay: str, demand: str) -> bool:
    """Say whether a relay serves a demand to anyone who asks."""
    url = stage.url(relay).replace("ws", "http", 1)
    try:
        with urllib.request.urlopen(f"{url}/records/{demand}") as answer:
            return answer.status == 200
    except urllib.error.HTTPError as error:
        return error.code == 200


def test_cli_usage_is_told_by_name_and_exits_2(stage: Any) -> None:
    person = stage.person("person")
    for words, named in (
        (("demand", "list", "--bogus"), "--bogus"),
        (("demand", "draft"), "--template"),
        (("demand", "draft", "a pony"), "plumber"),
        (("deal", "counter", "o1"), "--total"),
        (("contact", "set", "shoesize=43"), "shoesize"),
        (("agreement", "verify", "nosuchfile"), "nosuchfile"),
        (("init", "--relay", "http://relay.example"), "--relay"),
        (("vendor", "feed", "check", "person/config.toml"), "id"),
    ):
        assert named in person.json(*words, code=2)["error"]["message"]
    assert "Usage: intentcast demand" in person("demand", code=2).err


def test_cli_draft_that_cannot_be_a_demand_exits_2_and_names_the_key(stage: Any, want: str) -> None:
    person = stage.person("person", "north")
    person.serve()
    for broken, named in (
        (want.replace("max_price", "max_prize"), "max_price"),
        (want.replace("18500 EUR", "cheap"), "max_price"),
        (want.replace('"2h"', '"soon"'), "expires"),
        (want.replace("rounds = 5", "rounds = 99"), "maxRounds"),
        (want.replace('op = "le"', 'op = "about"'), "constraint 1"),
        (want.replace("vehicles-parts/", "Vehicles & Parts/"), "category"),
        (want.replace("[private]", "[private"), "TOML"),
    ):
        assert broken != want
        stage.write("want.toml", broken)
        assert named in person.json("demand", "preview", "want.toml", code=2)["error"]["message"]
    (stage.folder / "want.toml").write_bytes(b'name = "\xff"')
    assert "UTF-8" in person("demand", "cast", "want.toml", "--yes", code=2).err
    assert person.json("demand", "list")["drafts"] == []


def test_cli_signs_no_unseen_file_unless_told_to(stage: Any, want: str) -> None:
    person = stage.person("person", "north")
    stage.write("want.toml", want)
    assert "--yes" in person("demand", "cast", "want.toml", code=2).err
    assert "--yes" in person.json("demand", "cast", "want.toml", code=2)["error"]["message"]
    assert person.json("demand", "list")["demands"] == []


def test_cli_what_is_not_there_exits_3(stage: Any) -> None:
    nobody = stage.person("nobody")
    nobody.serve()
    for words in (
        ("demand", "view", "d9"),
        ("demand", "cast", "d9"),
        ("demand", "cast", "missing.toml"),
        ("offer", "view", "o9"),
        ("deal", "accept", "o9"),
        ("agreement", "view", "a9"),
        ("vendor", "policy", "show"),
    ):
        assert nobody.json(*words, code=3)["error"]["message"].count("\n") == 0
    assert "intentcast init" in stage.run("demand", "list", env=nobody.env | {"INTENTCAST_HOME": "new"}, code=3).err


def test_cli_wrong_or_missing_passphrase_exits_4(stage: Any) -> None:
    for name, words in (("right", "correct horse\n"), ("wrong", "battery staple\n")):
        stage.write(name, words).chmod(0o600)
    person = stage.person("person")
    person("contact", "set", "name=A. Person")
    person("init", "--passphrase-file", "right")
    assert person.json("contact", "view", "--passphrase-file", "wrong", code=4)["error"]["code"] == "locked"
    assert "--passphrase-file" in person("contact", "view", code=4).err
    person("init", "--passphrase-file", "wrong", code=4)
    assert person.json("contact", "view", "--passphrase-file", "right")["contact"] == {"name": "A. Person"}
    (stage.folder / "right").chmod(0o644)
    assert "chmod 600" in person("contact", "view", "--passphrase-file", "right", code=4).err


def test_cli_home_in_use_or_open_to_others_exits_4(stage: Any) -> None:
    person = stage.person("person")
    with lock_home(find_home({"INTENTCAST_HOME": str(person.home)})):
        assert person.json("demand", "list", code=4)["error"]["code"] == "locked"
        assert "kill" in person("serve", code=4).err
        assert person.json("status")["running"] is False
    person.home.chmod(0o755)
    assert "chmod 700" in person("demand", "list", code=4).err
    assert "chmod 700" in person("status", code=4).err


@pytest.mark.reliability
def test_cli_demand_that_no_relay_takes_is_kept_and_goes_out_later(stage: Any, want: str) -> None:
    person = stage.person("person", "north")
    stage.write("want.toml", want)
    cast = person.json("demand", "cast", "want.toml", "--yes", code=5)
    assert cast["error"]["code"] == "unreachable"
    assert cast["relays"] == {stage.url("north"): "queued"}
    assert person.json("status")["outbox"] == 1
    stage.relay("north")
    again = person.json("demand", "cast", "d1")
    assert again["id"] == cast["id"]
    assert stored(stage, "north", cast["id"])
    assert person.json("status")["outbox"] == 0
    assert stage.run("doctor", "--json", env=person.env, code=1).json["checks"][-1]["ok"]


def test_cli_waiting_in_vain_exits_7_and_ctrl_c_130_with_nothing_lost(stage: Any, want: str) -> None:
    stage.relay("north")
    person = stage.person("person", "north")
    stage.write("want.toml", want)
    casting = person.start("demand", "cast", "want.toml", "--yes", "--wait", "120")
    while "Ctrl-C is safe" not in casting.stdout.readline():
        assert casting.poll() is None
    casting.send_signal(signal.SIGINT)
    _, err = casting.communicate(timeout=30)
    assert casting.returncode == 130
    assert "Nothing is lost" in err
    assert "Traceback" not in err
    listed = person.json("demand", "list")["demands"]
    assert [one["state"] for one in listed] == ["open"]
    assert stored(stage, "north", listed[0]["id"])
    nothing = person.json("offer", "list", "d1", "--wait", "0.5", code=7)
    assert nothing["offers"] == []
    assert person.json("offer", "compare", "d1", code=7)["error"]["code"] == "nothing yet"
    assert "No offers yet" in person("offer", "list", "--wait", "0.5", code=7).out


def test_cli_agent_that_dies_while_it_is_asked_exits_5(stage: Any, until: Any) -> None:
    person = stage.person("person", "north")
    agent = person.serve()
    agent.running.send_signal(signal.SIGSTOP)
    asking = person.start("demand", "list", "--json")
    until(lambda: _has_socket(asking.pid))
    agent.kill()
    out, err = asking.communicate(timeout=60)
    assert asking.returncode == 5, (out, err)
    assert "Ask again" in json.loads(out)["error"]["message"]
    assert not err


def _has_socket(pid: int) -> bool:
    for fd in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):
            if str(fd.readlink()).startswith("socket:"):
                return True
    return False


def test_cli_broken_rows_are_named_by_row_and_column_and_the_rest_is_loaded(stage: Any) -> None:
    rows = GOLF + "\t\t\t\t\t\t\t\t\n" + "".join(
        f"X-{at}\tA car\t{price}\t916\tVolkswagen\tGolf\t{year}\t{mileage}\t\n"
        for at, (price, year, mileage) in enumerate(
            [("cheap", "2018", "1 km"), ("9000 EUR", "long ago", "5 leagues"), ("9000 EUR", "2018", "10 km")]
        )
    ) + GOLF  # fmt: skip
    vendor = stage.vendor("alder", stock=rows)
    report = vendor.json("vendor", "feed", "check", "alder.tsv")
    found = {(one["row"], one["column"]) for one in report["errors"]}
    assert found == {(4, "price"), (5, "year"), (5, "mileage"), (7, "id")}
    assert report["loaded"] == 2
    said = vendor("vendor", "feed", "load", "alder.tsv").out
    assert "2 of 5 rows are good" in said
    assert "row 5, mileage" in said
    assert vendor.json("vendor", "deals")["stock"] == 2


def test_cli_policy_or_mapping_that_cannot_be_used_exits_2_and_names_the_key(stage: Any) -> None:
    vendor = stage.vendor("alder", stock=GOLF)
    stage.write("floor.toml", 'name = "Alder"\ncurrency = "EUR"\nfloor = 0.9\n')
    assert "floor" in vendor.json("vendor", "policy", "set", "floor.toml", code=2)["error"]["message"]
    stage.write("mapping.toml", "colums = 1\n")
    words = ("vendor", "feed", "check", "alder.tsv", "--mapping", "mapping.toml")
    assert "colums" in vendor.json(*words, code=2)["error"]["message"]
    assert "Alder Cars" in vendor("vendor", "policy", "show").out, "the policy in use stays"


HOSTILE = {
    "color": "\x1b[2J\x1b]0;owned\x07red\u202egpj.exe",
    "\u202e\x1b[31mpwned": "x\u009b31m\u2066y\u2028z",
    "description": "two\nlines\r\n\u200bhidden\U000e0041",
}


def test_cli_shows_hostile_offers_harmless(stage: Any, want: str, until: Any) -> None:
    stage.relay("north")
    vendor = stage.vendor("mallory", "north", stock=GOLF)
    # A hostile vendor is not bound by our own intake.
    with sqlite3.connect(vendor.home / "agent.db") as db:
        (item,) = db.execute("SELECT item FROM stock").fetchone()
        db.execute("UPDATE stock SET item = ?", (json.dumps(json.loads(item) | HOSTILE),))
    db.close()
    vendor.serve("vendor")
    person = stage.person("person", "north")
    person.serve()
    stage.write("want.toml", want)
    person("demand", "cast", "want.toml", "--yes")
    offer = until(lambda: person.json("offer", "list", "d1")["offers"])[0]["name"]
    for words in (
        ("offer", "list", "d1"),
        ("offer", "view", offer),
        ("offer", "compare", "d1"),
        ("demand", "view", "d1"),
    ):
        for flag in ((), ("--json",)):
            said = person(*words, *flag)
            unseen = {char for char in said.out + said.err if _commands(char)}
            assert not unseen, (words, flag, unseen)
    assert "red" in person("offer", "compare", "d1").out
    attributes = person.json("offer", "view", offer)["attributes"]
    assert attributes["color"] == HOSTILE["color"], "a program still gets what was signed"


def _commands(char: str) -> bool:
    """Say whether a terminal might obey a character, or a person not see it."""
    return char != "\n" and (unicodedata.category(char)[0] == "C" or unicodedata.category(char) in ("Zl", "Zp"))


def test_cli_damaged_home_is_told_without_a_traceback(stage: Any) -> None:
    whole = stage.person("person", "north")
    whole("contact", "set", "name=A. Person")
    for name in ("keystore", "agent.db", "config.toml"):
        damaged = stage.copy(whole, f"damaged-{name}")
        (damaged.home / name).write_bytes(b"\x00damaged" * 600)
        assert damaged.json("contact", "view", code=1)["error"]["message"]
        assert not all(check["ok"] for check in damaged.json("doctor", code=1)["checks"])


def test_cli_asks_before_it_signs_and_for_a_passphrase_once(stage: Any, want: str) -> None:
    stage.relay("north")
    stage.write("pass", "correct horse\n").chmod(0o600)
    person = stage.person("person", "north")
    person("init", "--passphrase-file", "pass")
    stage.write("want.toml", want)
    words = ("demand", "cast", "want.toml", "--wait", "0.5")
    code, said = _type(person, words, [("Passphrase:", "correct horse\n"), ("[y/N]:", "n\n")])
    assert (code, "Nothing was signed" in said) == (1, True), said
    code, said = _type(person, words, [("Passphrase:", "correct horse\n"), ("[y/N]:", "y\n")])
    assert (code, "d2 is cast" in said) == (0, True), said
    assert said.count("Passphrase:") == 1
    assert "correct horse" not in said


def _type(person: Any, words: tuple[str, ...], answers: list[tuple[str, str]]) -> tuple[int, str]:
    """Run a verb on a terminal and answer its questions; returns its exit code and all that was shown."""
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "intentcast_agent", *words]
    process = subprocess.Popen(
        command, cwd=person.stage.folder, env=person.env, stdin=theirs, stdout=theirs, stderr=theirs, close_fds=True
    )
    os.close(theirs)
    said = ""
    with contextlib.suppress(OSError):  # the terminal is gone when the last one who has it ends
        while select.select([ours], [], [], 60)[0] and (more := os.read(ours, 4096)):
            said += more.decode("utf-8", "replace")
            if answers and said.rstrip().endswith(answers[0][0]):
                os.write(ours, answers.pop(0)[1].encode())
    os.close(ours)
    return process.wait(60), said
