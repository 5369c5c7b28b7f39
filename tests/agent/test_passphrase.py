"""A passphrase comes from where nobody else can read it, and guessing it is neither cheap nor endless."""

import os
from pathlib import Path

import pytest
from intentcast_agent.passphrase import INTERACTIVE, MEBIBYTE, Cost, PassphraseRefused, derive_key, read_passphrase
from nacl.pwhash import argon2id

SECRET = b"correct horse"


@pytest.mark.parametrize(
    ("passes", "memory"), [(1, 64), (2, 63), (17, 64), (2, 1025), (5, 1024), (16, 257), (0, 0), (2, -64)]
)
def test_cost_out_of_bounds_cannot_be_chosen(passes: int, memory: int) -> None:
    with pytest.raises(ValueError, match="passphrase costs"):
        Cost(passes, memory * MEBIBYTE)


def test_key_of_a_passphrase_is_plain_argon2id() -> None:
    salt = bytes(range(16))
    assert derive_key(SECRET, salt, INTERACTIVE) == argon2id.kdf(32, SECRET, salt, 2, 64 * MEBIBYTE)


def never() -> str:
    raise AssertionError("the person was asked")


@pytest.mark.parametrize(
    ("content", "passphrase"),
    [
        (b"hunter2", b"hunter2"),
        (b"hunter2\n", b"hunter2"),
        (b"hunter2\r\n", b"hunter2"),
        (b" two words \nrest\n", b" two words "),
        (b"x" * 1024 + b"\n", b"x" * 1024),
    ],
)
def test_passphrase_file_gives_its_first_line(tmp_path: Path, content: bytes, passphrase: bytes) -> None:
    file = tmp_path / "pass"
    file.write_bytes(content)
    file.chmod(0o600)
    assert read_passphrase(file=file, env={}, prompt=never) == passphrase


@pytest.mark.parametrize("content", [b"", b"\n", b"\nsecond", b"x" * 1025, b"x" * 5000])
def test_passphrase_file_without_a_usable_first_line_is_refused(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "pass"
    file.write_bytes(content)
    file.chmod(0o600)
    with pytest.raises(PassphraseRefused, match="first line"):
        read_passphrase(file=file, env={}, prompt=never)


def test_passphrase_file_that_all_can_read_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "pass"
    file.write_bytes(b"hunter2")
    file.chmod(0o644)
    with pytest.raises(PassphraseRefused, match="chmod 600") as refused:
        read_passphrase(file=file, env={}, prompt=never)
    assert "hunter2" not in str(refused.value)


def test_missing_passphrase_file_does_not_fall_back_to_asking(tmp_path: Path) -> None:
    with pytest.raises(PassphraseRefused, match="No such file"):
        read_passphrase(file=tmp_path / "none", env={}, prompt=never)


def test_service_credential_is_read_before_anybody_is_asked(tmp_path: Path) -> None:
    credential = tmp_path / "intentcast.passphrase"
    credential.write_bytes(b"from systemd\n")
    credential.chmod(0o400)
    env = {"CREDENTIALS_DIRECTORY": str(tmp_path)}
    assert read_passphrase(file=None, env=env, prompt=never) == b"from systemd"


def test_prompt_is_the_last_source_and_no_terminal_means_none(tmp_path: Path) -> None:
    env = {"CREDENTIALS_DIRECTORY": str(tmp_path), "INTENTCAST_PASSPHRASE": "never read"}
    assert read_passphrase(file=None, env=env, prompt=lambda: "grün") == "grün".encode()
    assert read_passphrase(file=None, env=env, prompt=lambda: "\udcff") == b"\xff"
    assert read_passphrase(file=None, env=env, prompt=lambda: "") is None
    assert read_passphrase(file=None, env=env, prompt=None) is None


def test_passphrase_may_come_through_a_pipe() -> None:
    reader, writer = os.pipe()
    os.write(writer, b"piped\n")
    os.close(writer)
    try:
        assert read_passphrase(file=Path(f"/dev/fd/{reader}"), env={}, prompt=never) == b"piped"
    finally:
        os.close(reader)
