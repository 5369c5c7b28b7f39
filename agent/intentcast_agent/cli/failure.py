"""Turning an exception into one sentence and an exit code."""

import json
import os
import sys
import traceback

import click


def explain(error: BaseException, *, as_json: bool) -> int:
    """Print what went wrong for a person, or as ``{"error": …}`` for a program; return the exit code."""
    code, message, exit_code = _read(error)
    if as_json:
        print(json.dumps({"error": {"code": code, "message": message}}))
    else:
        print(f"intentcast: {message}", file=sys.stderr)
    return exit_code


def _read(error: BaseException) -> tuple[str, str, int]:  # noqa: PLR0911 (one line a kind)
    from intentcast_agent.api import Failed, failure  # noqa: PLC0415
    from intentcast_agent.home import HomeError  # noqa: PLC0415
    from intentcast_agent.keystore import KeystoreError, KeystoreMissing, Locked  # noqa: PLC0415
    from intentcast_agent.passphrase import PassphraseRefused  # noqa: PLC0415
    from intentcast_agent.settings import SettingsError  # noqa: PLC0415

    if isinstance(error, KeyboardInterrupt | click.Abort):
        return "interrupted", "Stopped. Nothing is lost: what was signed is kept, and goes on when you come back.", 130
    if isinstance(error, click.exceptions.Exit):
        return "exit", "", error.exit_code
    if isinstance(error, click.ClickException):
        where = f"\n{error.ctx.get_usage()}" if isinstance(error, click.UsageError) and error.ctx else ""
        return "usage", error.format_message() + where, error.exit_code
    if isinstance(error, Failed):
        return error.code, str(error), error.exit_code
    if isinstance(error, Locked | PassphraseRefused):
        return "locked", str(error), 4
    if isinstance(error, KeystoreMissing):
        return "missing", f"{error} Set this agent up first: intentcast init", 3
    if isinstance(error, HomeError):
        return "locked", str(error), 4
    if isinstance(error, KeystoreError | SettingsError | click.FileError):
        return "failure", str(error), 1
    known = failure(error) if isinstance(error, Exception) else None
    if known:
        return known.code, str(known), known.exit_code
    if isinstance(error, OSError):
        return "failure", f"{error.strerror or error}: {error.filename}" if error.filename else str(error), 1
    if os.environ.get("INTENTCAST_DEBUG"):
        traceback.print_exception(error)
    return _other(error)


def _other(error: BaseException) -> tuple[str, str, int]:
    name = type(error).__name__
    if name in ("PolicyError", "FeedUnreadable", "StoreNewer", "ColumnDamaged", "MappingError"):
        return "failure", str(error), 1
    return "internal.error", f"This is a fault in intentcast ({name}: {error}). INTENTCAST_DEBUG=1 shows where.", 1
