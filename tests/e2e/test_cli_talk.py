"""Two homes and a relay: a question answered by hand, an agreement amended, delivered, received, disputed."""

from typing import Any

OWNERS = "itemOffered.numberOfPreviousOwners"
STOCK = "AL-1\t2018 Volkswagen Golf Variant\t17000 EUR\t916\tVolkswagen\tGolf\t2018\t64000 km\tstation_wagon\n"


def test_cli_questions_amendments_and_what_follows_a_deal(stage: Any, until: Any, want: str) -> None:
    relay = stage.relay("north")
    alder = stage.vendor("alder", "north", stock=STOCK)
    bot = alder.serve("vendor")
    person = stage.person("person", "north")
    agent = person.serve()
    stage.write("want.toml", want)
    person.json("demand", "cast", person.json("demand", "preview", "want.toml")["draft"])
    until(lambda: person.json("offer", "list", "d1")["total"] == 1)
    assert "dear is not" in person("deal", "counter", "o1", "--total", "dear", code=2).err
    assert "deal counter o1" in person("offer", "view", "o1").out
    asked = person.json("deal", "ask", "o1", "How many owners has it had?", "--about", OWNERS)
    assert asked["state"] == "offered"
    (question,) = until(lambda: alder.json("vendor", "question", "list")["questions"])
    assert (question["session"], question["path"]) == ("o1", OWNERS)
    assert "owners" in alder("vendor", "question", "list").out
    alder.json("vendor", "answer", "o1", "One.", "--fact", f"{OWNERS}=1 C62")
    offer = until(
        lambda: next((one for one in [person.json("offer", "view", "o1")] if len(one["messages"]) >= 4), None)
    )
    assert offer["attributes"]["numberOfPreviousOwners"].startswith("1")
    assert offer["said"] == []

    assert person.json("deal", "accept", "o1", "--yes", "--wait", "30")["state"] == "agreed"
    before = person.json("agreement", "list")["agreements"][0]
    assert "dear is not an amount" in alder("vendor", "amend", "o1", "--total", "dear", code=2).err
    alder.json("vendor", "amend", "o1", "--total", "15000.00")
    until(lambda: person.json("offer", "view", "o1")["state"] == "amending")
    assert person.json("agreement", "list")["agreements"] == [before]
    assert "stands until you accept" in person("offer", "view", "o1").out
    assert person.json("deal", "accept", "o1", "--yes", "--wait", "30")["state"] == "agreed"
    (after,) = person.json("agreement", "list")["agreements"]
    assert after["id"] != before["id"]
    alder.json("vendor", "deliver", "o1", "--text", "It stands before your door.")
    until(lambda: any(one["type"] == "fulfil" for one in person.json("offer", "view", "o1")["messages"]))
    assert person.json("deal", "received", "o1")["state"] == "fulfilled"
    assert person.json("deal", "dispute", "o1", "It is another car.")["state"] == "disputed"
    assert "asked nothing" in person("deal", "answer", "o1", "Yes", code=1).err
    for process in (relay, bot, agent):
        process.stop()
