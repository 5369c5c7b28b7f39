"""A load generator: sends WebSocket frames made beforehand as fast as a window allows, and counts the acks.

Run as ``python load.py HOST PORT FILE WINDOW`` by `ingest`; FILE holds, for each connection, its frames. It says
``{"ready": true}`` once all connections are greeted, starts at a line on its standard input, and prints what came of
it. Everything dear (signing, encoding, masking) is done before, so that the cores are left to the relay.
"""

import json
import os
import resource
import selectors
import socket
import struct
import sys
import time
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgpack
from intentcast_protocol.frames import Hello, encode_frame
from intentcast_protocol.record import VERSION

READ = 262_144  # bytes a read
WRITE = 64  # frames a write
LONGEST = 120  # s before it gives up


def masked(payload: bytes) -> bytes:
    """Return a client's final binary message: masked, as a server must be sent it. RFC 6455 §5.3"""
    key, size = os.urandom(4), len(payload)
    if size < 126:
        head = bytes((0x82, 0x80 | size))
    elif size < 65_536:
        head = struct.pack("!BBH", 0x82, 0xFE, size)
    else:
        head = struct.pack("!BBQ", 0x82, 0xFF, size)
    pad = (key * (size // 4 + 1))[:size]
    mixed = int.from_bytes(payload, "big") ^ int.from_bytes(pad, "big")
    return head + key + mixed.to_bytes(size, "big")


@dataclass(slots=True)
class Connection:
    """One greeted connection: what is left to send, what is on its way, what came back."""

    socket: socket.socket
    frames: deque[bytes]
    flying: int = 0
    unsent: bytes = b""
    unread: bytearray = field(default_factory=bytearray)

    def fill(self, window: int) -> None:
        """Hand the socket as much as the window allows and it takes at once."""
        while True:
            if not self.unsent:
                count = min(WRITE, window - self.flying, len(self.frames))
                if count <= 0:
                    return
                self.unsent = b"".join(self.frames.popleft() for _ in range(count))
                self.flying += count
            try:
                sent = self.socket.send(self.unsent)
            except BlockingIOError:
                return
            self.unsent = self.unsent[sent:]

    def read(self) -> Iterator[list[Any]]:
        """Yield the frames that have arrived whole."""
        data = self.socket.recv(READ)
        if not data:
            raise ConnectionError("the relay closed the connection")
        self.unread += data
        at = 0
        while len(self.unread) - at >= 2:
            size, start = self.unread[at + 1], at + 2
            if size == 126:
                size, start = int.from_bytes(self.unread[at + 2 : at + 4], "big"), at + 4
            elif size == 127:
                size, start = int.from_bytes(self.unread[at + 2 : at + 10], "big"), at + 10
            if len(self.unread) < start + size:
                break
            if self.unread[at] == 0x82:
                yield msgpack.unpackb(self.unread[start : start + size])
            at = start + size
        del self.unread[:at]


def greet(host: str, port: int) -> socket.socket:
    """Open a WebSocket and say hello."""
    link = socket.create_connection((host, port), timeout=10)
    link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    link.sendall(
        f"GET / HTTP/1.1\r\nHost: {host}:{port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Key: aW50ZW50Y2FzdC1iZW5jaA==\r\nSec-WebSocket-Version: 13\r\n\r\n".encode()
    )
    answer = b""
    while not answer.endswith(b"\r\n\r\n"):
        answer += link.recv(1)
    link.sendall(masked(encode_frame(Hello(VERSION))))
    if b" 101 " not in answer.split(b"\r\n")[0] or not link.recv(READ).endswith(b""):
        raise ConnectionError("this is no relay")
    return link


def blast(connections: Sequence[Connection], window: int) -> dict[str, Any]:
    """Send everything, each connection with at most `window` on its way; return the time to the last ack."""
    chosen = selectors.DefaultSelector()
    for one in connections:
        one.socket.setblocking(False)
        chosen.register(one.socket, selectors.EVENT_READ | selectors.EVENT_WRITE, one)
    left = sum(len(one.frames) for one in connections)
    answers: Counter[str] = Counter()
    began = time.perf_counter()
    while left:
        if time.perf_counter() - began > LONGEST:
            raise TimeoutError(f"{left} publishes were never answered")
        for key, events in chosen.select(LONGEST):
            one: Connection = key.data
            if events & selectors.EVENT_READ:
                for verb, _, *rest in one.read():
                    answers["acked" if verb == "ack" else str(rest[0])] += 1
                    one.flying -= 1
                    left -= 1
            one.fill(window)
            # A socket is nearly always writable: ask for it only while something waits to be written.
            wanted = selectors.EVENT_READ | (selectors.EVENT_WRITE if one.unsent else 0)
            if key.events != wanted:
                chosen.modify(one.socket, wanted, one)
    seconds = time.perf_counter() - began
    used = resource.getrusage(resource.RUSAGE_SELF)
    return {"began": began, "seconds": seconds, "acked": answers.pop("acked", 0), "refused": answers,
            "cpu": used.ru_utime + used.ru_stime}  # fmt: skip


def main() -> None:
    """Greet, wait for the word, send, tell."""
    host, port, file, window = sys.argv[1:]
    lists = msgpack.unpackb(Path(file).read_bytes())
    connections = [Connection(greet(host, int(port)), deque(frames)) for frames in lists]
    print(json.dumps({"ready": True}), flush=True)
    sys.stdin.readline()
    before = resource.getrusage(resource.RUSAGE_SELF)
    told = blast(connections, int(window))
    told["cpu"] -= before.ru_utime + before.ru_stime
    print(json.dumps(told), flush=True)


if __name__ == "__main__":
    main()
