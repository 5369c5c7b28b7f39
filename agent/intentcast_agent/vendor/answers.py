"""What a vendor says beside its offers: answers from stock or by hand, a change to an agreement, the delivery.

The verbs are functions from JSON to JSON, as all are; `VendorVerbs` has them too. PROTOCOL §8.3, §8.6
"""

import json
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any

from intentcast_protocol.constraint import Fit, find
from intentcast_protocol.demand import Demand
from intentcast_protocol.errors import InvalidMessage, StateError
from intentcast_protocol.fact import Answer, Fact, fact_of, fill, read_question, waive
from intentcast_protocol.negotiation import Session, State, permits
from intentcast_protocol.offer import read_offer
from intentcast_protocol.record import Verified
from intentcast_protocol.vocabulary import write_price

from intentcast_agent import talk
from intentcast_agent.counter import with_total
from intentcast_agent.dialogue import Dialogue, find_message, read_dialogue, say
from intentcast_agent.names import find_named
from intentcast_agent.settings import policy_path
from intentcast_agent.store import Row, Transaction
from intentcast_agent.vendor.match import Match, about_item
from intentcast_agent.vendor.policy import read_policy
from intentcast_agent.view import Json, text_of

if TYPE_CHECKING:
    from intentcast_agent.agent import Agent

_OPEN = (State.OFFERED, State.COUNTERED, State.LAPSED)


def facts_of(item: Row, question: Verified) -> tuple[Fact, ...]:
    """Return what an item of the stock states under the path that a question is about."""
    path = read_question(question.body)
    values = find({"itemOffered": json.loads(item["item"])}, path) if path else []
    fact = fact_of(path, values[0]) if path and values else None
    return (fact,) if fact else ()


def not_waived(found: Match, demand: Demand, said: Answer) -> bool:
    """Say whether an item leaves a must-have unknown that the person, who was asked, has not waived. PROTOCOL §8.3"""
    settled = about_item(waive(demand, said.waived)).judge({"itemOffered": found.item.item})
    return found.judgement.fit is Fit.ASKS and settled.fit is Fit.FAILS


class AnswerVerbs:
    """The vendor's verbs on its sessions, which are called o1, o2 … as a person's offers are."""

    agent: "Agent"

    async def vendor_question_list(self) -> Json:
        """List what persons have asked and nobody has answered yet, oldest first."""
        seed = self.agent.keystore.get("vendor")
        questions: list[Json] = []
        async with self.agent.store.reading() as tx:
            for row in await tx.all("SELECT * FROM session WHERE role = 'vendor' ORDER BY number"):
                dialogue = await read_dialogue(tx, row, seed)
                item = await self._item_name(tx, dialogue.session)
                questions += [
                    {"session": f"o{row['number']}", "state": str(dialogue.session.state), "item": item,
                     "text": text_of(asked), "path": read_question(asked.body), "unit": asked.body.get("unitCode"),
                     "at": asked.created}
                    for asked in await talk.open_questions(tx, dialogue.session.key, dialogue.role)
                ]  # fmt: skip
        return {"questions": questions, "total": len(questions)}

    async def vendor_answer(self, session: str, text: str = "", facts: list[str] | None = None) -> Json:
        """Answer a person's question; facts also go into a new offer of the same item, which replaces the last."""
        stated = [talk.parse_fact(fact) for fact in facts or ()]
        async with self.agent.store.transaction() as tx:
            now = self.agent.now()
            dialogue = await self._vendor_dialogue(tx, session)
            await talk.answer(tx, dialogue, now, text, stated)
            last = await find_message(tx, dialogue.session.offer or b"")
            if (
                stated
                and last
                and dialogue.session.state in _OPEN
                and permits(dialogue.session, "vendor", "offer", now)
            ):
                item = fill(last.body["itemOffered"], stated)
                await self._offer_as(tx, dialogue, last, {"itemOffered": item}, dialogue.session.demand_expires, now)
        return await self._vendor_sent(session)

    async def vendor_amend(self, session: str, total: str) -> Json:
        """Offer another total for what was agreed; the agreement stands until the person accepts and this confirms."""
        async with self.agent.store.transaction() as tx:
            dialogue = await self._vendor_dialogue(tx, session)
            standing = dialogue.session
            last = await find_message(tx, await _agreed_offer(tx, standing))
            if last is None:
                raise StateError("refused.session.not-now", "there is no agreement to amend")
            price = read_offer(last).price
            changes = {"priceSpecification": write_price(with_total(price, _amount(total))), "amends": standing.confirm}
            now = self.agent.now()
            await self._offer_as(tx, dialogue, last, changes, now + 30 * 86_400, now)
        return await self._vendor_sent(session)

    async def vendor_deliver(self, session: str, text: str = "") -> Json:
        """Tell the person that what was agreed is delivered."""
        async with self.agent.store.transaction() as tx:
            dialogue = await self._vendor_dialogue(tx, session)
            await say(tx, dialogue, "fulfil", {"text": text} if text else {}, now=self.agent.now())
        return await self._vendor_sent(session)

    async def _offer_as(
        self, tx: Transaction, dialogue: Dialogue, last: Verified, changes: dict[str, Any], latest: int, now: int
    ) -> None:
        """Make an offer like another one but for some changes, for as long as the policy lets offers stand."""
        policy = read_policy(policy_path(self.agent.home).read_text(encoding="utf-8"))
        until = min(now + policy.validity, latest)
        kept = {name: value for name, value in last.body.items() if name not in ("reply", "amends")}
        await say(tx, dialogue, "offer", {**kept, **changes, "validThrough": until}, now=now, expires=until)

    async def _vendor_dialogue(self, tx: Transaction, session: str) -> Dialogue:
        row = await find_named(tx, "session", session, "o")
        if row["role"] != "vendor":
            raise StateError("refused.session.not-now", "this home is the person of that session")
        return await read_dialogue(tx, row, self.agent.keystore.get("vendor"))

    async def _vendor_sent(self, session: str) -> Json:
        await self.agent.go_online()
        self.agent.pool.poke(b"")
        async with self.agent.store.reading() as tx:
            dialogue = await self._vendor_dialogue(tx, session)
            item = await self._item_name(tx, dialogue.session)
        return {"session": session, "state": str(dialogue.session.state), "turn": dialogue.session.turn, "item": item}

    async def _item_name(self, tx: Transaction, session: Session) -> str | None:
        offer = await find_message(tx, session.offer or b"")
        name = offer.body["itemOffered"].get("name") if offer else None
        return name if isinstance(name, str) else None


async def _agreed_offer(tx: Transaction, session: Session) -> bytes:
    accept = await find_message(tx, session.confirmed or b"")
    return accept.body["offer"] if accept else b""


def _amount(text: str) -> Decimal:
    try:
        return Decimal(text)
    except InvalidOperation:
        raise InvalidMessage("invalid.offer.malformed", f"{text[:40]} is not an amount") from None
