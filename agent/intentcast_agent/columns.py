"""Sealing of single cells of the agent's database, each bound to its place.

A sealed cell is 24 random nonce bytes, then XChaCha20-Poly1305 of the plaintext under the keystore's data key, with the
table, column and row as associated data: 40 bytes longer than the plaintext. Whoever can write the database can delete
a cell or put an older value of the same cell back, but cannot read, alter or move one. DESIGN §4.3
"""

import os
from dataclasses import dataclass, field

from nacl.bindings import crypto_aead_xchacha20poly1305_ietf_decrypt as decrypt
from nacl.bindings import crypto_aead_xchacha20poly1305_ietf_encrypt as encrypt
from nacl.exceptions import CryptoError

KEY_BYTES = 32
NONCE_BYTES = 24
TAG_BYTES = 16

_PURPOSE = b"intentcast/column/1\0"


class ColumnDamaged(Exception):
    """A sealed cell does not open: it was altered, moved from another place, or sealed under another data key."""

    def __init__(self, table: str, column: str) -> None:
        super().__init__(table, column)
        self.table = table
        self.column = column

    def __str__(self) -> str:
        return (
            f"A private entry of {self.table}.{self.column} was altered, or belongs to another keystore. "
            "Put the database and the keystore back from the same backup."
        )


@dataclass(frozen=True, slots=True, eq=False)
class ColumnSeal:
    """Seals and opens cells under one data key of 32 bytes; raises ValueError for a key of another length."""

    data_key: bytes = field(repr=False)

    def __post_init__(self) -> None:
        if len(self.data_key) != KEY_BYTES:
            raise ValueError(f"a data key has {KEY_BYTES} bytes")

    def seal(self, table: str, column: str, row: bytes | str | int, plaintext: bytes) -> bytes:
        """Seal one cell for one place; `row` is the row's primary key, known before the row is written."""
        nonce = os.urandom(NONCE_BYTES)
        return nonce + encrypt(bytes(plaintext), _place(table, column, row), nonce, self.data_key)

    def open(self, table: str, column: str, row: bytes | str | int, sealed: bytes) -> bytes:
        """Open a cell read from that very place; raises ColumnDamaged if it was not sealed there, or is not whole."""
        sealed = bytes(sealed)
        nonce, ciphertext = sealed[:NONCE_BYTES], sealed[NONCE_BYTES:]
        if len(ciphertext) < TAG_BYTES:
            raise ColumnDamaged(table, column)
        try:
            return decrypt(ciphertext, _place(table, column, row), nonce, self.data_key)
        except CryptoError:
            raise ColumnDamaged(table, column) from None


def _place(table: str, column: str, row: bytes | str | int) -> bytes:
    """Encode a place so that no two differ only in where one part ends, nor in the kind of their row."""
    if isinstance(row, bytes):
        kind, key = b"b", row
    elif isinstance(row, str):
        kind, key = b"s", row.encode()
    else:
        kind, key = b"i", b"%d" % row
    parts = (table.encode(), column.encode(), kind, key)
    return _PURPOSE + b"".join(len(part).to_bytes(4, "big") + part for part in parts)
