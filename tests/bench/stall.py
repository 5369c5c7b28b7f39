"""Several vendor bots in one process, each with its own home, keys, stock, connections and API socket.

Run as ``python stall.py HOME …``; it says ``{"ready": true}`` once every bot listens, and runs until ended. What it
saves against a process a bot is the interpreter's memory and the turns of the processor, not work.
"""

import asyncio
import json
import logging
import signal
import sys
from contextlib import AsyncExitStack

from intentcast_agent.agent import run_agent
from intentcast_agent.api import serve_socket
from intentcast_agent.home import find_home, lock_home
from intentcast_agent.keystore import open_keystore
from intentcast_agent.service import Service


async def serve(homes: list[str]) -> None:
    """Do for each home what ``intentcast vendor serve`` does."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with AsyncExitStack() as stack:
        for folder in homes:
            home = find_home({"INTENTCAST_HOME": folder})
            stack.enter_context(lock_home(home))
            agent = await stack.enter_async_context(run_agent(home, open_keystore(home.keystore, None)))
            await agent.go_online()
            await stack.enter_async_context(serve_socket(home, Service(agent)))
            await agent.catch_up(5.0)
        print(json.dumps({"ready": True}), flush=True)
        await stop.wait()


if __name__ == "__main__":
    logging.basicConfig(stream=sys.stderr, level=logging.WARNING)
    asyncio.run(serve(sys.argv[1:]))
