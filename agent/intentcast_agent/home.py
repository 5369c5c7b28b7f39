"""Where an agent keeps its things, and the lock that lets one process at a time use them.

The folders are 0700 and ours; that, and not the mode of each file, is what keeps other accounts out of the socket and
the database. Nothing but the standard library is imported at the top, because every CLI verb starts here. DESIGN §4.8
"""

import fcntl
import os
import stat
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

# sun_path holds 104 bytes on macOS and the BSDs, 108 on Linux, one of them the closing zero: the smaller serves all.
LONGEST_SOCKET_PATH = 103


class HomeError(Exception):
    """The agent's home cannot be used; the text is a sentence for the person and says what to do."""


class HomeUnusable(HomeError):
    """A folder of the home is missing, is not ours, or is open to other accounts."""


class HomeLocked(HomeError):
    """Another process is using the home.

    `pid` is the number that process wrote into the lock file, or None if it had not written one yet.
    """

    def __init__(self, pid: int | None) -> None:
        super().__init__(pid)
        self.pid = pid

    def __str__(self) -> str:
        if self.pid is None:
            return "Another intentcast process is already using this agent's home. Wait for it to finish, or stop it."
        if self.pid == os.getpid():
            return f"This process (pid {self.pid}) already holds the agent's home. Release that lock first."
        return (
            f"Another intentcast process (pid {self.pid}) is already using this agent's home. "
            f"Wait for it to finish, or stop it with: kill {self.pid}"
        )


@dataclass(frozen=True, slots=True)
class Home:
    """The places an agent keeps its things, all absolute; building one touches no disk."""

    config: Path
    keystore: Path
    database: Path
    lock: Path
    socket: Path
    log: Path
    exports: Path

    @property
    def folders(self) -> tuple[Path, ...]:
        """Every folder of the home, each once, parents before children."""
        files = (self.config, self.keystore, self.database, self.lock, self.socket, self.log)
        return tuple(dict.fromkeys([*(file.parent for file in files), self.exports]))

    def prepare(self) -> None:
        """Create the folders that are missing, 0700, and check the ones that are there.

        An existing folder is never chmodded: INTENTCAST_HOME may name somebody's /tmp by mistake.
        Raises HomeUnusable if a folder cannot be made, is not ours, or lets another account in.
        """
        for folder in self.folders:
            try:
                _make_folder(folder)
                os.close(_open_folder(folder))
            except OSError as error:
                raise HomeUnusable(
                    f"The folder {folder} cannot be used: {error.strerror}. "
                    "Set INTENTCAST_HOME to a folder your account may write to."
                ) from error


def find_home(env: Mapping[str, str]) -> Home:
    """Work out where the agent's things are, without touching the disk.

    `INTENTCAST_HOME` in `env`, when not empty, holds everything; a relative one is taken from the working directory.
    Otherwise the platform's config, data and state folders, which platformdirs reads from the environment of the
    process. The socket is in the state folder, never in XDG_RUNTIME_DIR: that is unset under cron and in containers,
    where platformdirs falls back to /tmp, and a login shell and a service must find the same socket. The lock lies
    beside the database, so that whoever shares the database shares the lock.
    Raises HomeUnusable if the account has no home folder and INTENTCAST_HOME is not set.
    """
    override = env.get("INTENTCAST_HOME", "")
    try:
        if override:
            config = data = state = Path(override).expanduser().absolute()
        else:
            # Here and not at the top: with INTENTCAST_HOME set nobody pays for it.
            from platformdirs import PlatformDirs  # noqa: PLC0415

            dirs = PlatformDirs("intentcast", appauthor=False)
            config, data, state = dirs.user_config_path, dirs.user_data_path, dirs.user_state_path
    except RuntimeError:
        config = data = state = Path()
    if not (config.is_absolute() and data.is_absolute() and state.is_absolute()):
        # An account without HOME or passwd entry (`docker run --user 1234`) would get a folder that is called "~".
        raise HomeUnusable("This account has no home folder. Set INTENTCAST_HOME to a folder of its own.")
    return Home(
        config=config / "config.toml",
        keystore=data / "keystore",
        database=data / "agent.db",
        lock=data / "lock",
        socket=state / "agent.sock",
        log=state / "agent.log",
        exports=data / "exports",
    )


@dataclass(slots=True)
class HomeLock:
    """The sole right to use a home, held until `release`, the end of a `with` block, or the end of the process.

    Not frozen, because it owns a descriptor that closes once. The kernel drops the lock with the last copy of that
    descriptor, so a killed process leaves no stale lock; a child that forks without exec keeps it alive.
    """

    path: Path
    _fd: int | None = field(repr=False)

    def __enter__(self) -> "HomeLock":
        return self

    def __exit__(self, *_: object) -> None:
        self.release()

    def release(self) -> None:
        """Let the next process in; a second call does nothing."""
        fd, self._fd = self._fd, None
        if fd is None:
            return
        # The file stays: unlinking it would let two processes lock two files of one name.
        try:
            os.ftruncate(fd, 0)
        finally:
            os.close(fd)


def lock_home(home: Home) -> HomeLock:
    """Take the home for this process, at once or not at all, preparing its folders first.

    Raises HomeLocked if another process, or another lock of this one, has it; HomeUnusable as `Home.prepare` does;
    OSError where the file system has no locks.
    """
    home.prepare()
    fd = os.open(home.lock, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.ftruncate(fd, 0)
        os.pwrite(fd, b"%d\n" % os.getpid(), 0)
    except BlockingIOError:
        pid = _read_pid(fd)
        os.close(fd)
        raise HomeLocked(pid) from None
    except BaseException:
        os.close(fd)
        raise
    return HomeLock(home.lock, fd)


@contextmanager
def socket_address(home: Home) -> Iterator[str]:
    """Give the path to bind or connect the agent's unix socket at; it is good inside the `with` block only.

    The folder is checked first: ours, 0700, so nobody else can have put a socket there or reach ours. A path longer
    than a socket address holds (about 104 bytes) is replaced by `/proc/self/fd/N/agent.sock`, N being that checked
    folder held open: no link, no second place, and no way to swap the folder between the check and the use. A server
    keeps the block open as long as it listens, since closing may unlink the address.
    Raises FileNotFoundError if the folder does not exist, which means no agent runs; HomeUnusable if the folder is not
    ours alone, or if the path is too long on a system without /proc.
    """
    folder = _open_folder(home.socket.parent)
    try:
        address = str(home.socket)
        if len(os.fsencode(address)) > LONGEST_SOCKET_PATH:
            if not (sys.platform == "linux" and Path(f"/proc/self/fd/{folder}").exists()):
                raise HomeUnusable(
                    f"The path {address} is too long for a socket. Set INTENTCAST_HOME to a folder with a shorter name."
                )
            address = f"/proc/self/fd/{folder}/{home.socket.name}"
        yield address
    finally:
        os.close(folder)


def sync_folder(folder: Path) -> None:
    """Put a folder's entries on the disk: what was created, renamed or removed in it survives a power cut on return."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _make_folder(folder: Path) -> None:
    """Create a folder and its missing parents, each 0700 and on the disk before its contents."""
    missing = [folder] if not folder.exists() else []
    for parent in folder.parents if missing else ():
        if parent.exists():
            break
        missing.append(parent)
    for path in reversed(missing):
        path.mkdir(mode=0o700, exist_ok=True)
        sync_folder(path.parent)


def _open_folder(folder: Path) -> int:
    """Open a folder of the home, proving on the descriptor itself that it is ours alone."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    found = os.fstat(fd)
    if found.st_uid != os.geteuid():
        os.close(fd)
        raise HomeUnusable(
            f"The folder {folder} belongs to another account. Set INTENTCAST_HOME to a new folder of yours."
        )
    if stat.S_IMODE(found.st_mode) & 0o077:
        os.close(fd)
        raise HomeUnusable(
            f"Other accounts can look into {folder}. If it is only for intentcast, run: chmod 700 '{folder}' "
            "(otherwise set INTENTCAST_HOME to a new folder, such as one beneath it)."
        )
    return fd


def _read_pid(fd: int) -> int | None:
    """Read the holder's pid, waiting a little for one that has locked but not yet written."""
    for _ in range(10):
        text = os.pread(fd, 32, 0).strip()
        if text.isdigit():
            return int(text)
        time.sleep(0.01)
    return None
