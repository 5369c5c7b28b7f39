"""Criteria by hand: printed as a file to edit, refused by the key that is wrong, kept encrypted, forgotten again."""

from pathlib import Path
from typing import Any

import pytest


@pytest.mark.parametrize("served", [False, True], ids=["verbs alone", "verbs over the socket"])
def test_cli_criteria_are_a_file_to_edit(stage: Any, served: bool) -> None:
    person = stage.person("person", "north")
    agent = person.serve() if served else None
    text = person("criteria", "view", "services/home").out
    assert "weight = 5" in text
    assert "# What counts for you" in text

    stage.write("typo.toml", text.replace("weight = 5", "wieght = 5"))
    said = person("criteria", "set", "services/home", "--file", "typo.toml", code=2)
    assert "wieght: there is no such key. Did you mean weight?" in said.err
    stage.write("huge.toml", text + "# x\n" * 100_000)
    assert person.json("criteria", "set", "--file", "huge.toml", code=2)["error"]["code"] == "usage"
    assert person("criteria", "view", "services/home").out == text

    # A number that could be found, if it were kept in the clear.
    mine = text.replace("weight = 5", "weight = 54321.123")
    kept = person("criteria", "set", "services/home", "--file", "-", "--json", stdin=mine).json
    assert (kept["own"], kept["kept"]) == (True, ["services/home"])
    assert person("criteria", "view", "services/home/plumbing").out == mine
    for path in filter(Path.is_file, person.home.rglob("*")):
        assert b"54321.123" not in path.read_bytes()
    assert person.json("criteria", "reset", "services/home")["text"] == text
    if agent:
        agent.stop()


def test_cli_compare_prints_one_table_and_refuses_two_forms_at_once(stage: Any) -> None:
    person = stage.person("person", "north")
    assert "not both" in person("offer", "compare", "d1", "--csv", "--json", code=2).out
    assert person.json("offer", "compare", "d1", code=3)["error"]["code"] == "refused.record.unknown"
