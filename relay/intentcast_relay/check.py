"""A process that checks records for the relay: batches in on standard input, verdicts out on standard output.

A frame is a 4-byte big-endian length and that many bytes of `marshal`, which only ever passes between a relay and the
processes it started. It ends when its input does, so none outlives its relay, however that ended.
"""

import gc
import marshal
import signal
import sys
from collections.abc import Sequence
from typing import Any, BinaryIO, Final

from intentcast_protocol.errors import IntentcastError, InvalidMessage, Refused
from intentcast_protocol.record import Record

from intentcast_relay.posting import Posting, examine

LENGTH: Final = 4  # bytes
Verdict = Posting | IntentcastError
_TAIL: Final = -2  # a posting's payload and signature, which the relay has already


def check(records: Sequence[Record], now: int) -> list[Verdict]:
    """Examine some records; each becomes a posting or an error of its own."""
    verdicts: list[Verdict] = []
    for record in records:
        try:
            verdicts.append(examine(record, now))
        except IntentcastError as error:
            verdicts.append(error)
    return verdicts


def question(records: Sequence[Record], now: int) -> bytes:
    """Write the frame that asks for some records to be checked."""
    return _frame((now, [(record.payload, record.signature) for record in records]))


def verdicts(answer: bytes, records: Sequence[Record]) -> list[Verdict]:
    """Read the answer to a question about these records; a frame's bytes without its length."""
    return [_verdict(told, record) for told, record in zip(marshal.loads(answer), records, strict=True)]  # noqa: S302


def _verdict(told: tuple[Any, ...], record: Record) -> Verdict:
    if len(told) == 3:
        retriable, code, detail = told
        return Refused(code, detail) if retriable else InvalidMessage(code, detail)
    return Posting._make((*told, record.payload, record.signature))


def _told(verdict: Verdict) -> tuple[Any, ...]:
    if isinstance(verdict, Posting):
        return tuple(verdict[:_TAIL])
    return isinstance(verdict, Refused), verdict.code, verdict.detail


def _frame(value: tuple[Any, ...] | list[Any]) -> bytes:
    data = marshal.dumps(value)
    return len(data).to_bytes(LENGTH, "big") + data


def serve(source: BinaryIO, sink: BinaryIO) -> None:
    """Answer questions until there are no more."""
    while len(head := source.read(LENGTH)) == LENGTH:
        now, asked = marshal.loads(source.read(int.from_bytes(head, "big")))  # noqa: S302
        answers = check([Record(payload, signature) for payload, signature in asked], now)
        sink.write(_frame([_told(answer) for answer in answers]))
        sink.flush()


def main() -> None:
    """Serve on the standard streams; the relay alone decides when to stop."""
    # Nearly all that is made here is gone with its batch; to look for cycles after every 700 objects is for others.
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    try:
        serve(sys.stdin.buffer, sys.stdout.buffer)
    except BrokenPipeError:
        sys.stderr.close()  # the relay is gone; there is nobody to tell


if __name__ == "__main__":
    main()
