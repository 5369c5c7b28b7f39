"""The keystore gives its secrets to the right passphrase, survives a crash at any instant, and refuses all else."""

import hashlib
import os
import pickle
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st
from intentcast_agent import keystore as keystore_room
from intentcast_agent import strongbox
from intentcast_agent.keystore import (
    Keystore,
    KeystoreChanged,
    KeystoreDamaged,
    KeystoreError,
    KeystoreExists,
    KeystoreExposed,
    KeystoreMissing,
    Locked,
    MemoryShort,
    PassphraseNeeded,
    WrongPassphrase,
    create,
    open_keystore,
    status,
)
from intentcast_agent.passphrase import (
    INTERACTIVE,
    MEBIBYTE,
    MODERATE,
    SENSITIVE,
    Cost,
    PassphraseRefused,
)

SECRET = b"correct horse"
OTHER = b"battery staple"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "keystore"


@pytest.fixture
def key_path(tmp_path: Path) -> Path:
    return tmp_path / "keystore.key"


@pytest.fixture
def instant(monkeypatch: pytest.MonkeyPatch) -> list[Cost]:
    """Replace argon2id by a hash, and list the costs it was asked for; for tests of anything but the derivation."""
    asked: list[Cost] = []

    def derive(passphrase: bytes, salt: bytes, cost: Cost) -> bytes:
        asked.append(cost)
        return hashlib.sha256(salt + passphrase).digest()

    monkeypatch.setattr(keystore_room, "derive_key", derive)
    return asked


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def make(path: Path, passphrase: bytes | None = SECRET) -> Keystore:
    return create(path, passphrase, cost=INTERACTIVE)


def rewrite(path: Path, **changes: object) -> None:
    """Alter header fields as an attacker would, with a sum that fits."""
    outer = msgpack.unpackb(path.read_bytes())
    header = msgpack.packb({**msgpack.unpackb(outer["header"]), **changes})
    write(path, header, outer["box"])


def write(path: Path, header: bytes, box: bytes) -> None:
    path.write_bytes(msgpack.packb({"header": header, "box": box, "sum": hashlib.sha256(header + box).digest()}))


# Opening and keeping


@pytest.mark.parametrize("passphrase", [SECRET, None, "pässwörd ☂".encode(), bytes(range(256))])
def test_keystore_keeps_its_secrets_over_a_restart(path: Path, passphrase: bytes | None) -> None:
    store = make(path, passphrase)
    store.put("vendor", b"\x07" * 32)
    store.put("profile", b"first")
    store.put("profile", b"second")
    store.put("old", b"gone")
    store.remove("old")
    again = open_keystore(path, passphrase)
    assert again.data_key == store.data_key
    assert len(again.data_key) == 32
    assert again.names() == ("profile", "vendor")
    assert (again.get("vendor"), again.get("profile"), again.get("old")) == (b"\x07" * 32, b"second", None)
    assert again.is_passphrase_protected == (passphrase is not None)


def test_two_keystores_share_nothing(tmp_path: Path) -> None:
    one, other = make(tmp_path / "one", None), make(tmp_path / "other", None)
    assert one.data_key != other.data_key
    assert (tmp_path / "one.key").read_bytes() != (tmp_path / "other.key").read_bytes()


def test_default_cost_is_moderate(path: Path, instant: list[Cost]) -> None:
    store = create(path, SECRET)
    store.set_passphrase(SECRET, OTHER)
    assert set(instant) == {MODERATE}


def test_keystore_refuses_wrong_passphrase(path: Path) -> None:
    make(path)
    with pytest.raises(WrongPassphrase):
        open_keystore(path, OTHER)
    open_keystore(path, SECRET)


@pytest.mark.parametrize("nothing", [None, b""])
def test_keystore_asks_for_the_passphrase_it_needs(path: Path, instant: list[Cost], nothing: bytes | None) -> None:
    make(path)
    with pytest.raises(PassphraseNeeded, match="--passphrase-file"):
        open_keystore(path, nothing)
    assert issubclass(PassphraseNeeded, Locked)
    assert issubclass(WrongPassphrase, Locked)


def test_missing_keystore_is_missing(path: Path) -> None:
    with pytest.raises(KeystoreMissing):
        open_keystore(path, SECRET)


def test_create_never_replaces_a_keystore(path: Path) -> None:
    make(path, None)
    before = path.read_bytes()
    with pytest.raises(KeystoreExists):
        make(path, SECRET)
    assert path.read_bytes() == before


def test_create_keeps_a_key_file_that_may_open_another_keystore(path: Path, tmp_path: Path) -> None:
    kept = make(path, None).data_key
    path.rename(tmp_path / "aside")
    make(path, None)
    (tmp_path / "aside").replace(path)
    assert open_keystore(path, None).data_key == kept


@pytest.mark.parametrize("passphrase", [b"", b"x" * 1025])
def test_create_refuses_a_passphrase_of_no_or_absurd_length(path: Path, passphrase: bytes) -> None:
    with pytest.raises(PassphraseRefused):
        make(path, passphrase)
    assert not path.exists()


def test_put_refuses_what_would_not_fit(path: Path) -> None:
    store = make(path, None)
    for name, secret in (("", b"x"), ("n" * 65, b"x"), ("n", bytes(4097))):
        with pytest.raises(ValueError, match=r"at most|characters"):
            store.put(name, secret)
    for number in range(63):
        store.put(str(number), bytes(4096))
    with pytest.raises(ValueError, match="at most"):
        store.put("and more", bytes(4096))
    assert open_keystore(path, None).names() == store.names()


def test_puts_from_many_threads_all_stay(path: Path) -> None:
    store = make(path, None)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda number: store.put(f"s{number:02}", b"x"), range(24)))
    assert len(open_keystore(path, None).names()) == 24


def test_keystore_does_not_write_over_a_restored_one(path: Path) -> None:
    first = make(path, None)
    backup = path.read_bytes()
    first.put("after", b"the backup")
    path.write_bytes(backup)
    with pytest.raises(KeystoreChanged):
        first.put("more", b"x")
    assert path.read_bytes() == backup


def test_status_needs_no_passphrase(path: Path) -> None:
    assert status(path) == "missing"
    store = make(path, None)
    assert status(path) == "keyfile"
    store.set_passphrase(None, SECRET, cost=INTERACTIVE)
    assert status(path) == "passphrase"


def test_status_does_not_load_libsodium(path: Path) -> None:
    make(path, None)
    program = (
        "import sys, pathlib; from intentcast_agent.keystore import status\n"
        "assert status(pathlib.Path(sys.argv[1])) == 'keyfile'\n"
        "assert not any(name.partition('.')[0] in {'nacl', 'aiohttp', 'asyncio'} for name in sys.modules)\n"
    )
    env = {"PYTHONPATH": os.pathsep.join(sys.path)}
    assert subprocess.run([sys.executable, "-c", program, str(path)], env=env, check=False).returncode == 0


# Changing what opens it


def test_passphrase_set_later_replaces_the_key_file(path: Path, key_path: Path) -> None:
    store = make(path, None)
    store.put("vendor", b"v")
    store.set_passphrase(None, SECRET, cost=INTERACTIVE)
    assert not key_path.exists()
    assert store.is_passphrase_protected
    store.put("later", b"l")
    with pytest.raises(PassphraseNeeded):
        open_keystore(path, None)
    again = open_keystore(path, SECRET)
    assert again.data_key == store.data_key
    assert again.names() == ("later", "vendor")


def test_passphrase_can_be_changed_and_given_up(path: Path, key_path: Path, instant: list[Cost]) -> None:
    store = make(path)
    store.set_passphrase(SECRET, OTHER)
    with pytest.raises(WrongPassphrase):
        open_keystore(path, SECRET)
    store = open_keystore(path, OTHER)
    store.set_passphrase(OTHER, None)
    assert mode(key_path) == 0o600
    assert open_keystore(path, None).data_key == store.data_key


def test_changing_the_passphrase_takes_the_present_one(path: Path, instant: list[Cost]) -> None:
    store = make(path)
    before = path.read_bytes()
    with pytest.raises(PassphraseNeeded):
        store.set_passphrase(None, OTHER)
    with pytest.raises(WrongPassphrase):
        store.set_passphrase(OTHER, OTHER)
    with pytest.raises(PassphraseRefused):
        store.set_passphrase(SECRET, b"")
    assert path.read_bytes() == before


def test_every_new_passphrase_has_a_new_salt(path: Path, instant: list[Cost]) -> None:
    store = make(path)
    salts = {strongbox.parse(path.read_bytes()).header.salt}
    for _ in range(3):
        store.set_passphrase(SECRET, SECRET)
        salts.add(strongbox.parse(path.read_bytes()).header.salt)
    assert len(salts) == 4


def test_opening_never_removes_a_key_file_it_did_not_replace(path: Path, key_path: Path, instant: list[Cost]) -> None:
    make(path, None).set_passphrase(None, SECRET)
    key_path.write_bytes(os.urandom(32))
    key_path.chmod(0o600)
    open_keystore(path, SECRET)
    assert key_path.exists()


# Crashes


class Crash(BaseException):
    """The machine stops here."""


class Machine:
    """Counts durable effects and stops for good before the one numbered `last`."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.effects: list[str] = []
        self.last = sys.maxsize
        for name in ("fsync", "replace", "unlink"):
            self._wrap(monkeypatch, name, getattr(os, name))

    def _wrap(self, monkeypatch: pytest.MonkeyPatch, name: str, real: Callable[..., None]) -> None:
        def effect(target: str | int, *rest: object, **named: object) -> None:
            if name == "unlink" and not os.path.lexists(target):
                return real(target, *rest, **named)
            if len(self.effects) >= self.last:
                raise Crash
            folder = isinstance(target, int) and stat.S_ISDIR(os.fstat(target).st_mode)
            self.effects.append("fsync folder" if folder else name)
            return real(target, *rest, **named)

        monkeypatch.setattr(os, name, effect)


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Iterator[Machine]:
    with monkeypatch.context() as patch:
        yield Machine(patch)


WRITE = ["fsync", "replace", "fsync folder"]
Act = Callable[[Keystore], None]
ACTS: dict[str, tuple[bytes | None, bytes | None, list[str], Act]] = {
    "put": (SECRET, SECRET, WRITE, lambda store: store.put("new", b"n")),
    "put without passphrase": (None, None, WRITE, lambda store: store.put("new", b"n")),
    "set": (None, OTHER, [*WRITE, "unlink", "fsync folder"], lambda store: store.set_passphrase(None, OTHER)),
    "change": (SECRET, OTHER, WRITE, lambda store: store.set_passphrase(SECRET, OTHER)),
    "give up": (SECRET, None, WRITE + WRITE, lambda store: store.set_passphrase(SECRET, None)),
}


def open_with_any(path: Path, *passphrases: bytes | None) -> Keystore:
    """Open with the first passphrase that fits; fails as the last one did."""
    for passphrase in passphrases[:-1]:
        try:
            return open_keystore(path, passphrase)
        except Locked:
            continue
    return open_keystore(path, passphrases[-1])


@pytest.mark.parametrize("name", ACTS)
def test_crash_at_any_instant_leaves_a_keystore_that_opens(
    tmp_path: Path, machine: Machine, instant: list[Cost], name: str
) -> None:
    before, after, effects, act = ACTS[name]
    for last in range(len(effects)):
        machine.effects, machine.last = [], sys.maxsize
        path = tmp_path / f"keystore{last}"
        store = create(path, before)
        store.put("vendor", b"v")
        machine.effects, machine.last = [], last
        with pytest.raises(Crash):
            act(store)
        assert machine.effects == effects[:last]
        machine.last = sys.maxsize
        again = open_with_any(path, before, after)
        assert (again.data_key, again.get("vendor")) == (store.data_key, b"v")
        again.put("life", b"goes on")
        assert open_with_any(path, before, after).get("life") == b"goes on"


def test_create_can_be_repeated_after_a_crash_at_any_instant(
    tmp_path: Path, machine: Machine, instant: list[Cost]
) -> None:
    for passphrase, effects in ((None, 5), (SECRET, 2)):
        for last in range(effects):
            path = tmp_path / f"keystore-{effects}-{last}"
            machine.effects, machine.last = [], last
            with pytest.raises(Crash):
                create(path, passphrase)
            machine.last = sys.maxsize
            store = create(path, passphrase) if status(path) == "missing" else open_keystore(path, passphrase)
            assert open_keystore(path, passphrase).data_key == store.data_key


def test_put_is_durable_before_it_returns(path: Path, machine: Machine) -> None:
    store = make(path, None)
    machine.effects = []
    store.put("vendor", b"v")
    assert machine.effects == WRITE


def test_crash_before_the_key_file_is_removed_is_made_good_at_the_next_opening(
    path: Path, key_path: Path, machine: Machine, instant: list[Cost]
) -> None:
    store = create(path, None)
    machine.effects, machine.last = [], 3
    with pytest.raises(Crash):
        store.set_passphrase(None, SECRET)
    machine.last = sys.maxsize
    assert key_path.exists()
    with pytest.raises(WrongPassphrase):
        open_keystore(path, OTHER)
    assert key_path.exists()
    open_keystore(path, SECRET)
    assert not key_path.exists()


@pytest.mark.parametrize("effect", ["fsync", "replace"])
def test_failing_disk_keeps_the_old_keystore_and_tells(
    path: Path, monkeypatch: pytest.MonkeyPatch, effect: str
) -> None:
    store = make(path, None)
    store.put("vendor", b"v")
    before = path.read_bytes()

    def fail(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, effect, fail)
        with pytest.raises(OSError, match="No space"):
            store.put("vendor", b"w")
    assert path.read_bytes() == before
    assert store.get("vendor") == b"v"
    assert not path.with_name("keystore.new").exists()
    store.put("vendor", b"w")
    assert open_keystore(path, None).get("vendor") == b"w"


def test_half_written_leftover_does_not_stop_the_next_write(path: Path) -> None:
    store = make(path, None)
    path.with_name("keystore.new").write_bytes(b"half")
    store.put("vendor", b"v")
    assert open_keystore(path, None).get("vendor") == b"v"
    assert not path.with_name("keystore.new").exists()


# Damage and attack


@pytest.mark.parametrize("passphrase", [SECRET, None])
def test_every_flipped_byte_of_the_file_is_damage_found_before_any_derivation(
    path: Path, instant: list[Cost], passphrase: bytes | None
) -> None:
    create(path, passphrase)
    whole = path.read_bytes()
    instant.clear()
    for at in range(len(whole)):
        for flip in (0x01, 0x80, 0xFF):
            altered = bytearray(whole)
            altered[at] ^= flip
            path.write_bytes(altered)
            with pytest.raises(KeystoreDamaged):
                open_keystore(path, passphrase)
            with pytest.raises(KeystoreDamaged):
                status(path)
    assert instant == []


@pytest.mark.parametrize("passphrase", [SECRET, None])
def test_every_flipped_bit_of_the_header_is_refused_within_bounds(
    path: Path, instant: list[Cost], passphrase: bytes | None
) -> None:
    create(path, passphrase)
    outer = msgpack.unpackb(path.read_bytes())
    instant.clear()
    for at in range(len(outer["header"])):
        for bit in range(8):
            altered = bytearray(outer["header"])
            altered[at] ^= 1 << bit
            write(path, bytes(altered), outer["box"])
            with pytest.raises((KeystoreDamaged, WrongPassphrase)):
                open_keystore(path, SECRET)
    for cost in instant:
        assert INTERACTIVE.passes <= cost.passes <= 16
        assert INTERACTIVE.memory <= cost.memory <= SENSITIVE.memory
        assert cost.passes * cost.memory <= SENSITIVE.passes * SENSITIVE.memory


def test_altered_salt_or_cost_is_refused_by_the_real_derivation(path: Path) -> None:
    make(path)
    whole = path.read_bytes()
    header = strongbox.parse(whole).header
    for change in (
        {"salt": bytes(16)},
        {"passes": 3},
        {"memory": 65 * MEBIBYTE},
        {"retired": bytes(32)},
        {"mode": "keyfile"},
        {"mode": "keyfile", "passes": 0, "memory": 0, "salt": b"", "retired": b""},
    ):
        rewrite(path, **change)
        with pytest.raises((WrongPassphrase, KeystoreDamaged)):
            open_keystore(path, SECRET)
    path.write_bytes(whole)
    assert open_keystore(path, SECRET).path == path
    assert header.cost == INTERACTIVE


@pytest.mark.parametrize(
    "change",
    [
        {"passes": 1},
        {"passes": 0},
        {"passes": -1},
        {"passes": 17},
        {"passes": 2**63},
        {"passes": True},
        {"passes": "2"},
        {"memory": 64 * MEBIBYTE - 1},
        {"memory": 8192},
        {"memory": 1024 * MEBIBYTE + 1},
        {"memory": 2**62},
        {"memory": None},
        {"passes": 16, "memory": 1024 * MEBIBYTE},
        {"version": 2},
        {"version": True},
        {"mode": "none"},
        {"salt": b""},
        {"salt": bytes(17)},
        {"salt": "0123456789abcdef"},
        {"retired": b"short"},
        {"extra": 1},
    ],
)
def test_downgraded_or_absurd_header_is_refused_before_any_derivation(
    path: Path, instant: list[Cost], change: dict[str, object]
) -> None:
    make(path)
    instant.clear()
    rewrite(path, **change)
    with pytest.raises(KeystoreDamaged):
        open_keystore(path, SECRET)
    assert instant == []


def test_every_truncated_file_is_damaged(path: Path, instant: list[Cost]) -> None:
    make(path)
    whole = path.read_bytes()
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        with pytest.raises(KeystoreDamaged):
            open_keystore(path, SECRET)
    path.write_bytes(whole + b"\0")
    with pytest.raises(KeystoreDamaged):
        open_keystore(path, SECRET)


def test_huge_file_is_refused_unread(path: Path) -> None:
    path.touch(0o600)
    os.truncate(path, 1 << 40)
    with pytest.raises(KeystoreDamaged):
        status(path)


@given(st.binary(max_size=400))
def test_strongbox_refuses_any_bytes_it_did_not_write(packed: bytes) -> None:
    with pytest.raises(ValueError):
        strongbox.parse(packed)


@pytest.mark.parametrize(
    "packed", [b"\xdf\xff\xff\xff\xff", b"\xdd\xff\xff\xff\xff", b"\x91" * 200_000, b"\xc7\x0c\xff" + bytes(12)]
)
def test_strongbox_refuses_msgpack_that_claims_much(packed: bytes) -> None:
    with pytest.raises(ValueError):
        strongbox.parse(packed)


def test_secret_moved_between_keystores_is_refused(tmp_path: Path, instant: list[Cost]) -> None:
    for name in ("one", "other"):
        make(tmp_path / name)
    one = msgpack.unpackb((tmp_path / "one").read_bytes())
    other = msgpack.unpackb((tmp_path / "other").read_bytes())
    write(tmp_path / "one", one["header"], other["box"])
    with pytest.raises(WrongPassphrase):
        open_keystore(tmp_path / "one", SECRET)


@pytest.mark.parametrize("key", [None, b"", bytes(31), bytes(32), bytes(33)])
def test_keystore_parted_from_its_key_file_is_damaged(path: Path, key_path: Path, key: bytes | None) -> None:
    make(path, None)
    key_path.unlink()
    if key is not None:
        key_path.write_bytes(key)
        key_path.chmod(0o600)
    with pytest.raises(KeystoreDamaged, match=r"keystore\.key"):
        open_keystore(path, None)


def test_short_memory_is_told_as_such(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make(path)

    def starve(*_: object) -> bytes:
        raise RuntimeError("Unexpected failure in key derivation")

    monkeypatch.setattr("nacl.bindings.crypto_pwhash_alg", starve)
    with pytest.raises(MemoryShort, match="64 MiB"):
        open_keystore(path, SECRET)


# Files


def test_secret_files_are_private_whatever_the_umask(path: Path, key_path: Path) -> None:
    before = os.umask(0)
    try:
        make(path, None).put("vendor", b"v")
    finally:
        os.umask(before)
    assert (mode(path), mode(key_path)) == (0o600, 0o600)


@pytest.mark.parametrize("exposed", ["keystore", "keystore.key"])
@pytest.mark.parametrize("bits", [0o640, 0o604, 0o620, 0o601])
def test_secret_file_within_reach_of_others_is_refused(path: Path, exposed: str, bits: int) -> None:
    make(path, None)
    path.with_name(exposed).chmod(bits)
    with pytest.raises(KeystoreExposed, match=rf"chmod 600 .*{exposed}'"):
        open_keystore(path, None)


def test_keystore_of_another_account_is_refused(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make(path, None)
    monkeypatch.setattr(os, "geteuid", lambda: 4_000_000)
    with pytest.raises(KeystoreExposed, match="another account"):
        open_keystore(path, None)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make another account's link")
def test_link_made_by_another_account_is_refused(path: Path, tmp_path: Path) -> None:
    make(path, None)
    link = tmp_path / "link"
    link.symlink_to(path)
    os.chown(link, 65534, 65534, follow_symlinks=False)
    with pytest.raises(KeystoreExposed, match="link"):
        open_keystore(link, None)


def test_own_link_is_followed_and_kept(tmp_path: Path) -> None:
    (tmp_path / "vault").mkdir()
    link, real = tmp_path / "link", tmp_path / "vault" / "keystore"
    link.symlink_to(real)
    make(link, None).put("vendor", b"v")
    open_keystore(link, None).set_passphrase(None, SECRET, cost=INTERACTIVE)
    assert link.is_symlink()
    assert [entry.name for entry in real.parent.iterdir()] == ["keystore"]
    assert open_keystore(real, SECRET).get("vendor") == b"v"


def test_pipe_in_the_place_of_a_keystore_does_not_hang_us(path: Path) -> None:
    os.mkfifo(path, 0o600)
    with pytest.raises(KeystoreDamaged):
        status(path)


def test_folder_in_the_place_of_a_keystore_is_refused(path: Path) -> None:
    path.mkdir(0o700)
    with pytest.raises(KeystoreDamaged):
        status(path)


def test_no_secret_is_shown_written_or_pickled(path: Path, tmp_path: Path) -> None:
    store = make(path)
    store.put("vendor", b"canary-canary-canary")
    shown = [repr(store)]
    for attempt in (OTHER, None):
        with pytest.raises(KeystoreError) as refused:
            open_keystore(path, attempt)
        shown.append(f"{refused.value} {refused.value!r}")
    for text in shown:
        assert "canary" not in text
        assert OTHER.decode() not in text
    for file in tmp_path.iterdir():
        assert b"canary" not in file.read_bytes()
        assert store.data_key not in file.read_bytes()
    with pytest.raises(TypeError, match="secrets"):
        pickle.dumps(store)
