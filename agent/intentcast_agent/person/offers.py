"""What a person's agent can be asked about offers: list, view and compare them, and by which criteria.

Functions from JSON to JSON, as all verbs are; `Service` is these, the deals' and the vendor's. The rules are in
`compare`, the words in `explain`.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from types import MappingProxyType
from typing import TYPE_CHECKING

from intentcast_protocol.demand import Demand, read_demand
from intentcast_protocol.fact import Fact, read_question, stated
from intentcast_protocol.identity import cid, did
from intentcast_protocol.negotiation import tick
from intentcast_protocol.offer import read_offer
from intentcast_protocol.record import decode_record, verify
from intentcast_protocol.subscription import CATEGORY

from intentcast_agent import talk
from intentcast_agent.dialogue import find_message, read_snapshot
from intentcast_agent.evidence import domain_view
from intentcast_agent.names import find_named
from intentcast_agent.person import docket
from intentcast_agent.person.compare import Comparison, Entry, compare
from intentcast_agent.person.criteria import Criteria
from intentcast_agent.person.criteriafile import CriteriaError, read_criteria, read_unknown, read_weights, weigh
from intentcast_agent.person.explain import comparison_view, place_view
from intentcast_agent.person.moves import list_moves, standing_view
from intentcast_agent.person.presets import longest, preset
from intentcast_agent.store import Row, Transaction
from intentcast_agent.view import Json, attributes_of, details, fit_of, terms_of, text_of
from intentcast_agent.witness import describe, read_keys, witnesses

if TYPE_CHECKING:
    from intentcast_agent.agent import Agent

PINNED = 5  # offers put side by side
_EXPLAINED = 50  # offers of which is said what would make them win, where all are asked for
_KEPT = "criteria"  # the private cell
_CATEGORIES = 100
_LOOK_AGAIN = 2  # s after which what relays attest is looked at anew, though nothing has changed


@dataclass(frozen=True, slots=True)
class InForce:
    """The criteria that apply to a category: which one they are kept for, whether by the person, and their text."""

    category: str
    own: bool
    text: str = field(repr=False)

    @property
    def criteria(self) -> Criteria:
        """Return them checked; raises CriteriaError."""
        return read_criteria(self.text)


async def criteria_for(tx: Transaction, category: str) -> InForce:
    """Return the person's own criteria for a category, by the longest of its prefixes, or those that come with us."""
    kept = await tx.get_private(_KEPT) or {}
    own = longest(category, kept)
    if own is not None:
        return InForce(own, True, kept[own])
    shipped, text = preset(category)
    return InForce(shipped, False, text)


@dataclass(frozen=True, slots=True)
class Look:
    """A session as a list shows it, and its offer as it is compared."""

    view: Json
    demand: Demand
    entry: Entry | None
    said: tuple[Fact, ...] = ()  # by the vendor in an answer, beside what its offer states


class OfferVerbs:
    """The person's verbs on offers and criteria."""

    agent: "Agent"
    # What `_looks` last found by demand, in which state of the database and when: a slider asks many times a second.
    _seen: tuple[tuple[int, int], dict[bytes | None, list[Look]]] = ((0, 0), {})

    async def offer_list(self, demand: str | None = None) -> Json:
        """List offers, best first by the person's criteria, those of the newest demand before others; and refusals."""
        async with self.agent.store.reading() as tx:
            found = await find_named(tx, "demand", demand, "d") if demand else None
            looks = await self._looks(tx, found)
            compared = [await self._compare(tx, group) for group in _by_demand(looks)]
            refused = await _refused(tx, found)
        offers = [offer for group in compared for offer in _listed(*group)]
        return {"offers": offers, "rejected": refused, "total": len(offers)}

    async def offer_compare(
        self, demand: str, unknown: str | None = None, every: bool = False, weights: str = ""
    ) -> Json:  # fmt: skip
        """Put a demand's offers side by side: musts, cost, each criterion, and what would make another win.

        For this look alone, `unknown` overrides how what is not stated counts, 0 (worst) to 1 (best), and `weights` how
        much each criterion does, as ``total=6,mileage=3``; `every` explains more than PINNED. What nobody states is
        'not stated', never zero. Raises CriteriaError.
        """
        low, other = None if unknown is None else read_unknown(unknown), read_weights(weights)
        async with self.agent.store.reading() as tx:
            found = await find_named(tx, "demand", demand, "d")
            looks = await self._looks(tx, found)
            refused = await _refused(tx, found)
            force = await criteria_for(tx, read_demand(verify(decode_record(found["record"]))).category)
            groups = _by_demand(looks)
            group = await self._compare(tx, groups[0], low, other) if groups else None
        offers = _listed(*group) if group else []
        view: Json = {"winner": None, "why": "", "notes": [], "criteria": [], "currency": None, "per": None}
        if group:
            comparison = group[1]
            view = comparison_view(comparison)
            explained = _EXPLAINED if every else PINNED
            told = {one.entry.name: place_view(comparison, one, explained=one.rank <= explained)
                    for one in comparison.places}  # fmt: skip
            for offer in offers:
                offer["comparison"] = told.get(offer["name"])
        rows: dict[str, dict[str, str]] = {}
        names = [look.entry.name for look in looks if look.entry]
        for look in looks:
            if look.entry:
                for path, value in attributes_of(look.entry.offer.item).items():
                    rows.setdefault(path, {})[look.entry.name] = value
        table = {path: {name: values.get(name, "not stated") for name in names} for path, values in rows.items()}
        by = {"category": force.category, "own": force.own}
        return {**view, "by": by, "offers": offers, "attributes": table, "rejected": refused, "total": len(names)}

    async def offer_view(self, offer: str) -> Json:
        """Show one session: the standing offer with each part of its price, every must-have, and all messages."""
        async with self.agent.store.reading() as tx:
            row = await find_named(tx, "session", offer, "o")
            look = await self._look(tx, row, read_demand(verify(decode_record(row["demand_record"]))))
            view = look.view
            if look.entry:
                view |= details(look.entry.offer, look.demand, look.entry.body, stated(look.said))
            view["said"] = [fact.wire() for fact in look.said]
            session = tick(read_snapshot(tx, row), self.agent.now())
            view |= standing_view(session, look.entry.offer if look.entry else None, self.agent.now())
            view["messages"] = await list_moves(tx, row)
            view["questions"] = [
                {"text": text_of(asked), "path": read_question(asked.body), "unit": asked.body.get("unitCode"),
                 "at": asked.created}
                for asked in await talk.open_questions(tx, session.key, "person")
            ]  # fmt: skip
            view |= await _around(tx, row, look.demand)
            told = await tx.all("SELECT attribute, decision, reason, at FROM ledger WHERE session = ?", row["key"])
            view["disclosed"] = [dict(one) for one in told]
            rested = await tx.all("SELECT decision, reason, at FROM acceptance WHERE session = ?", row["key"])
            view["accepted"] = [dict(one) for one in rested]
        return view

    async def _looks(self, tx: Transaction, demand: Row | None) -> list[Look]:
        state, name = (tx.changes, self.agent.now() // _LOOK_AGAIN), bytes(demand["id"]) if demand else None
        if self._seen[0] != state:
            self._seen = state, {}
        found = self._seen[1]
        if name not in found:
            found[name] = await self._look_all(tx, demand)
        return found[name]

    async def _look_all(self, tx: Transaction, demand: Row | None) -> list[Look]:
        if demand:
            rows = await tx.all("SELECT * FROM session WHERE role = 'person' AND demand = ?", demand["id"])
        else:
            rows = await tx.all("SELECT * FROM session WHERE role = 'person'")
        # A demand's own signature is proven once, not once for every session about it.
        demands = {
            record: read_demand(verify(decode_record(record))) for record in {row["demand_record"] for row in rows}
        }
        return [await self._look(tx, row, demands[row["demand_record"]]) for row in rows]

    async def _look(self, tx: Transaction, row: Row, demand: Demand) -> Look:
        session, name = tick(read_snapshot(tx, row), self.agent.now()), f"o{row['number']}"
        message = await find_message(tx, session.offer or b"")
        entry, seen = None, []
        said: tuple[Fact, ...] = ()
        if message:
            offer = read_offer(message)
            said = await talk.vendor_facts(tx, session.key, message)
            entry = Entry(name, offer, message.body, demand.judge(message.body, stated(said)), session.state)
            keys = await read_keys(tx, json.loads(row["relays"]))
            seen = [relay for relay, _ in witnesses(message, offer, keys, at=self.agent.now())]
        view: Json = {
            "name": name,
            "session": did(session.key),
            "vendor": session.vendor_name or "unknown",
            "vendor_key": did(session.vendor),
            "domain": domain_view(entry.offer if entry else None, seen),
            "witnesses": len(seen),
            "witnessed": describe(entry.offer.seller.domain, len(seen)) if entry else None,
            "state": str(session.state),
            "turn": session.turn,
            "deadline": session.deadline,
            "rounds": session.rounds,
            "demand": cid(session.demand),
        }
        terms = terms_of(entry.offer if entry else None, entry.judgement if entry else None)
        return Look(view | terms, demand, entry, said)

    async def _compare(
        self,
        tx: Transaction,
        looks: Sequence[Look],
        unknown: float | None = None,
        weights: Mapping[str, Decimal] = MappingProxyType({}),
    ) -> tuple[Sequence[Look], Comparison]:
        demand = looks[0].demand
        criteria = weigh((await criteria_for(tx, demand.category)).criteria, weights)
        if unknown is not None:
            plain = tuple(replace(one, unknown=None) for one in criteria.criteria)
            criteria = replace(criteria, criteria=plain, unknown=unknown)
        entries = [look.entry for look in looks if look.entry]
        reserve = await reserve_of(tx, demand)
        return looks, compare(demand, entries, criteria, self.agent.now(), reserve=reserve)

    # Criteria

    async def criteria_view(self, category: str = "") -> Json:
        """Show the criteria in force for a category, as text to edit."""
        _check_category(category)
        async with self.agent.store.reading() as tx:
            force = await criteria_for(tx, category)
            kept = await tx.get_private(_KEPT) or {}
        return {"category": force.category, "own": force.own, "text": force.text, "kept": sorted(kept)}

    async def criteria_set(self, text: str, category: str = "") -> Json:
        """Keep a person's criteria for a category and all below it; raises CriteriaError naming the key."""
        _check_category(category)
        if not isinstance(text, str):
            raise CriteriaError("", "Criteria are text in TOML.")
        read_criteria(text)
        async with self.agent.store.transaction() as tx:
            kept = (await tx.get_private(_KEPT) or {}) | {category: text}
            if len(kept) > _CATEGORIES:
                raise CriteriaError("", f"Criteria are kept for at most {_CATEGORIES} categories.")
            await tx.put_private(_KEPT, kept)
        return await self.criteria_view(category)

    async def criteria_reset(self, category: str = "") -> Json:
        """Forget a person's own criteria for a category; those of a wider one, or that come with us, apply again."""
        _check_category(category)
        async with self.agent.store.transaction() as tx:
            kept = await tx.get_private(_KEPT) or {}
            kept.pop(category, None)
            await tx.put_private(_KEPT, kept)
        return await self.criteria_view(category)


def _check_category(category: object) -> None:
    if not isinstance(category, str) or (category and not CATEGORY.fullmatch(category)):
        raise CriteriaError("category", "write a path of slugs such as services/home/plumbing.")


async def reserve_of(tx: Transaction, demand: Demand) -> tuple[Decimal, str] | None:
    """Return the private most a person would pay for a demand, if they set one."""
    row = await tx.one("SELECT private FROM demand WHERE id = ?", demand.id)
    private = json.loads(tx.open("demand", "private", demand.id, row["private"])) if row and row["private"] else {}
    return (Decimal(private["reserve"]), private["currency"]) if "reserve" in private else None


async def _around(tx: Transaction, row: Row, demand: Demand) -> Json:
    """Return what a session stands in: its demand, its agreement if there is one, and whether an agent haggles."""
    wanted = await tx.one("SELECT number, state FROM demand WHERE id = ?", demand.id)
    agreed = await tx.one("SELECT number FROM agreement WHERE session = ?", row["key"])
    sql = "SELECT number FROM session WHERE demand = ? AND key != ? AND state IN ('accepted', 'conflict', 'disputed')"
    bound = await tx.all(sql, demand.id, row["key"])
    case = await docket.find(tx, demand.id)
    return {
        "role": row["role"],
        "bound": [f"o{one['number']}" for one in bound],  # other offers that may bind the person
        "title": demand.name,
        "demand_name": f"d{wanted['number']}" if wanted else None,
        "demand_state": wanted["state"] if wanted else None,
        "agreement": f"a{agreed['number']}" if agreed else None,
        "haggling": case is not None and case.state == docket.AT_WORK,
    }


async def _refused(tx: Transaction, demand: Row | None) -> list[Json]:
    if demand:
        rows = await tx.all("SELECT * FROM rejected WHERE demand = ? ORDER BY at", demand["id"])
    else:
        rows = await tx.all("SELECT * FROM rejected ORDER BY at")
    return [
        {"vendor": row["claimed"] or "unknown", "code": row["code"], "detail": row["detail"], "at": row["at"]}
        for row in rows
    ]


def _by_demand(looks: Sequence[Look]) -> list[list[Look]]:
    """Return looks in groups of one demand each, the newest first."""
    groups: dict[bytes, list[Look]] = {}
    for look in looks:
        groups.setdefault(look.demand.id, []).append(look)
    return sorted(groups.values(), key=lambda group: -group[0].demand.created)


def _listed(looks: Sequence[Look], comparison: Comparison) -> list[Json]:
    """Return the views of one demand's sessions in order: ranked, put aside, not offered yet."""
    told: dict[str, Json] = {
        one.entry.name: {"rank": one.rank, "score": round(one.score, 4), "aside": None, **fit_of(one.entry.judgement)}
        for one in comparison.places
    }
    told |= {one.entry.name: {"rank": None, "score": None, "aside": one.why} for one in comparison.asides}
    views = {look.view["name"]: look.view for look in looks}
    none = {"rank": None, "score": None, "aside": None}
    return [views[name] | told.get(name, none) for name in [*told, *(name for name in views if name not in told)]]
