"""One canonical form for every value: a strict subset of MessagePack.

nil, bool, int within ±(2^53−1), str, bin, array, and map with str keys in ascending order of their UTF-8 bytes, each in
its shortest form. Bytes are walked and bounded before a single object is made of them, so that hostile input costs no
more than its own length. PROTOCOL §3
"""

from collections.abc import Callable
from functools import cache
from typing import Any, Final

import msgpack

from intentcast_protocol.errors import InvalidMessage
from intentcast_protocol.limits import MAX_DEPTH, MAX_INT, MAX_NODES, MAX_RECORD

MALFORMED = "invalid.encoding.malformed"
NOT_CANONICAL = "invalid.encoding.not-canonical"
TOO_LARGE = "invalid.encoding.too-large"

# Up to this size values are made before they are judged: their worst heap is bounded by their size.
_SMALL: Final = 2_048  # bytes

# First byte -> (bytes of length or value that follow, smallest value that needs this form).
_UINT = {0xCC: (1, 128), 0xCD: (2, 1 << 8), 0xCE: (4, 1 << 16), 0xCF: (8, 1 << 32)}
_INT = {0xD0: (1, -33), 0xD1: (2, -129), 0xD2: (4, -32_769), 0xD3: (8, -(1 << 31) - 1)}
_STR = {0xD9: (1, 32), 0xDA: (2, 1 << 8), 0xDB: (4, 1 << 16)}
_BIN = {0xC4: (1, 0), 0xC5: (2, 1 << 8), 0xC6: (4, 1 << 16)}
_ARRAY = {0xDC: (2, 16), 0xDD: (4, 1 << 16)}
_MAP = {0xDE: (2, 16), 0xDF: (4, 1 << 16)}


def encode(value: Any) -> bytes:
    """Write a value in canonical form.

    Takes None, bool, int, str, bytes, list or tuple, and dict with str keys, nested at most MAX_DEPTH deep.
    Raises InvalidMessage for any other type, an int out of range or text that is not Unicode. PROTOCOL §3.1
    """
    try:
        return bytes(msgpack.packb(_ordered(value, 0), use_bin_type=True, strict_types=True))
    except UnicodeEncodeError as error:
        raise InvalidMessage(MALFORMED, "text is not valid Unicode") from error


def _ordered(value: Any, depth: int) -> Any:
    # Exact types: a subclass such as an enum's member is not what it prints as, and the packer would not take it.
    if value is None or type(value) in (bool, str, bytes):
        return value
    if isinstance(value, int):
        if not -MAX_INT <= value <= MAX_INT:
            raise InvalidMessage(MALFORMED, "integer out of range")
        return int(value)
    if depth >= MAX_DEPTH:
        raise InvalidMessage(TOO_LARGE, f"nested more than {MAX_DEPTH} deep")
    if isinstance(value, list | tuple):
        return [_ordered(item, depth + 1) for item in value]
    if isinstance(value, dict):
        if not all(type(key) is str for key in value):
            raise InvalidMessage(MALFORMED, "map key is not text")
        # Code-point order is UTF-8 byte order for every valid string.
        return {key: _ordered(value[key], depth + 1) for key in sorted(value)}
    raise InvalidMessage(MALFORMED, f"type {type(value).__name__} has no encoding")


def decode(data: bytes, *, max_size: int = MAX_RECORD, max_nodes: int = MAX_NODES) -> Any:
    """Read one canonical value that fills ``data`` exactly.

    Raises InvalidMessage: too large, deep or many-parted; not of the subset; not canonical. PROTOCOL §3.2
    """
    if len(data) > max_size:
        raise InvalidMessage(TOO_LARGE, f"{len(data)} bytes, at most {max_size}")
    if len(data) <= min(_SMALL, max_nodes):
        try:
            return _decode_small(data)
        except (ValueError, TypeError, RecursionError):
            pass  # the walk below says what is wrong
    scan(data, max_nodes)
    # What passes the scan and is UTF-8 has no other form: writing it again to compare would find nothing, a test shows,
    # and take more memory than the value.
    try:
        return msgpack.unpackb(data, raw=False, strict_map_key=True)
    except (ValueError, UnicodeError) as error:
        raise InvalidMessage(MALFORMED, "not MessagePack") from error


def _decode_small(data: bytes) -> Any:
    """Read a value by writing it again to compare, a fifth of the time of the walk; raises ValueError or TypeError."""
    read, write = _codec()
    value = read(data)
    if write(value) != data:
        raise ValueError("not canonical")
    _check_kinds([[value]])
    return value


@cache
def _codec() -> tuple[Callable[[bytes], Any], Callable[[Any], bytes]]:
    import msgspec  # noqa: PLC0415 (10 ms, which a verb that decodes nothing need not pay)

    # Sorts keys by their UTF-8 bytes, raises TypeError for one that is not text, and writes the shortest forms.
    return msgspec.msgpack.Decoder().decode, msgspec.msgpack.Encoder(order="deterministic").encode


def _check_kinds(level: list[Any]) -> None:
    """Refuse what comes through reading and writing unchanged but is not of the subset, one level of nesting a turn."""
    for _ in range(MAX_DEPTH + 1):
        deeper: list[Any] = []
        for container in level:
            for value in container.values() if type(container) is dict else container:
                kind = type(value)
                if kind is str or kind is bytes:
                    continue
                if kind is dict or kind is list:
                    deeper.append(value)
                elif kind is int:
                    if not -MAX_INT <= value <= MAX_INT:
                        raise ValueError("integer out of range")
                elif value is not None and kind is not bool:
                    raise ValueError("a type that has no place here")
        if not deeper:
            return
        level = deeper
    raise ValueError("nested too deep")


def scan(data: bytes, max_nodes: int = MAX_NODES) -> None:  # noqa: C901 (one loop, for speed)
    """Walk the bytes of one value and refuse what is not canonical, making no object of it.

    Checks types, shortest forms, key order, depth and node count; UTF-8 is left to the decoder. Raises InvalidMessage.
    PROTOCOL §3.2
    """
    end = len(data)
    at = nodes = 0
    # One entry per open container: values left (keys count), whether it is a map, and its previous key.
    left: list[int] = []
    maps: list[bool] = []
    keys: list[bytes | None] = []
    while True:
        nodes += 1
        if nodes > max_nodes:
            raise InvalidMessage(TOO_LARGE, f"more than {max_nodes} parts")
        if at >= end:
            raise InvalidMessage(MALFORMED, "ends too early")
        first = data[at]
        at, size, count = _head(data, first, at + 1)
        if size > end - at or count > end - at:
            raise InvalidMessage(MALFORMED, "ends too early")
        if maps and maps[-1] and left[-1] % 2 == 0:
            if first in _BIN or not (0xA0 <= first < 0xC0 or first in _STR):
                raise InvalidMessage(MALFORMED, "map key is not text")
            key, previous = data[at : at + size], keys[-1]
            if previous is not None and key <= previous:
                raise InvalidMessage(NOT_CANONICAL, "map keys repeat or are out of order")
            keys[-1] = key
        at += size
        if left:
            left[-1] -= 1
        # An empty map or array nests like any other, or what was read here could not be written again.
        if len(left) >= MAX_DEPTH and (count or first in (0x80, 0x90)):
            raise InvalidMessage(TOO_LARGE, f"nested more than {MAX_DEPTH} deep")
        if count:
            is_map = first in _MAP or 0x80 <= first < 0x90
            left.append(count * 2 if is_map else count)
            maps.append(is_map)
            keys.append(None)
        while left and not left[-1]:
            left.pop()
            maps.pop()
            keys.pop()
        if not left:
            break
    if at != end:
        raise InvalidMessage(MALFORMED, "bytes after the end")


def _head(data: bytes, first: int, at: int) -> tuple[int, int, int]:
    """Read one value's head: where its content begins, its length in bytes, and its count of elements."""
    if first < 0x80 or first >= 0xE0 or first in (0xC0, 0xC2, 0xC3):
        return at, 0, 0
    if first < 0xA0:
        return at, 0, first & 0x0F
    if first < 0xC0:
        return at, first & 0x1F, 0
    form = _STR.get(first) or _BIN.get(first) or _ARRAY.get(first) or _MAP.get(first)
    if form is None:
        return _integer(data, first, at), 0, 0
    width, least = form
    if at + width > len(data):
        raise InvalidMessage(MALFORMED, "ends too early")
    number = int.from_bytes(data[at : at + width], "big")
    if number < least:
        raise InvalidMessage(NOT_CANONICAL, "length not in its shortest form")
    return (at + width, number, 0) if first in _STR or first in _BIN else (at + width, 0, number)


def _integer(data: bytes, first: int, at: int) -> int:
    if first in _UINT:
        width, least = _UINT[first]
        value = int.from_bytes(data[at : at + width], "big")
        shortest = value >= least
    elif first in _INT:
        width, most = _INT[first]
        value = int.from_bytes(data[at : at + width], "big", signed=True)
        shortest = value <= most
    else:
        raise InvalidMessage(MALFORMED, "floats, extensions and timestamps have no place here")
    if at + width > len(data):
        raise InvalidMessage(MALFORMED, "ends too early")
    if not shortest:
        raise InvalidMessage(NOT_CANONICAL, "integer not in its shortest form")
    if abs(value) > MAX_INT:
        raise InvalidMessage(MALFORMED, "integer out of range")
    return at + width
