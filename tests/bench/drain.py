"""A draining client: many listeners in one process that count what comes and look only at how it ends.

Run as ``python drain.py HOST PORT FILE``. FILE holds the frame each listener subscribes with, and frames to publish,
each with the bytes its record ends with; they go out on a connection of their own. It says ``{"ready": true}`` once
every listener is live. To each line ``{"publish": n}`` it publishes the next n frames, each once every listener has the
one before, and answers with the seconds each took, when the last was had by all, and the bytes read so far. Between
lines it goes on reading. What is sent to one listener comes in order, so who has a record has all before it.
"""

import json
import select
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgpack
from load import greet

LONGEST = 120  # s before it gives up
BUFFER = 1_048_576  # bytes a read
END = 16  # bytes that tell the end of one record from that of any other
PING, PONG = b"\x89\x00", b"\x8a\x80\x00\x00\x00\x00"  # RFC 6455 §5.5; a pong nobody asked for does no harm
TAIL = END + len(PING)


class Drain:
    """Greeted listeners, all read through one buffer."""

    def __init__(self, host: str, port: int, subscribes: Sequence[bytes]) -> None:
        self._poll = select.epoll()
        self._sockets = {}
        for frame in subscribes:
            link = greet(host, port)
            link.sendall(frame)
            self._sockets[link.fileno()] = link
            self._poll.register(link.fileno(), select.EPOLLIN)
        self._tails = dict.fromkeys(self._sockets, b"")
        self._view = memoryview(bytearray(BUFFER))
        self._poll.register(sys.stdin.fileno(), select.EPOLLIN)
        self.bytes = 0

    def live(self) -> None:
        """Wait until each listener had its `live`, whose cursor ends with the last place; nothing is stored yet."""
        silent = set(self._sockets)
        while silent:
            silent.difference_update(self._read(LONGEST))

    def rest(self) -> bool:
        """Read what comes until there is a line to obey; False once there will be none."""
        while True:
            self._read(None)
            if self._asked:
                return True

    def until(self, end: bytes) -> None:
        """Read until every listener has what ends with `end`."""
        lacking, deadline = set(self._sockets), time.perf_counter() + LONGEST
        while lacking:
            lacking.difference_update(fd for fd in self._read(1.0) if end in self._tails[fd])
            if time.perf_counter() > deadline:
                raise TimeoutError(f"{len(lacking)} listeners were never sent a record")

    def _read(self, timeout: float | None) -> list[int]:
        """Read once from every socket that has something; return them."""
        self._asked = False
        heard = []
        for fd, _ in self._poll.poll(timeout):
            if fd == sys.stdin.fileno():
                self._asked = True
                continue
            size = self._sockets[fd].recv_into(self._view)
            if not size:
                raise ConnectionError("a listener was cut off")
            last = bytes(self._view[max(0, size - TAIL) : size])
            self._tails[fd] = last if size >= TAIL else (self._tails[fd] + last)[-TAIL:]
            if last.endswith(PING):
                self._sockets[fd].sendall(PONG)
            self.bytes += size
            heard.append(fd)
        return heard


def main() -> None:
    """Subscribe, then publish whenever told to."""
    host, port, file = sys.argv[1:]
    told: dict[str, Any] = msgpack.unpackb(Path(file).read_bytes())
    drain = Drain(host, int(port), told["subscribe"])
    drain.live()
    publisher = greet(host, int(port))
    left = iter(told["publish"])
    print(json.dumps({"ready": True}), flush=True)
    while drain.rest() and (line := sys.stdin.readline()):
        seconds = []
        for _ in range(json.loads(line)["publish"]):
            frame, end = next(left)
            began = time.perf_counter()
            publisher.sendall(frame)
            drain.until(end)
            ended = time.perf_counter()
            seconds.append(ended - began)
            publisher.recv(BUFFER)
        print(json.dumps({"seconds": seconds, "ended": ended, "bytes": drain.bytes}), flush=True)


if __name__ == "__main__":
    main()
