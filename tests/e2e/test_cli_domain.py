"""Domains and invitations from the command line, through real processes: who vouches, who is let in, who dials whom."""

import json
import os
import pty
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

STOCK = "AL-1\t2018 Volkswagen Golf Variant\t16000 EUR\t916\tVolkswagen\tGolf\t2018\t64000 km\tstation_wagon\n"
POLICY = """\
name = "{name}"
currency = "EUR"
floor = "90%"
validity = "30m"
"""
DOMAIN = "alder.example"


class Site(ThreadingHTTPServer):
    """A vendor's web server, which remembers who asked."""

    document: Any = None

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Page)
        self.agents: list[str] = []


class Page(BaseHTTPRequestHandler):
    """Serves one document at one path."""

    server: Site

    def do_GET(self) -> None:
        """Answer with the document, if there is one."""
        self.server.agents.append(self.headers["User-Agent"])
        found = self.path == "/.well-known/intentcast.json" and self.server.document
        body = json.dumps(self.server.document).encode() if found else b""
        self.send_response(200 if found else 404)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        """Say nothing."""


@pytest.fixture
def site() -> Iterator[Site]:
    """Give a running web server."""
    with Site() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def looking_relay(stage: Any, name: str, site: Site) -> Any:
    """Start a relay that finds the vendor's domain at the site."""
    listen = stage.url(name).removeprefix("ws://")
    settings = f'listen = "{listen}"\ndatabase = "{name}.db"\n[domains]\n"{DOMAIN}" = "127.0.0.1:{site.server_port}"\n'
    path = stage.write(f"{name}.toml", settings)
    command = [sys.executable, "-m", "intentcast_relay", "serve", "--config", str(path), "--announce", "-"]
    return stage.launch(name, command, stage.env)


def asked(party: Any, answer: str, *words: str) -> str:
    """Run a verb on a terminal, answer what it asks, and return all it said."""
    ours, theirs = pty.openpty()
    try:
        process = party.start(*words, stdin=theirs)
        os.write(ours, answer.encode())
        out, err = process.communicate(timeout=60)
    finally:
        os.close(ours)
        os.close(theirs)
    return str(out + err)


def watched(stage: Any, party: Any) -> Path:
    """Have each process of a party write down every address it connects to and every name it looks up."""
    folder, seen = stage.folder / "watch", stage.folder / "connections"
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(
        "import sys\n"
        "def note(event, args):\n"
        "    if event in ('socket.connect', 'socket.getaddrinfo'):\n"
        f"        with open({str(seen)!r}, 'a') as file:\n"
        "            file.write(repr(args[1] if event == 'socket.connect' else args[:2]) + '\\n')\n"
        "sys.addaudithook(note)\n"
    )
    party.env["PYTHONPATH"] = str(folder)
    return seen


def test_cli_proven_domain_needs_no_say_so_and_is_witnessed_in_the_agreement(
    stage: Any, site: Site, until: Any, want: str
) -> None:
    for name in ("north", "south"):
        looking_relay(stage, name, site)
    alder = stage.vendor("alder", "north", "south", stock=STOCK, policy=POLICY + f'domain = "{DOMAIN}"\n')
    printed = alder("vendor", "domain")
    assert f"https://{DOMAIN}/.well-known/intentcast.json" in printed.err
    site.document = json.loads(printed.out)
    assert alder.json("vendor", "domain")["document"] == site.document
    checked = alder.json("vendor", "domain", "--check")
    assert [one["seen"] for one in checked["relays"].values()] == [True, True]
    alder.serve("vendor")
    assert all(one["seen"] for one in alder.json("status")["domain"].values())
    assert "sees your domain" in alder("status").out

    person = stage.person("person", "north", "south")
    seen = watched(stage, person)
    # Nobody finds 28 bits in the time of this test: whoever offers has come in by its domain.
    stage.write("want.toml", want.replace('"stamp:4"', '"domain", "stamp:28"'))
    person("demand", "cast", "want.toml", "--yes")
    until(lambda: person.json("offer", "list", "d1")["total"] == 1)
    assert "seen by 2 of your relays" in person("offer", "list", "d1").out
    assert "domain seen by 2 of your relays" in person("offer", "view", "o1").out
    agreed = person.json("deal", "accept", "o1")
    assert (agreed["state"], agreed["witnesses"]) == ("agreed", 2)
    person("agreement", "export", "a1")
    said = person("agreement", "verify", "a1.agreement")
    for name in ("north", "south"):
        assert f"witnessed by {stage.url(name)}" in said.out
    assert {one["url"] for one in person.json("agreement", "view", "a1")["witnesses"]} == {
        stage.url("north"), stage.url("south")
    }  # fmt: skip

    # The relays looked at the domain; no process of the person's ever turned to anything but the relays.
    assert set(site.agents) == {"intentcast-relay"}
    ports = {stage.url(name).rpartition(":")[2] for name in ("north", "south")}
    connections = seen.read_text().splitlines()
    assert any(port in line for port in ports for line in connections), "the watch can see"
    for line in connections:
        assert any(line in (f"('127.0.0.1', {port})", f"('127.0.0.1', '{port}')") for port in ports) or (
            line.endswith(".sock'") and str(person.home) in line
        ), line


@pytest.mark.reliability
def test_cli_unproven_domain_is_shown_and_wants_a_say_so(stage: Any, site: Site, until: Any, want: str) -> None:
    looking_relay(stage, "north", site)
    alder = stage.vendor("alder", "north", stock=STOCK, policy=POLICY + f'domain = "{DOMAIN}"\n')
    refused = alder.json("vendor", "domain", "--check", code=1)
    assert [one["reason"] for one in refused["relays"].values()] == ["it answered with status 404"]
    assert "404" in alder("status").out
    assert [one["found"] for one in alder.json("doctor", code=1)["checks"] if "your domain" in one["check"]] == [
        "not seen: it answered with status 404"
    ]
    alder.serve("vendor")
    person = stage.person("person", "north")
    stage.write("want.toml", want.replace('"stamp:4"', '"domain", "stamp:4"'))
    person("demand", "cast", "want.toml", "--yes")
    until(lambda: person.json("offer", "list", "d1")["total"] == 1)
    assert "not witnessed" in person("offer", "list", "d1").out
    error = person.json("deal", "accept", "o1", code=1)["error"]
    assert "domain not witnessed" in error["message"]
    assert "--yes" in error["message"]
    said = asked(person, "n\n", "deal", "accept", "o1")
    assert "alder.example: domain not witnessed). Nobody but the vendor says who they are." in said
    assert "Nothing was signed" in said
    assert "agreed" in asked(person, "y\n", "deal", "accept", "o1")
    agreed = person.json("offer", "view", "o1")
    assert agreed["state"] == "agreed"
    assert [one["reason"] for one in agreed["accepted"]] == ["domain not witnessed, and you said so"]
    person("agreement", "export", "a1")
    assert "not witnessed" in person("agreement", "verify", "a1.agreement").out


@pytest.mark.reliability
def test_cli_invitation_travels_as_text_and_opens_a_closed_demand(stage: Any, until: Any, want: str) -> None:
    stage.relay("north")
    alder, birch = [stage.vendor(name, "north", stock=STOCK, policy=POLICY) for name in ("alder", "birch")]
    keys = {party.name: party.json("vendor", "init")["key"] for party in (alder, birch)}
    person = stage.person("person", "north")
    draft = person("demand", "draft", "car under 18500 EUR", "--admit", "invite").out
    assert 'admit = ["invite"]' in draft
    stage.write("want.toml", want.replace('"stamp:4"', '"invite"'))
    person("demand", "cast", "want.toml", "--yes")
    bots = [alder.serve("vendor"), birch.serve("vendor")]
    until(lambda: all(party.json("vendor", "deals")["deals"] for party in (alder, birch)))
    assert person.json("offer", "list", "d1")["total"] == 0

    made = person("demand", "invite", "d1", keys["alder"], "--uses", "2", "--until", "1h", "--onward")
    assert made.out.startswith("intentcast-invite:")
    assert keys["alder"] in made.err
    assert person.json("demand", "view", "d1")["invitations"][0]["text"] == made.out.strip()
    assert f"invited: {keys['alder']}" in person("demand", "view", "d1").out
    assert "not for this vendor" in birch("vendor", "invitation", "add", made.out.strip(), code=1).err
    stage.write("invitation.txt", made.out)
    alder("vendor", "invitation", "add", "invitation.txt")
    until(lambda: person.json("offer", "list", "d1")["total"] == 1)
    passed = alder("vendor", "invitation", "pass-on", "i1", keys["birch"])
    bots[1].stop()  # what is added while the bot rests is shown when it is back
    birch("vendor", "invitation", "add", "-", stdin=passed.out)
    birch.serve("vendor")
    until(lambda: person.json("offer", "list", "d1")["total"] == 2)
    listed = alder.json("vendor", "invitation", "list")["invitations"]
    assert [(one["role"], one["uses"]) for one in listed] == [("passed", 1), ("held", 2)]
    assert keys["birch"] in alder("vendor", "invitation", "list").out

    for words in (
        ("vendor", "invitation", "add", "intentcast-invite:AAAA"),
        ("vendor", "invitation", "add", "nonsense"),
        ("vendor", "invitation", "pass-on", "i1", "did:key:z6Mk"),
    ):
        assert alder.json(*words, code=2)["error"]["code"].startswith("invalid.")
    assert "--until" in person("demand", "invite", "d1", keys["alder"], "--until", "soon", code=2).err
