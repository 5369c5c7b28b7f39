"""What went wrong, as programs and people read it: a status, a code, a sentence, what to do, whether to try again."""

import sqlite3
from dataclasses import dataclass, field
from html import escape
from typing import Any, Final

import msgspec

from intentcast_agent.api import Failed, failure
from intentcast_agent.keystore import Locked

# Statuses by the longest prefix of a code. PROTOCOL §12 says what each code means; those of this page alone begin with
# "page." and bring their own sentence and status.
_STATUS: Final = {
    "usage": 422,
    "locked": 423,
    "unreachable": 503,
    "not found": 404,
    "failure": 409,
    "damaged": 422,
    "newer": 422,
    "invalid.": 422,
    "invalid.frame.malformed": 400,
    "refused.": 409,
    "refused.auth.": 403,
    "refused.record.unknown": 404,
    "refused.rate.": 429,
    "refused.limit.": 429,
    "refused.mandate.denied": 403,
    "refused.disclosure.denied": 403,
    "refused.policy.denied": 403,
    "refused.relay.stopping": 503,
    "refused.feature.later": 501,
    "sealed.": 422,
}
_RETRYABLE: Final = frozenset({408, 425, 429, 503, 504})
_HINTS: Final = {
    404: "The list of them says which there are.",
    409: "Look at it again: it may have changed since.",
    423: "Unlock it where the agent runs, then try again.",
    429: "Wait a moment and try again.",
    503: "Nothing is lost. Try again in a moment.",
    507: "Free some space on this machine's disk, then look whether it was done.",
}


@dataclass(eq=False)
class Problem(Exception):
    """A refusal or a fault, with its HTTP status; raise it from any handler."""

    status: int
    code: str
    message: str
    hint: str = ""
    retryable: bool = field(default=False, kw_only=True)
    headers: dict[str, str] = field(default_factory=dict, kw_only=True)

    def view(self) -> dict[str, Any]:
        """Return what a program reads."""
        return {"code": self.code, "message": self.message, "hint": self.hint, "retryable": self.retryable}


def problem_of(error: Exception) -> Problem | None:
    """Return an exception of a verb as a Problem, or None for a fault of ours."""
    if isinstance(error, Problem):
        return error
    if isinstance(error, msgspec.ValidationError):
        return Problem(422, "usage", f"{error}.", "The document /api/v1/openapi.json says what is asked for.")
    if isinstance(error, sqlite3.OperationalError):
        full = "full" in str(error)
        code, status = ("internal.disk.full", 507) if full else ("internal.database", 503)
        words = "The disk is full." if full else "The agent's database cannot be used now."
        return Problem(status, code, words, _HINTS[status], retryable=status == 503)
    if isinstance(error, TimeoutError):
        return Problem(504, "internal.late", "This takes longer than a page can wait; it may still be done.",
                       "Look again in a moment.", retryable=True)  # fmt: skip
    failed = Failed("locked", str(error), 4) if isinstance(error, Locked) else failure(error)
    if failed is None:
        return None
    status = status_of(failed.code)
    return Problem(status, failed.code, str(failed), _HINTS.get(status, ""), retryable=status in _RETRYABLE)


def status_of(code: str) -> int:
    """Return the HTTP status of a code."""
    fits = [prefix for prefix in _STATUS if code.startswith(prefix)]
    return _STATUS[max(fits, key=len)] if fits else 500


def fault() -> Problem:
    """Return what is said of a fault of ours; the log says more."""
    return Problem(500, "internal.error", "Something went wrong in the agent; its log says what.",
                   "Nothing you sent is at fault. Look at its state before you try again.")  # fmt: skip


def plain_page(problem: Problem, nonce: str) -> str:
    """Return a problem as a whole page that needs nothing else: no template, no stylesheet, no script."""
    more = '<p><a href="/">If you have just opened it, continue here.</a></p>' if problem.status == 401 else ""
    return (
        '<!doctype html><html lang="en"><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<title>intentcast</title><style nonce="{escape(nonce)}">:root{{color-scheme:light dark}}'
        "body{font:1.1rem/1.5 system-ui,sans-serif;max-width:34rem;margin:4rem auto;padding:0 1rem}</style>"
        f"<main><h1>{escape(problem.message)}</h1><p>{escape(problem.hint)}</p>{more}</main></html>"
    )
