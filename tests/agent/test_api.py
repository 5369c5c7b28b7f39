"""The agent's unix socket: bounded, private, and never answered with silence."""

import asyncio
import json
import socket
import stat
import threading
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from intentcast_agent.agent import run_agent
from intentcast_agent.api import Failed, NoAgent, ask, serve_socket
from intentcast_agent.home import Home, find_home, lock_home
from intentcast_agent.keystore import create
from intentcast_agent.passphrase import INTERACTIVE
from intentcast_agent.person.draft import TEMPLATE
from intentcast_agent.service import Service
from intentcast_agent.settings import Settings, write_settings
from intentcast_protocol.disclosure import disclosure
from intentcast_protocol.encoding import decode, encode
from intentcast_protocol.testing import Pair


@pytest.fixture
async def home(tmp_path: Path) -> AsyncIterator[Home]:
    """A home whose agent is at work, with no relay it could reach."""
    place = find_home({"INTENTCAST_HOME": str(tmp_path / "home")})
    with lock_home(place):
        keystore = create(place.keystore, None, cost=INTERACTIVE)
        write_settings(place, Settings(("ws://127.0.0.1:1",)))
        async with run_agent(place, keystore) as agent, serve_socket(place, Service(agent)):
            yield place


async def in_thread(function: Any, *args: Any, **kwargs: Any) -> Any:
    """Run blocking client code beside the loop that serves it."""
    return await asyncio.to_thread(function, *args, **kwargs)


def say_raw(home: Home, data: bytes) -> dict[str, Any]:
    """Send bytes as they are and return the last line of the answer."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(20)
        connection.connect(str(home.socket))
        sender = threading.Thread(target=lambda: connection.sendall(data))
        sender.start()
        lines = connection.makefile("rb").read().splitlines()
        sender.join()
    answer: dict[str, Any] = json.loads(lines[-1])
    return answer


@pytest.mark.parametrize(
    "line",
    [b"\n", b"nonsense\n", b"[]\n", b'{"args": {}}\n', b'{"verb": 1}\n', b'{"verb": "status", "args": []}\n',
     b"[" * 100_000 + b"\n", b'{"verb": "__init__"}\n', b'{"verb": "status", "args": {"x": 1}}\n'],
)  # fmt: skip
async def test_ill_formed_request_is_answered_with_a_coded_error(home: Home, line: bytes) -> None:
    answer = await in_thread(say_raw, home, line)
    assert answer["error"]["code"] == "invalid.frame.malformed"


async def test_socket_is_for_this_account_alone(home: Home) -> None:
    assert stat.S_IMODE(home.socket.stat().st_mode) == 0o600
    assert stat.S_IMODE(home.socket.parent.stat().st_mode) == 0o700


async def test_verbs_and_their_errors_come_over_the_socket(home: Home) -> None:
    assert (await in_thread(ask, home, "demand_list", {}))["total"] == 0
    with pytest.raises(Failed) as missing:
        await in_thread(ask, home, "offer_view", {"offer": "o7"})
    assert missing.value.exit_code == 3
    with pytest.raises(Failed) as wrong:
        await in_thread(ask, home, "demand_preview", {"text": "name = 1"})
    assert wrong.value.exit_code == 2


async def test_previewed_bytes_are_the_bytes_signed_and_told(home: Home) -> None:
    """What everyone would read is what is signed; what the winner would be told is what is sealed to them."""
    await in_thread(ask, home, "contact_set", {"contact": {"name": "Robin Example", "email": "r@mail.example"}})
    made = await in_thread(ask, home, "demand_preview", {"text": TEMPLATE})
    cast = await in_thread(ask, home, "demand_cast", {"draft": made["draft"], "within": 0.1})
    assert cast["id"] == made["demand"]
    assert "17900" not in made["public"]["bytes"] + json.dumps(made["public"]["view"])
    pair = Pair()
    for actor, kind in (("vendor", "offer"), ("person", "accept"), ("vendor", "confirm")):
        pair.send(actor, kind)  # type: ignore[arg-type]
    told = disclosure(pair.sides["person"], {"name": "Robin Example", "email": "r@mail.example"})
    assert made["winner"]["bytes"] == encode(told).hex()
    assert decode(bytes.fromhex(made["winner"]["bytes"])) == told


async def test_nobody_answers_where_no_agent_runs(tmp_path: Path) -> None:
    with pytest.raises(NoAgent):
        ask(find_home({"INTENTCAST_HOME": str(tmp_path / "nobody")}), "status", {})
