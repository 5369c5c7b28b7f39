"""The recovery sheet: one page of plain text to print and keep, with all a person needs but the passphrase."""

import hashlib
import shlex
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from intentcast_agent.backup.container import read_head
from intentcast_agent.backup.disk import read_pieces
from intentcast_agent.backup.errors import BackupError

_SHEET = """\
INTENTCAST RECOVERY SHEET

This sheet holds no secret. Print it, and keep it apart from the machine.

  Backup file   {name}
  It lies in    {folder}
  More copies   ______________________________________________________
  Made on       {made} (UTC)
  Size          {size} bytes

  Fingerprint (SHA-256)
                {upper}
                {lower}

WHAT TO KEEP
  - the backup file, in two places that do not burn down together
  - its passphrase, in your head, a password safe or a sealed letter,
    never beside the file. It is not on this sheet, and nobody can
    reset it: not we, not a relay, not a vendor.
  - if your keys have a passphrase of their own (init --passphrase),
    that one too

WHAT IS IN IT
  Your keys, demands, open sessions, agreements, who was told what,
  and your settings, as they were on the day above. What came later
  is not in it. Make a new backup after every agreement.

TO RESTORE ON ANOTHER MACHINE
  1. Stop the agent on the old machine, for good. Never run two from
     one backup.
  2. Install intentcast {program} or newer.
  3. Compare the fingerprint:  sha256sum {word}
  4. Prove the backup:         intentcast backup verify {word}
  5. Put it into place:        intentcast backup restore {word}
  6. Start the agent:          intentcast serve
  It asks each vendor for what came after the backup, and signs
  nothing in a session until that has come back.
"""


def write_sheet(backup: Path) -> tuple[str, str]:
    """Return the sheet of a backup file, and the file's SHA-256 in hex; needs no passphrase.

    Raises BackupError: no backup, a damaged head, a file that cannot be read.
    """
    digest, size = hashlib.sha256(), 0
    try:
        with backup.open("rb") as source:
            head, _ = read_head(source)
        for piece in read_pieces(backup):
            digest.update(piece)
            size += len(piece)
    except OSError as error:
        raise BackupError(f"{backup} cannot be read: {error.strerror}.") from error
    fingerprint = digest.hexdigest()
    groups = [fingerprint[at : at + 8] for at in range(0, 64, 8)]
    text = _SHEET.format(
        name=_printable(backup.name),
        word=shlex.quote(_printable(backup.name)),
        folder=_printable(str(backup.parent)),
        made=datetime.fromtimestamp(head.made, UTC).strftime("%Y-%m-%d %H:%M"),
        size=size,
        program=version("intentcast"),
        upper=" ".join(groups[:4]),
        lower=" ".join(groups[4:]),
    )
    return text, fingerprint


def _printable(text: str) -> str:
    """Return a name without what a terminal or a printer may obey."""
    return "".join(char for char in text if char.isprintable())
