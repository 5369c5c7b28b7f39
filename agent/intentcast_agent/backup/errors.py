"""Why a backup cannot be made, opened or put back: each with a code for programs and the exit code that fits.

Nothing heavy is imported here, so that a short verb can name what went wrong.
"""

from typing import ClassVar


class BackupError(Exception):
    """It cannot be done; the text is a sentence for the person, says what to do and holds no secret."""

    code: ClassVar[str] = "failure"
    exit_code: ClassVar[int] = 1


class BackupLocked(BackupError):
    """The passphrase given is not the backup's, or none was given."""

    code = "locked"
    exit_code = 4


class BackupDamaged(BackupError):
    """The file is not what we wrote: cut short, altered, put together anew, or no backup at all."""

    code = "damaged"
    exit_code = 6


class BackupNewer(BackupError):
    """A newer intentcast wrote it."""

    code = "newer"


class BackupRefused(BackupError):
    """What was asked for would harm something, or cannot be meant; nothing was changed."""

    code = "usage"
    exit_code = 2
