"""Questions, answers and the facts in them, for either side; what is said is kept with the session's other messages.

PROTOCOL §8.3
"""

import re
from collections.abc import Iterable, Sequence
from typing import Any, Final

from intentcast_protocol.constraint import read_path
from intentcast_protocol.errors import InvalidMessage, StateError
from intentcast_protocol.fact import Answer, Fact, read_answer, read_fact, read_question
from intentcast_protocol.negotiation import Actor
from intentcast_protocol.quantity import UNITS
from intentcast_protocol.record import Verified
from intentcast_protocol.vocabulary import read_text

from intentcast_agent.dialogue import Dialogue, read_message, say
from intentcast_agent.store import Transaction

_CODE: Final = "invalid.session.malformed"
_MEASURED = re.compile(r"(-?[0-9][0-9.]*) ([A-Z0-9]{2,3})", re.ASCII)
_ANSWERS: Final = {"yes": True, "no": False}


def parse_fact(text: str) -> Fact:
    """Read a fact as people write it: PATH=VALUE, the value perhaps followed by a space and its unit or currency.

    Raises InvalidMessage.
    """
    path, equals, value = text.partition("=")
    if not equals:
        raise InvalidMessage(_CODE, f"{text[:80]}: a fact is written PATH=VALUE")
    measured = _MEASURED.fullmatch(value)
    if measured is None:
        return read_fact({"path": path, "value": _ANSWERS.get(value, value)})
    number, code = measured.groups()
    name = "unitCode" if code in UNITS or not (len(code) == 3 and code.isalpha()) else "priceCurrency"
    return read_fact({"path": path, "value": number, name: code})


async def ask(
    tx: Transaction, dialogue: Dialogue, text: str, now: int, path: str | None = None, unit: str | None = None
) -> Verified:
    """Ask the other side, perhaps about one property; raises StateError or InvalidMessage."""
    body: dict[str, Any] = {"text": read_text(text, "the question", _CODE)}
    body |= {"path": path} if path else {}
    return await say(tx, dialogue, "question", body | ({"unitCode": unit} if unit else {}), now=now)


async def answer(
    tx: Transaction,
    dialogue: Dialogue,
    now: int,
    text: str = "",
    facts: Sequence[Fact] = (),
    waived: Iterable[str] = (),
) -> None:
    """Answer the other side's newest open question; raises StateError if nothing is asked, InvalidMessage."""
    asked = await open_questions(tx, dialogue.session.key, dialogue.role)
    if not asked:
        raise StateError("refused.session.not-now", "the other side asked nothing that is not answered yet")
    body: dict[str, Any] = {"re": asked[-1].id}
    body |= {"text": read_text(text, "the answer", _CODE)} if text else {}
    body |= {"facts": [fact.wire() for fact in facts]} if facts else {}
    body |= {"waived": sorted(read_path(path, "waived", _CODE) for path in waived)} if waived else {}
    await say(tx, dialogue, "answer", body, now=now)


async def _said(tx: Transaction, session: bytes, author: Actor, kind: str, after: int = 0) -> list[Verified]:
    """Return what one side has said with effect, in its order."""
    rows = await tx.all(
        "SELECT * FROM message WHERE session = ? AND author = ? AND type = ? AND seq > ? AND processed IS NOT NULL "
        "AND problem IS NULL ORDER BY seq",
        session, author, kind, after,
    )  # fmt: skip
    return [read_message(tx, row) for row in rows]


async def open_questions(tx: Transaction, session: bytes, role: Actor) -> list[Verified]:
    """Return the other side's questions that no answer of ours, whose role is `role`, names; oldest first."""
    theirs: Actor = "vendor" if role == "person" else "person"
    asked = await _said(tx, session, theirs, "question")
    answered = {one.body.get("re") for one in await _said(tx, session, role, "answer")}
    return [one for one in asked if one.id not in answered]


async def asked_about(tx: Transaction, dialogue: Dialogue) -> set[str]:
    """Return the paths that our side has asked about so far."""
    asked = await _said(tx, dialogue.session.key, dialogue.role, "question")
    return {path for one in asked if (path := read_question(one.body))}


async def vendor_facts(tx: Transaction, session: bytes, offer: Verified) -> tuple[Fact, ...]:
    """Return what the vendor has said about its newest offer since it was made, oldest first."""
    answers = await _said(tx, session, "vendor", "answer", offer.seq or 0)
    return tuple(fact for one in answers for fact in read_answer(one.body).facts)


async def person_answers(tx: Transaction, session: bytes) -> Answer:
    """Return all that the person has said in a session, and what they waive."""
    answers = [read_answer(one.body) for one in await _said(tx, session, "person", "answer")]
    facts = tuple(fact for one in answers for fact in one.facts)
    return Answer(facts, frozenset(path for one in answers for path in one.waived))
