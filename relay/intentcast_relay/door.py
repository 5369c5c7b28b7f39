"""What stands between the port and the web server: how many may come in, and how long one may take to say something.

The web server waits for a request's headers, and for the rest of a WebSocket message, as long as a byte comes now and
then; here both have a deadline. Rules and counting are pure; only `Guest` touches a socket.
"""

import asyncio
import contextlib
import socket
from collections.abc import Callable
from typing import Final

from intentcast_relay.address import HERE, Visitors
from intentcast_relay.config import Limits

SPARE: Final = 64  # connections beyond those for WebSockets, so that /healthz answers on a full relay
_UNSENT: Final = 65_536  # bytes that the kernel keeps for a peer that does not read
_LONGEST_HEAD: Final = 14  # bytes before a frame's payload
_FULL: Final = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


class Messages:
    """Follows what a WebSocket client sends, far enough to know whether a message is unfinished. RFC 6455 §5.2"""

    __slots__ = ("_fragments", "_head", "_left")

    def __init__(self) -> None:
        self._head = b""
        self._left = 0  # bytes of payload that the present frame lacks
        self._fragments = False  # another frame of the same message has to come

    @property
    def unfinished(self) -> bool:
        """Whether a frame or message was begun and has not ended."""
        return bool(self._left or self._head or self._fragments)

    def feed(self, data: bytes) -> bool:
        """Take the next bytes; returns whether they begin a message that they do not finish."""
        at, fresh = 0, not self.unfinished
        while at < len(data):
            if not self._left:
                head = self._head + data[at : at + _LONGEST_HEAD]
                size = _head_size(head)
                if len(head) < size:
                    self._head = head
                    break
                at += size - len(self._head)
                self._head = b""
                if not head[0] & 8:  # control frames may stand between the frames of a message
                    self._fragments = not head[0] & 128
                self._left = _payload_size(head)
            step = min(self._left, len(data) - at)
            at += step
            self._left -= step
            fresh = fresh or not self.unfinished
        return fresh and self.unfinished


def _head_size(head: bytes) -> int:
    if len(head) < 2:
        return 2
    length = head[1] & 127
    return 2 + (8 if length == 127 else 2 if length == 126 else 0) + (4 if head[1] & 128 else 0)


def _payload_size(head: bytes) -> int:
    length = head[1] & 127
    if length < 126:
        return length
    return int.from_bytes(head[2 : 4 if length == 126 else 10], "big")


class Door:
    """Makes the protocol of each connection; `serve` makes the web server's. `limits` may be replaced at any time."""

    def __init__(self, serve: Callable[[], asyncio.BaseProtocol], visitors: Visitors, limits: Limits) -> None:
        self.limits = limits
        self.serve = serve
        self._visitors = visitors
        self.turned_away = 0  # connections, since the start
        self._inside = 0
        self._of: dict[str, int] = {}  # those that come without a proxy, by address

    def __call__(self) -> "Guest":
        """Return the protocol of a new connection."""
        return Guest(self)

    def enter(self, peer: str | None) -> str | None:
        """Let one more connection in; returns whose it is, or None when there are enough."""
        name = self._visitors.direct(peer)
        if self._inside >= self.limits.connections + SPARE:
            return None
        if name != HERE:
            if self._of.get(name, 0) >= self.limits.address_connections:
                return None
            self._of[name] = self._of.get(name, 0) + 1
        self._inside += 1
        return name

    def leave(self, name: str) -> None:
        """Free the place of a connection that was let in."""
        self._inside -= 1
        if name != HERE:
            self._of[name] -= 1
            if not self._of[name]:
                del self._of[name]


class Guest(asyncio.Protocol):
    """One connection: hands everything on to the web server and keeps the deadlines."""

    __slots__ = ("_door", "_messages", "_name", "_server", "_stalled", "_timer", "_transport")

    def __init__(self, door: Door) -> None:
        self._door = door
        self._name: str | None = None
        self._server: asyncio.Protocol | None = None
        self._transport: asyncio.Transport | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._messages: Messages | None = None
        self._stalled: Callable[[], None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Let the connection in, or turn it away."""
        assert isinstance(transport, asyncio.Transport)
        peer = transport.get_extra_info("peername")
        self._name = self._door.enter(peer[0] if peer else None)
        if self._name is None:
            self._door.turned_away += 1
            transport.write(_FULL)
            transport.close()
            return
        self._transport = transport
        # What one write does not hand to the kernel is all that is kept here, and the kernel keeps little.
        transport.set_write_buffer_limits(high=0)
        with contextlib.suppress(AttributeError, OSError):
            transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, _UNSENT)
        server = self._door.serve()
        assert isinstance(server, asyncio.Protocol)
        self._server = server
        server.connection_made(transport)
        self.hurry()

    def hurry(self) -> None:
        """Expect a whole request, and whatever is still to be sent taken, before the deadline."""
        self._messages = None
        self._arm(self._door.limits.auth_deadline, self._abort)

    def ease(self) -> None:
        """A request is here: no deadline until it is answered."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def watch(self, stalled: Callable[[], None]) -> None:
        """From here on it is a WebSocket: `stalled` is called when a message was begun and not finished in time."""
        self._messages, self._stalled = Messages(), stalled

    def data_received(self, data: bytes) -> None:
        """Hand bytes on, and notice whether they leave something unfinished."""
        if self._server is None:
            return
        messages = self._messages
        if messages is not None and self._stalled is not None:
            if messages.feed(data):
                self._arm(self._door.limits.message_deadline, self._stalled)
            elif self._timer is not None and not messages.unfinished:
                self.ease()
        self._server.data_received(data)

    def eof_received(self) -> bool | None:
        """Hand on that nothing more will come."""
        return self._server.eof_received() if self._server is not None else None

    def connection_lost(self, error: Exception | None) -> None:
        """Free the connection's place."""
        self.ease()
        self._stalled = None
        if self._name is not None:
            self._door.leave(self._name)
            self._name = None
        if self._server is not None:
            self._server.connection_lost(error)

    def pause_writing(self) -> None:
        """Hand on that the peer does not read."""
        if self._server is not None:
            self._server.pause_writing()

    def resume_writing(self) -> None:
        """Hand on that the peer reads again."""
        if self._server is not None:
            self._server.resume_writing()

    def _arm(self, seconds: float, then: Callable[[], None]) -> None:
        self.ease()
        if self._transport is not None and not self._transport.is_closing():
            self._timer = asyncio.get_running_loop().call_later(seconds, then)

    def _abort(self) -> None:
        if self._transport is not None:
            self._transport.abort()
