"""What the commands share: which settings are meant, and how they say what went wrong: a sentence and an exit code."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Final, NoReturn

import click

if TYPE_CHECKING:
    from intentcast_relay.config import Config

FAILURE: Final = 1
NOT_FOUND: Final = 3
UNREACHABLE: Final = 5
CONFIG: Final = "relay.toml"


def settings(path: Path | None) -> "Config":
    """Return the settings a command means: the file it names, else the one in this folder, else the defaults."""
    from intentcast_relay.config import Config, load  # noqa: PLC0415

    if path is not None:
        if not path.exists():
            fail(f"{path} does not exist. Make one with: intentcast-relay init", NOT_FOUND)
        return load(path)
    return load(Path(CONFIG)) if Path(CONFIG).exists() else Config()


@contextlib.contextmanager
def told() -> Iterator[None]:
    """Turn what an operator can mend into one sentence and exit code 1."""
    from intentcast_relay.config import ConfigError  # noqa: PLC0415
    from intentcast_relay.store.contract import StoreError  # noqa: PLC0415

    try:
        yield
    except (ConfigError, StoreError) as error:
        fail(str(error), FAILURE, error)
    except OSError as error:
        fail(f"{error.filename or 'The system'}: {error.strerror or error}.", FAILURE, error)


def fail(sentence: str, code: int, cause: Exception | None = None) -> NoReturn:
    """Say what is wrong and end the command."""
    click.echo(sentence, err=True)
    raise SystemExit(code) from cause
