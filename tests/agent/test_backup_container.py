"""A backup file opens whole, in order, with its own passphrase; every other file is refused before it does harm."""

import hashlib
import io
from collections.abc import Iterator
from typing import Any

import msgpack
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from intentcast_agent.backup import container
from intentcast_agent.backup.advice import DAY, advise
from intentcast_agent.backup.container import CHUNK, MAGIC, Head, open_chunks, read_head, seal
from intentcast_agent.backup.contents import LARGEST_SMALL, LONGEST_LIST, Item, pack, unpack
from intentcast_agent.backup.errors import BackupDamaged, BackupError, BackupLocked, BackupNewer
from intentcast_agent.passphrase import INTERACTIVE, SENSITIVE, Cost
from intentcast_agent.strongbox import TAG_BYTES

PASSPHRASE = b"correct horse"
SALT = bytes(range(16))
HEAD = Head(1_800_000_000, INTERACTIVE, SALT)
FULL = CHUNK + TAG_BYTES
LONG = bytes(range(256)) * (3 * CHUNK // 256) + b"the end"


@pytest.fixture(autouse=True)
def derived(monkeypatch: pytest.MonkeyPatch) -> list[Cost]:
    """Replace argon2id by a hash, and list the costs it was asked for; the keystore's tests are about argon2id."""
    asked: list[Cost] = []

    def derive(passphrase: bytes, salt: bytes, cost: Cost) -> bytes:
        asked.append(cost)
        return hashlib.sha256(passphrase + salt).digest()

    monkeypatch.setattr(container, "derive_key", derive)
    return asked


def sealed(plain: bytes, head: Head = HEAD, passphrase: bytes = PASSPHRASE) -> bytes:
    return b"".join(seal(head, passphrase, [plain]))


def opened(data: bytes, passphrase: bytes = PASSPHRASE) -> bytes:
    return b"".join(open_chunks(io.BytesIO(data), passphrase))


def start_of_chunks(data: bytes) -> int:
    source = io.BytesIO(data)
    read_head(source)
    return source.tell()


def chunks_of(data: bytes) -> tuple[bytes, list[bytes]]:
    start = start_of_chunks(data)
    return data[:start], [data[at : at + FULL] for at in range(start, len(data), FULL)]


def with_head(fields: dict[str, Any]) -> bytes:
    """Return a file whose head says this, its sum right."""
    raw = msgpack.packb(fields)
    before = MAGIC + len(raw).to_bytes(2, "big") + raw
    return before + hashlib.sha256(before).digest() + bytes(FULL)


FIELDS: dict[str, Any] = {
    "version": 1, "made": 1, "passes": 2, "memory": 64 << 20, "salt": SALT, "check": bytes(16),
}  # fmt: skip


class Watched(io.BytesIO):
    """A source that notes how much it was asked for."""

    def __init__(self, data: bytes) -> None:
        super().__init__(data)
        self.asked: list[int | None] = []

    def read(self, size: int | None = -1, /) -> bytes:
        self.asked.append(size)
        return super().read(size)


class TestWhole:
    @pytest.mark.parametrize("size", [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK, 3 * CHUNK + 7])
    def test_what_was_sealed_comes_back_at_every_chunk_border(self, size: int) -> None:
        plain = (LONG * 2)[:size]
        assert opened(sealed(plain)) == plain

    @given(st.lists(st.binary(max_size=40_000), max_size=8))
    @settings(max_examples=30, deadline=None)
    def test_pieces_of_any_size_make_the_same_file(self, pieces: list[bytes]) -> None:
        assert b"".join(seal(HEAD, PASSPHRASE, pieces)) == sealed(b"".join(pieces))

    def test_head_tells_the_date_without_a_passphrase(self) -> None:
        head, _ = read_head(io.BytesIO(sealed(b"")))
        assert (head.made, head.cost, head.salt) == (HEAD.made, INTERACTIVE, SALT)

    def test_sealing_and_opening_hold_a_few_chunks_however_long_it_is(self) -> None:
        taken = 0

        def pieces() -> Iterator[bytes]:
            nonlocal taken
            for _ in range(64):
                taken += 1
                yield bytes(CHUNK)

        stream = seal(HEAD, PASSPHRASE, pieces())
        next(stream)
        next(stream)
        assert taken <= 2
        source = Watched(sealed(LONG))
        for _ in open_chunks(source, PASSPHRASE):
            assert sum(size or 0 for size in source.asked) <= source.tell() + 2 * FULL
        assert all(size is not None and 0 <= size <= FULL for size in source.asked)


class TestPassphrase:
    @pytest.mark.parametrize("wrong", [b"correct hors", b"correct horse ", b"x"])
    def test_wrong_passphrase_is_not_called_damage(self, wrong: bytes) -> None:
        with pytest.raises(BackupLocked) as caught:
            opened(sealed(LONG), wrong)
        assert caught.value.exit_code == 4
        assert "horse" not in str(caught.value)

    def test_damage_is_not_called_a_wrong_passphrase_even_with_one(self) -> None:
        data = bytearray(sealed(b"x"))
        data[len(MAGIC) + 10] ^= 1
        with pytest.raises(BackupDamaged) as caught:
            opened(bytes(data), b"wrong")
        assert caught.value.exit_code == 6

    def test_machine_without_the_memory_says_how_much_it_takes(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def short(*_: object) -> bytes:
            raise MemoryError

        data = sealed(b"x")
        monkeypatch.setattr(container, "derive_key", short)
        with pytest.raises(BackupError, match="64 MiB"):
            opened(data)


class TestDamage:
    def test_every_flipped_bit_is_refused_as_damage(self) -> None:
        data = sealed(b"secrets")
        for at in range(len(data)):
            for bit in range(8):
                with pytest.raises(BackupDamaged):
                    opened(data[:at] + bytes([data[at] ^ 1 << bit]) + data[at + 1 :])

    def test_every_shorter_file_is_refused_from_nothing_at_all_on(self) -> None:
        data = sealed(b"secrets")
        for length in range(len(data)):
            with pytest.raises(BackupDamaged):
                opened(data[:length])

    @pytest.mark.parametrize("kept", [0, 1, 2, 3])
    def test_file_cut_at_a_chunk_border_is_refused(self, kept: int) -> None:
        start, chunks = chunks_of(sealed(LONG))
        assert len(chunks) == 4
        with pytest.raises(BackupDamaged):
            opened(start + b"".join(chunks[:kept]))

    @pytest.mark.parametrize(
        "order",
        [
            (1, 0, 2, 3),
            (0, 2, 1, 3),
            (0, 1, 3),
            (0, 3),
            (0, 0, 1, 2, 3),
            (0, 1, 2, 2, 3),
            (0, 1, 2, 3, 3),
            (3, 0, 1, 2),
        ],
    )
    def test_chunks_moved_left_out_or_doubled_are_refused(self, order: tuple[int, ...]) -> None:
        start, chunks = chunks_of(sealed(LONG))
        with pytest.raises(BackupDamaged):
            opened(start + b"".join(chunks[at] for at in order))

    @pytest.mark.parametrize("more", [b"\0", bytes(15), bytes(16), bytes(FULL), MAGIC])
    def test_anything_after_the_end_is_refused(self, more: bytes) -> None:
        for plain in (b"x", bytes(CHUNK)):
            with pytest.raises(BackupDamaged):
                opened(sealed(plain) + more)

    def test_chunk_of_another_backup_under_the_same_passphrase_is_refused(self) -> None:
        start, chunks = chunks_of(sealed(LONG))
        _, other = chunks_of(sealed(LONG, Head(HEAD.made + 1, INTERACTIVE, bytes(16))))
        with pytest.raises(BackupDamaged):
            opened(start + b"".join([chunks[0], other[1], *chunks[2:]]))
        # The same key, and only the head differs.
        _, other = chunks_of(sealed(LONG, Head(HEAD.made + 1, INTERACTIVE, SALT)))
        with pytest.raises(BackupDamaged):
            opened(start + b"".join([chunks[0], other[1], *chunks[2:]]))


class TestHostileHead:
    def test_huge_length_of_head_is_refused_before_it_is_read(self) -> None:
        source = Watched(MAGIC + b"\xff\xff" + bytes(100_000))
        with pytest.raises(BackupDamaged):
            read_head(source)
        assert source.tell() == len(MAGIC) + 2

    @pytest.mark.parametrize(
        "change",
        [
            {"memory": 1}, {"memory": 1 << 40}, {"passes": 1}, {"passes": 1 << 30}, {"passes": True}, {"memory": "x"},
            {"passes": 16, "memory": SENSITIVE.memory}, {"salt": b"short"}, {"salt": "text"}, {"check": b""},
            {"made": -1}, {"made": 1 << 60}, {"made": 1.5}, {"version": 0}, {"version": True}, {"more": 1},
        ],
    )  # fmt: skip
    def test_head_we_could_not_have_written_is_refused_before_a_key_is_derived(
        self, change: dict[str, Any], derived: list[Cost]
    ) -> None:
        with pytest.raises(BackupDamaged):
            opened(with_head(FIELDS | change))
        assert derived == []

    def test_backup_of_a_newer_version_is_refused_as_such(self) -> None:
        with pytest.raises(BackupNewer, match="newer"):
            opened(with_head({"version": 2, "anything": b"else"}))

    @given(st.binary(max_size=200), st.booleans())
    def test_arbitrary_bytes_give_a_backup_error_and_nothing_else(self, data: bytes, ours: bool) -> None:
        before = MAGIC + len(data).to_bytes(2, "big") + data
        whole = before + hashlib.sha256(before).digest() if ours else data
        with pytest.raises(BackupError):
            opened(whole)


def items(**files: bytes) -> list[Item]:
    return [Item(name, len(data), lambda data=data: [data]) for name, data in files.items()]


def unpacked(stream: bytes, step: int = 7) -> dict[str, bytes]:
    found: dict[str, bytes] = {}

    def write(name: str, pieces: Iterator[bytes]) -> None:
        found[name] = b"".join(pieces)

    unpack((stream[at : at + step] for at in range(0, len(stream), step)), write)
    return found


def listing(value: Any, content: bytes = b"") -> bytes:
    listed = msgpack.packb(value)
    return len(listed).to_bytes(4, "big") + listed + content


class TestContents:
    @pytest.mark.parametrize("step", [1, 7, 10_000])
    def test_files_come_back_by_their_names(self, step: int) -> None:
        files = {"agent.db": b"d" * 100, "keystore": b"k", "policy.toml": b""}
        assert unpacked(b"".join(pack("1", items(**files))), step) == files

    @pytest.mark.parametrize(
        "stream",
        [
            b"", b"\0\0", b"\0\0\0\0", (LONGEST_LIST + 1).to_bytes(4, "big") + bytes(LONGEST_LIST + 1),
            b"\xff\xff\xff\xff", listing([]), listing({}), listing({"files": 1}), listing({"files": [1]}),
            listing({"files": [["agent.db", 0]]}),
            listing({"files": [["agent.db", 0], ["keystore", 0], ["../../x", 0]]}),
            listing({"files": [["agent.db", 0], ["keystore", 0], ["keystore", 0]]}),
            listing({"files": [["agent.db", -1], ["keystore", 0]]}),
            listing({"files": [["agent.db", True], ["keystore", 0]]}, b"x"),
            listing({"files": [["agent.db", 1 << 62], ["keystore", 0]]}, b"x" * 99),
            listing({"files": [["agent.db", 3], ["keystore", 3]]}, b"12345"),
            listing({"files": [["agent.db", 3], ["keystore", 2]]}, b"123456"),
            listing({"files": [["agent.db", 1], ["keystore", LARGEST_SMALL + 1]]}, bytes(LARGEST_SMALL + 2)),
            listing({"files": [[[], 3], ["keystore", 2]]}, b"12345"),
        ],
    )  # fmt: skip
    def test_list_we_could_not_have_written_is_refused(self, stream: bytes) -> None:
        with pytest.raises(BackupDamaged):
            unpacked(stream)

    def test_file_that_changed_while_it_was_read_makes_no_backup(self) -> None:
        with pytest.raises(ValueError, match=r"agent\.db"):
            list(pack("1", [Item("agent.db", 3, lambda: [b"four"])]))


class TestAdvice:
    @pytest.mark.parametrize(
        ("last", "anything", "says"),
        [
            (None, False, None), (0, False, None), (None, True, "No backup yet"), (100 * DAY, True, None),
            (70 * DAY, True, None), (60 * DAY, True, "40 days ago"), (101 * DAY, True, None),
        ],
    )  # fmt: skip
    def test_reminds_only_where_something_may_be_lost(self, last: int | None, anything: bool, says: str | None) -> None:
        found = advise(last, 100 * DAY, anything=anything)
        assert (found is None) is (says is None)
        assert (says or "") in (found or "")
