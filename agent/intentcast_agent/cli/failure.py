"""Turning an exception into one sentence and an exit code."""

import os
import sqlite3
import sys
import traceback

import click

from intentcast_agent.cli.table import json_text, plain
from intentcast_agent.interrupt import SENTENCE

# Codes whose detail tells what stands in the way; the long sentence before it would hide that.
_SHORT = {"refused.session.not-now": "Not now", "refused.record.unknown": "Not found"}


def explain(error: BaseException, *, as_json: bool) -> int:
    """Print what went wrong for a person, or as ``{"error": …}`` for a program; return the exit code."""
    code, message, exit_code = _read(error)
    if as_json:
        print(json_text({**getattr(error, "result", {}), "error": {"code": code, "message": message}}))
    elif isinstance(error, click.exceptions.NoArgsIsHelpError):
        print(message, file=sys.stderr)
    else:
        # The words may quote a vendor or a relay.
        print("intentcast:", "\n".join(plain(line, 2_000) for line in message.splitlines()), file=sys.stderr)
    return exit_code


def _read(error: BaseException) -> tuple[str, str, int]:
    from intentcast_agent.api import Failed, failure  # noqa: PLC0415
    from intentcast_agent.home import HomeError  # noqa: PLC0415
    from intentcast_agent.keystore import Locked  # noqa: PLC0415
    from intentcast_agent.passphrase import PassphraseRefused  # noqa: PLC0415

    if isinstance(error, KeyboardInterrupt | click.Abort):
        return "interrupted", SENTENCE, 130
    if isinstance(error, click.ClickException):
        return "usage", _usage(error), error.exit_code
    if isinstance(error, HomeError | Locked | PassphraseRefused):
        return "locked", str(error), 4
    known = error if isinstance(error, Failed) else failure(error) if isinstance(error, Exception) else None
    if known:
        exit_code = 3 if known.code == "refused.record.unknown" else known.exit_code
        return known.code, _detail(known.code, str(known)), exit_code
    if isinstance(error, OSError):
        return "failure", f"{error.strerror or error}: {error.filename}" if error.filename else str(error), 1
    if isinstance(error, sqlite3.Error):
        return "failure", f"The agent's database cannot be used: {error}. See: intentcast doctor", 1
    return _read_ours(error)


def _usage(error: click.ClickException) -> str:
    help_alone = isinstance(error, click.exceptions.NoArgsIsHelpError)
    where = isinstance(error, click.UsageError) and error.ctx and not help_alone
    return error.format_message() + (f"\n{error.ctx.get_usage()}" if where else "")  # type: ignore[attr-defined]


def _detail(code: str, message: str) -> str:
    from intentcast_protocol.errors import CODES  # noqa: PLC0415

    sentence = f"{CODES[code]} (" if code in _SHORT else ""
    if not sentence or not message.startswith(sentence):
        return message
    return f"{_SHORT[code]}: {message.removeprefix(sentence).removesuffix(')')}."


def _read_ours(error: BaseException) -> tuple[str, str, int]:
    """Read an exception of a module that only some verbs load."""
    from intentcast_agent.columns import ColumnDamaged  # noqa: PLC0415
    from intentcast_agent.keystore import KeystoreError  # noqa: PLC0415
    from intentcast_agent.settings import SettingsError  # noqa: PLC0415
    from intentcast_agent.store import StoreNewer  # noqa: PLC0415

    if isinstance(error, KeystoreError | SettingsError | StoreNewer | ColumnDamaged):
        return "failure", str(error), 1
    if os.environ.get("INTENTCAST_DEBUG"):
        traceback.print_exception(error)
    name = type(error).__name__
    return "internal.error", f"This is a fault in intentcast ({name}: {error}). INTENTCAST_DEBUG=1 shows where.", 1
