"""A bare WebSocket server to be measured against: what it is sent, it sends on with `await ws.send_bytes` in a loop.

Run as ``python bare.py``. It speaks just enough of the protocol for the same clients: `hello` and `subscribe` are
answered with fixed bytes, and a `publish` goes as it is to everyone who subscribed, then is acked. Nothing is checked,
stored or compressed.
"""

import asyncio
import json

from aiohttp import WSMsgType, web
from intentcast_protocol.frames import Ack, Challenge, Cursor, Live, encode_frame
from intentcast_protocol.record import VERSION

CHALLENGE = encode_frame(Challenge(VERSION, bytes(32), bytes(8)))
LIVE = encode_frame(Live(0, Cursor(bytes(8), 0)))
ACK = encode_frame(Ack(0, 0))
listeners: set[web.WebSocketResponse] = set()


def verb(frame: bytes) -> bytes:
    """Return the verb of a frame, which is a short text at its start."""
    return frame[2 : 2 + (frame[1] & 31)]


async def serve(request: web.Request) -> web.WebSocketResponse:
    """Serve one connection until it closes."""
    ws = web.WebSocketResponse(compress=False)
    await ws.prepare(request)
    async for message in ws:
        if message.type is not WSMsgType.BINARY:
            break
        match verb(message.data):
            case b"hello":
                await ws.send_bytes(CHALLENGE)
            case b"subscribe":
                listeners.add(ws)
                await ws.send_bytes(LIVE)
            case _:
                for one in list(listeners):
                    await one.send_bytes(message.data)
                await ws.send_bytes(ACK)
    listeners.discard(ws)
    return ws


async def main() -> None:
    """Listen on a free port, say which, and serve until ended."""
    application = web.Application()
    application.router.add_get("/", serve)
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    print(json.dumps({"url": f"ws://127.0.0.1:{runner.addresses[0][1]}"}), flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main())
