"""What a form sends: its fields, bounded, and its one act, done once however often it is sent."""

from collections.abc import Awaitable, Callable, Iterator
from typing import Any, Final
from urllib.parse import urlencode

from aiohttp import web

from intentcast_agent.web.keys import REPEATS
from intentcast_agent.web.problem import Problem

MAX_FIELDS: Final = 200
MAX_FIELD: Final = 8_000  # characters of one field


class Form:
    """The fields of a form as text, without the white space around; a field that was not sent is empty."""

    def __init__(self, pairs: list[tuple[str, str]]) -> None:
        if len(pairs) > MAX_FIELDS or any(len(name) > 200 or len(text) > MAX_FIELD for name, text in pairs):
            raise Problem(413, "page.body.large", "This form is longer than any of ours.", "Send less at once.")
        # A form's line ends are two characters, whatever was typed.
        self.pairs = [(name, text.replace("\r\n", "\n").strip()) for name, text in pairs]

    def __getitem__(self, name: str) -> str:
        return next((text for key, text in self.pairs if key == name), "")

    def __contains__(self, name: str) -> bool:
        return any(key == name for key, _ in self.pairs)

    def all(self, name: str) -> list[str]:
        """Return every value of a field that may come more than once."""
        return [text for key, text in self.pairs if key == name]

    def below(self, prefix: str) -> Iterator[tuple[str, str]]:
        """Yield the fields whose names begin so, without that beginning."""
        yield from ((key.removeprefix(prefix), text) for key, text in self.pairs if key.startswith(prefix))

    def address(self, *without: str) -> str:
        """Return the fields as the query of an address, with a closing ``&`` where there are any."""
        kept = [(name, text) for name, text in self.pairs if name not in without]
        return f"{urlencode(kept)}&" if kept else ""


async def read_form(request: web.Request) -> Form:
    """Read a posted form; raises Problem for one that is too large."""
    return Form([(name, value) for name, value in (await request.post()).items() if isinstance(value, str)])


def read_query(request: web.Request) -> Form:
    """Read what a form asked by its address; raises Problem for one that is too large."""
    return Form(list(request.query.items()))


async def do_once(request: web.Request, act: Callable[[], Awaitable[Any]]) -> Any:
    """Do a form's act, or return what came of it when the same form was sent before. Raises what the act raises."""
    key = (await read_form(request))["key"] or None
    return await request.app[REPEATS].once(key, (request.method, request.path, await request.read()), act)
