"""A passphrase: where it may come from, what guessing it costs, and the key it makes.

libsodium is imported on first use, so that a verb which needs no key does not wait for it. DESIGN §4.3
"""

import os
import stat
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

MEBIBYTE = 1 << 20
KEY_BYTES = 32
SALT_BYTES = 16
MOST_PASSES = 16
LONGEST_PASSPHRASE = 1024
CREDENTIAL = "intentcast.passphrase"


class PassphraseRefused(Exception):
    """A passphrase cannot be taken from there, or is empty or too long; the text says what to do."""


@dataclass(frozen=True, slots=True)
class Cost:
    """What one guess at a passphrase costs: argon2id passes over `memory` bytes.

    Raises ValueError unless it lies between INTERACTIVE and SENSITIVE in memory and in all, in 2 to 16 passes: below,
    an altered file would make guessing cheap; above, it could hang us or eat the machine's memory.
    """

    passes: int
    memory: int

    def __post_init__(self) -> None:
        if not (2 <= self.passes <= MOST_PASSES and 64 * MEBIBYTE <= self.memory <= 1024 * MEBIBYTE):
            raise ValueError("a passphrase costs 2 to 16 passes over 64 to 1024 MiB")
        if self.passes * self.memory > 4 * 1024 * MEBIBYTE:
            raise ValueError("a passphrase costs at most 4 passes over 1024 MiB, or as much in all")


# libsodium's own three grades: about 0.1, 0.8 and 5 seconds on a two-core machine, more on a small one.
INTERACTIVE = Cost(2, 64 * MEBIBYTE)
MODERATE = Cost(3, 256 * MEBIBYTE)
SENSITIVE = Cost(4, 1024 * MEBIBYTE)


def read_passphrase(*, file: Path | None, env: Mapping[str, str], prompt: Callable[[], str] | None) -> bytes | None:
    """Fetch the passphrase from the first source there is: `file`, then the service's credential, then `prompt`.

    `file` (`--passphrase-file`, which may be a pipe) and systemd's `$CREDENTIALS_DIRECTORY/intentcast.passphrase` give
    their first line without its newline. `prompt` asks the person without echo; pass None when no terminal is there.
    None means no source had one. Neither argv nor the value of a variable is a source: other accounts can read those.
    Raises PassphraseRefused if a file cannot be read, may be read by every account, or its line is empty or longer
    than 1024 bytes.
    """
    if file is not None:
        return _read_first_line(file)
    folder = env.get("CREDENTIALS_DIRECTORY", "")
    if folder and (Path(folder) / CREDENTIAL).exists():
        return _read_first_line(Path(folder) / CREDENTIAL)
    if prompt is None:
        return None
    # The terminal may hand over bytes that are no UTF-8; they are as good a passphrase as any.
    return prompt().encode("utf-8", "surrogateescape") or None


def derive_key(passphrase: bytes, salt: bytes, cost: Cost) -> bytes:
    """Make the key of a box from a passphrase, by argon2id v1.3; raises MemoryError if the machine cannot spare it."""
    from nacl.bindings import crypto_pwhash_alg as pwhash  # noqa: PLC0415
    from nacl.bindings import crypto_pwhash_ALG_ARGON2ID13 as ARGON2ID  # noqa: PLC0415

    try:
        return pwhash(KEY_BYTES, passphrase, salt, cost.passes, cost.memory, ARGON2ID)
    except RuntimeError:
        raise MemoryError("argon2id could not have its memory") from None


def _read_first_line(file: Path) -> bytes:
    try:
        with file.open("rb") as source:
            if stat.S_IMODE(os.fstat(source.fileno()).st_mode) & stat.S_IROTH:
                raise PassphraseRefused(
                    f"Every account on this machine can read the passphrase in {file}. Run: chmod 600 '{file}'"
                )
            line = source.readline(LONGEST_PASSPHRASE + 2)
    except OSError as error:
        raise PassphraseRefused(
            f"The passphrase file {file} cannot be read: {error.strerror}. Check its name and its owner."
        ) from None
    line = line.removesuffix(b"\n").removesuffix(b"\r")
    if not line or len(line) > LONGEST_PASSPHRASE:
        raise PassphraseRefused(
            f"The first line of {file} must be the passphrase, of 1 to {LONGEST_PASSPHRASE} bytes. Correct the file."
        )
    return line
