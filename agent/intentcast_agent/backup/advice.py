"""When to remind a person of their backup. A rule over values: what to say is the same on every face."""

from typing import Final

DAY: Final = 86_400
STALE: Final = 30  # days


def advise(last: int | None, now: int, *, anything: bool) -> str | None:
    """Return a sentence where a backup is due, or None.

    `last` is when the last one was made, in seconds; `anything` says whether there is something to lose by now.
    """
    if not anything:
        return None
    if last is None:
        return "No backup yet. Make one: intentcast backup create FILE"
    days = (now - last) // DAY
    if days <= STALE:
        return None
    return f"The last backup was {days} days ago. Make one: intentcast backup create FILE"
