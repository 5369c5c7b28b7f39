"""The demo's scene: relays and vendor bots as real processes on loopback, in homes that are thrown away.

The dealers' domains end in .example, which exist nowhere, so the relays' settings map them to a small web server here.
"""

import asyncio
import contextlib
import json
import os
import sys
import tomllib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any

from aiohttp import web
from intentcast_protocol.identity import did, public_key

from intentcast_agent.dialogue import new_seed
from intentcast_agent.home import Home, find_home, lock_home
from intentcast_agent.keystore import Keystore, create
from intentcast_agent.settings import Settings, write_settings
from intentcast_agent.store import open_store
from intentcast_agent.vendor import stockroom
from intentcast_agent.vendor.inventory.feed import read_feed

DEALERS = (
    "autohof-noord", "polderwagen", "greywater-motors", "vossenweg", "zilverberk", "lindenring", "kastanjehof",
)  # fmt: skip
FORGER = "kastanjehof"  # plays the one whose signatures are broken
PHONES = "phone-plans"
UNPROVEN = "lindenring"  # its web server names no key, so that no relay vouches for it
_READY_WITHIN = 30  # s for a process to say that it is ready
_STOP_WITHIN = 10


class SceneBroken(Exception):
    """A process of the demo did not start; its log says why."""


@dataclass(slots=True)
class Scene:
    """The folder of a demo and the processes in it."""

    folder: Path
    relays: tuple[str, ...] = ()
    documents: dict[str, Any] = field(default_factory=dict)  # by domain
    site: str = ""  # where they are served: host:port

    async def start_relay(self, name: str) -> tuple[str, asyncio.subprocess.Process]:
        """Start a relay on a free port and return its address."""
        domains = "".join(f'"{domain}" = "{self.site}"\n' for domain in map(_domain, (*DEALERS, PHONES)))
        settings = self.folder / f"{name}.toml"
        text = f'listen = "127.0.0.1:0"\ndatabase = "{name}.db"\n[domains]\n{domains}'
        settings.write_text(text, encoding="utf-8")
        command = ("-m", "intentcast_relay", "serve", "--config", str(settings), "--announce", "-")
        process, ready = await self._start(name, *command)
        return str(ready["url"]), process

    async def start_vendor(self, name: str) -> asyncio.subprocess.Process:
        """Set up a vendor's home from the demo's stock and policy, and start its bot."""
        home = self.home(name)
        with lock_home(home):
            keystore = self.settle(home)
            seeds = {secret: new_seed() for secret in ("vendor", "profile-seal")}
            for secret, seed in seeds.items():
                keystore.put(secret, seed)
            named = [] if name == UNPROVEN else [{"key": did(public_key(seeds["vendor"]))}]
            self.documents[_domain(name)] = {"keys": named}
            own = resources.files("intentcast_agent.demo")
            policy = (own / "policies" / f"{name}.toml").read_text(encoding="utf-8")
            home.config.with_name("policy.toml").write_text(policy, encoding="utf-8")
            ending = "jsonld" if name == PHONES else "tsv"
            with resources.as_file(own / "stock" / f"{name}.{ending}") as path:
                feed = await asyncio.to_thread(read_feed, path)
            store = await open_store(home.database, keystore.data_key)
            async with store.transaction() as tx:
                await stockroom.load(tx, name, feed.stock)
            await store.close()
        module = "intentcast_agent.demo.forger" if name == FORGER else "intentcast_agent"
        process, _ = await self._start(name, "-m", module, "vendor", "serve", "--announce")
        return process

    def settle(self, home: Home) -> Keystore:
        """Make keys and settings in a home whose lock the caller holds."""
        write_settings(home, Settings(self.relays))
        return create(home.keystore, None)

    def home(self, name: str) -> Home:
        """Return the home of one party."""
        return find_home({"INTENTCAST_HOME": str(self.folder / name)})

    async def _start(self, name: str, *command: str) -> tuple[asyncio.subprocess.Process, dict[str, object]]:
        log = self.folder / f"{name}.log"
        with log.open("wb") as stderr:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                *command,
                env={**os.environ, "INTENTCAST_HOME": str(self.folder / name)},
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=stderr,
            )
        assert process.stdout is not None
        try:
            async with asyncio.timeout(_READY_WITHIN):
                line = await process.stdout.readline()
            return process, json.loads(line)
        except (TimeoutError, ValueError) as error:
            await stop(process)
            tail = log.read_text(errors="replace").strip().splitlines()[-1:]
            raise SceneBroken(f"{name} did not start: {' '.join(tail) or 'no word from it'}") from error


def _domain(name: str) -> str:
    """Return the domain of a vendor's policy; it is read here, since relays are told of it before any vendor starts."""
    own = resources.files("intentcast_agent.demo")
    return str(tomllib.loads((own / "policies" / f"{name}.toml").read_text(encoding="utf-8"))["domain"])


@asynccontextmanager
async def _serve_documents(scene: Scene) -> AsyncIterator[None]:
    """Serve each domain's document on loopback, as the shops' own web servers would."""

    async def answer(request: web.Request) -> web.Response:
        document = scene.documents.get(request.host.partition(":")[0])
        return web.json_response(document) if document else web.Response(status=404)

    application = web.Application()
    application.router.add_get("/.well-known/intentcast.json", answer)
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        host, port = runner.addresses[0][:2]
        scene.site = f"{host}:{port}"
        yield
    finally:
        await runner.cleanup()


async def stop(process: asyncio.subprocess.Process) -> None:
    """Stop a process, gently first."""
    with contextlib.suppress(ProcessLookupError):
        process.terminate()
    try:
        async with asyncio.timeout(_STOP_WITHIN):
            await process.wait()
    except TimeoutError:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


@asynccontextmanager
async def set_scene(folder: Path) -> AsyncIterator[Scene]:
    """Start two relays, seven dealers and a phone company, and stop them all at the end."""
    scene = Scene(folder)
    running: list[asyncio.subprocess.Process] = []
    async with _serve_documents(scene):
        try:
            for url, process in await asyncio.gather(*(scene.start_relay(name) for name in ("relay-a", "relay-b"))):
                running.append(process)
                scene.relays = (*scene.relays, url)
            running += await asyncio.gather(*(scene.start_vendor(name) for name in (*DEALERS, PHONES)))
            yield scene
        finally:
            await asyncio.gather(*(stop(process) for process in running))
