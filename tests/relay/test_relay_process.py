"""The relay as a process: its command, its signals, and what survives a kill."""

import asyncio
import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from intentcast_protocol.frames import Ack, Closed, Cursor, Publish, read_answer
from intentcast_relay.config import template


@pytest.fixture(autouse=True)
def real_time(build: Any) -> None:
    """A process reads the real clock, so the builder does too."""
    build.now = int(time.time())


async def test_sigterm_flushes_says_where_to_resume_and_exits_cleanly(spawn: Any, connect: Any, build: Any) -> None:
    relay = await spawn()
    client = await connect(relay.url)
    req, _, _ = await client.subscribe()
    demand = build.demand(build.seed())
    await client.send(Publish(50, demand.record))
    answers = [await client.receive(), await client.receive()]
    assert Ack(50, 1) in answers
    relay.process.send_signal(signal.SIGTERM)
    assert await client.receive() == Closed(req, "refused.relay.stopping", Cursor(client.epoch, 1))
    assert await asyncio.wait_for(relay.process.wait(), 10) == 0
    err = (await relay.process.communicate())[1].decode()
    assert "stopped" in err
    assert "Traceback" not in err


async def test_everything_acked_is_there_after_kill_9(spawn: Any, connect: Any, build: Any) -> None:
    acked: dict[int, bytes] = {}
    for _ in range(3):
        relay = await spawn()
        client = await connect(relay.url)
        demands = [build.demand(build.seed()) for _ in range(300)]
        for req, demand in enumerate(demands):
            await client.send(Publish(req, demand.record))
        for _ in range(120):
            answer = await client.receive()
            assert isinstance(answer, Ack)
            assert answer.value not in acked
            acked[answer.value or 0] = demands[answer.req].record.payload
        relay.process.kill()
        await relay.process.wait()
        while (message := await client.message()).type.name == "BINARY":
            # What was still on its way when the relay died was promised as well.
            late = read_answer(message.data)
            assert isinstance(late, Ack)
            acked[late.value or 0] = demands[late.req].record.payload
    relay = await spawn()
    client = await connect(relay.url)
    _, stored, _ = await client.subscribe()
    found = {seq: record.payload for seq, record in stored}
    assert {seq: found.get(seq) for seq in acked} == acked


async def test_a_cursor_outlives_a_kill(spawn: Any, connect: Any, build: Any) -> None:
    relay = await spawn()
    client = await connect(relay.url)
    for _ in range(3):
        await client.stored(build.demand(build.seed()))
    _, _, cursor = await client.subscribe()
    relay.process.kill()
    await relay.process.wait()
    relay = await spawn()
    client = await connect(relay.url)
    seq = await client.stored(build.demand(build.seed()))
    _, stored, _ = await client.subscribe(cursor=cursor)
    assert [place for place, _ in stored] == [seq]
    assert seq == cursor.seq + 1


async def test_two_processes_never_share_a_database(spawn: Any, run: Any) -> None:
    await spawn()
    code, _, err = await run("serve", "--listen", "127.0.0.1:0", "--database", "relay.db")
    assert (code, err.count("\n")) == (1, 1)
    assert "in use by another relay" in err


async def test_init_writes_what_serve_reads(run: Any, tmp_path: Path) -> None:
    folder = tmp_path / "new"
    code, out, _ = await run("init", "--dir", str(folder))
    assert code == 0
    assert "intentcast-relay serve" in out
    assert (folder / "relay.toml").read_text() == template()
    assert (folder / "relay.db").exists()
    (folder / "relay.toml").write_text('name = "Mine"\nlisten = "127.0.0.1:0"\n')
    code, out, _ = await run("init", "--dir", str(folder))
    assert code == 0
    assert "stays as it is" in out


async def test_info_prints_the_document_of_a_running_relay(spawn: Any, run: Any) -> None:
    relay = await spawn()
    assert relay.announced == {"url": relay.url, "pid": relay.process.pid}
    code, out, _ = await run("info", relay.url, "--json")
    assert code == 0
    assert json.loads(out)["url"] == relay.url
    code, out, _ = await run("info", relay.url.replace("ws://", "http://"))
    assert code == 0
    assert relay.url in out


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (("info", "ws://127.0.0.1:1"), 5, "cannot be reached"),
        (("info", "not a url"), 2, "url is"),
        (("info", "ws://a", "--config", "b"), 2, "not both"),
        (("serve", "--config", "none.toml"), 3, "does not exist"),
        (("serve", "--listen", "nowhere"), 1, "listen is"),
        (("serve", "--listen", "192.0.2.1:0", "--database", "x.db"), 1, "not possible to listen"),
        (("serve", "--database", "."), 1, "."),
        (("fly",), 2, "No such command"),
    ],
)
async def test_what_goes_wrong_is_told_by_code_and_sentence(
    run: Any, arguments: tuple[str, ...], code: int, says: str
) -> None:
    got, _, err = await run(*arguments)
    assert got == code
    assert says in err
    assert "Traceback" not in err


async def test_a_wrong_config_is_told_by_key(run: Any, tmp_path: Path) -> None:
    (tmp_path / "relay.toml").write_text("lisen = 1")
    code, _, err = await run("serve")
    assert code == 1
    assert "lisen is not a setting" in err


async def test_announce_may_go_to_a_file_and_ctrl_c_is_a_clean_end(spawn: Any) -> None:
    relay = await spawn("ready.json")
    assert relay.announced["pid"] == relay.process.pid
    relay.process.send_signal(signal.SIGINT)
    assert await asyncio.wait_for(relay.process.wait(), 10) == 0


def test_help_wakes_no_heavy_module(environ: dict[str, str]) -> None:
    code = (
        "import sys, intentcast_relay.cli as cli\n"
        "try: cli.main(['--help'])\n"
        "except SystemExit: pass\n"
        "print([name for name in ('aiohttp', 'aiosqlite', 'asyncio', 'nacl', 'msgpack') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], env=environ, capture_output=True, text=True, check=True)
    assert done.stdout.rstrip().endswith("[]")
