"""Where a session stands, and what each side may send there: one table for both sides.

`TABLE` lists every (state, actor, type); what a message must say beside that is the guards' part, in `negotiation`.
PROTOCOL §8.4
"""

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Final, Literal

from intentcast_protocol.record import SESSION_TYPES

Actor = Literal["person", "vendor"]
ACTORS: Final[tuple[Actor, Actor]] = ("person", "vendor")


class State(StrEnum):
    """Where a session stands."""

    SEEN = "seen"
    ASKING = "asking"
    OFFERED = "offered"
    COUNTERED = "countered"
    ACCEPTED = "accepted"
    AGREED = "agreed"
    AMENDING = "amending"
    REACCEPTED = "reaccepted"
    FULFILLED = "fulfilled"
    LAPSED = "lapsed"
    DECLINED = "declined"
    WITHDRAWN = "withdrawn"
    EXPIRED = "expired"
    CONFLICT = "conflict"
    DISPUTED = "disputed"


# What changes the state. (state, actor) -> {type: next state}
_MOVES: Final[dict[tuple[State, Actor], dict[str, State]]] = {
    (State.SEEN, "vendor"): {"question": State.ASKING, "offer": State.OFFERED, "decline": State.DECLINED},
    (State.SEEN, "person"): {"decline": State.DECLINED},
    (State.ASKING, "vendor"): {"offer": State.OFFERED, "decline": State.DECLINED},
    (State.ASKING, "person"): {"answer": State.SEEN, "decline": State.DECLINED},
    (State.OFFERED, "vendor"): {"offer": State.OFFERED, "withdraw": State.WITHDRAWN, "decline": State.DECLINED},
    (State.OFFERED, "person"): {"counter": State.COUNTERED, "accept": State.ACCEPTED, "decline": State.DECLINED},
    (State.COUNTERED, "vendor"): {"offer": State.OFFERED, "withdraw": State.WITHDRAWN, "decline": State.DECLINED},
    (State.COUNTERED, "person"): {"counter": State.COUNTERED, "accept": State.ACCEPTED, "decline": State.DECLINED},
    # A new offer, a withdrawal, a refusal or a problem about the accept all say: this accept will not be confirmed.
    (State.ACCEPTED, "vendor"): {
        "confirm": State.AGREED, "offer": State.OFFERED, "withdraw": State.WITHDRAWN, "decline": State.DECLINED,
        "problem": State.OFFERED,
    },
    (State.ACCEPTED, "person"): {"withdraw": State.WITHDRAWN},
    # The accept's withdrawal crossed its confirm: each side keeps both, and people must talk.
    (State.AGREED, "person"): {"withdraw": State.CONFLICT, "fulfil": State.FULFILLED, "dispute": State.DISPUTED},
    (State.AGREED, "vendor"): {"offer": State.AMENDING, "dispute": State.DISPUTED},
    # An amendment: the agreement stands, whatever becomes of it, until the confirm that replaces it.
    (State.AMENDING, "person"): {
        "accept": State.REACCEPTED, "decline": State.AGREED, "withdraw": State.CONFLICT, "fulfil": State.FULFILLED,
        "dispute": State.DISPUTED,
    },
    (State.AMENDING, "vendor"): {"offer": State.AMENDING, "withdraw": State.AGREED, "dispute": State.DISPUTED},
    (State.REACCEPTED, "person"): {"fulfil": State.FULFILLED, "dispute": State.DISPUTED},
    (State.REACCEPTED, "vendor"): {
        "confirm": State.AGREED, "offer": State.AMENDING, "withdraw": State.AGREED, "problem": State.AMENDING,
        "dispute": State.DISPUTED,
    },
    (State.FULFILLED, "person"): {"dispute": State.DISPUTED},
    (State.FULFILLED, "vendor"): {"dispute": State.DISPUTED},
    (State.LAPSED, "vendor"): {"offer": State.OFFERED, "decline": State.DECLINED, "withdraw": State.WITHDRAWN},
    (State.LAPSED, "person"): {"decline": State.DECLINED},
    (State.CONFLICT, "person"): {"dispute": State.DISPUTED},
    (State.CONFLICT, "vendor"): {"dispute": State.DISPUTED},
}  # fmt: skip
# A confirm of an accept that the vendor or the person had already ended.
for _state in (State.OFFERED, State.COUNTERED, State.LAPSED, State.DECLINED, State.WITHDRAWN, State.EXPIRED):
    _MOVES.setdefault((_state, "vendor"), {})["confirm"] = State.CONFLICT

# Before an accept; the clock ends these with the demand.
OPEN: Final = (State.SEEN, State.ASKING, State.OFFERED, State.COUNTERED, State.LAPSED)
# An agreement is in force.
IN_FORCE: Final = (State.AGREED, State.AMENDING, State.REACCEPTED, State.FULFILLED)
_AFTER: Final = (*IN_FORCE, State.CONFLICT, State.DISPUTED)
# What leaves the state alone. type -> (states, actors)
_STAYS: Final[dict[str, tuple[tuple[State, ...], tuple[Actor, ...]]]] = {
    **{kind: (tuple(State), ACTORS) for kind in ("ack", "resume", "notice", "problem", "rights", "feedback")},
    "question": ((*OPEN, State.ACCEPTED, *_AFTER), ACTORS),
    "answer": ((*OPEN, State.ACCEPTED, *_AFTER), ACTORS),
    "disclose": ((State.OFFERED, State.COUNTERED, State.ACCEPTED, *_AFTER), ("person",)),
    "fulfil": ((State.AGREED, State.AMENDING, State.REACCEPTED), ("vendor",)),
    # Of an amendment's accept: signed in time, it is good whenever it arrives.
    "confirm": ((State.AGREED, State.FULFILLED, State.DISPUTED), ("vendor",)),
}


def _table() -> Mapping[tuple[State, Actor, str], State | None]:
    table: dict[tuple[State, Actor, str], State | None] = {}
    for state in State:
        for actor in ACTORS:
            for kind in sorted(SESSION_TYPES):
                states, actors = _STAYS.get(kind, ((), ()))
                stays = state if state in states and actor in actors else None
                table[state, actor, kind] = _MOVES.get((state, actor), {}).get(kind, stays)
    return MappingProxyType(table)


# (state, actor, type) -> the next state, or None where the act is refused.
TABLE: Final = _table()
# What may still be sent in a session with an equivocation. PROTOCOL §8.2
FROZEN: Final = frozenset({"dispute", "problem", "notice", "resume"})

# Whose move a state waits for, and until when: the offer's end, the deadline to confirm, or the demand's end.
TURN: Final[dict[State, tuple[Actor | None, Literal["offer", "accept", "demand"] | None]]] = {
    State.SEEN: ("vendor", "demand"),
    State.ASKING: ("person", "demand"),
    State.OFFERED: ("person", "offer"),
    State.COUNTERED: ("vendor", "offer"),
    State.ACCEPTED: ("vendor", "accept"),
    State.AGREED: ("vendor", None),
    State.AMENDING: ("person", "offer"),
    State.REACCEPTED: ("vendor", "accept"),
    State.LAPSED: ("vendor", "demand"),
    **dict.fromkeys((State.FULFILLED, State.DECLINED, State.WITHDRAWN, State.EXPIRED), (None, None)),
    State.CONFLICT: ("person", None),
    State.DISPUTED: (None, None),
}


def write_table() -> str:
    """Draw TABLE as Markdown for PROTOCOL §8.4: what each side may send in each state, and what it leads to."""
    lines = ["| state | person may send | vendor may send | acts next |", "|---|---|---|---|"]
    for state in State:
        cells = []
        for actor in ACTORS:
            moves = {kind: TABLE[state, actor, kind] for kind in sorted(SESSION_TYPES)}
            changes = [f"{kind} → {target}" for kind, target in moves.items() if target not in (None, state)]
            stays = [kind for kind, target in moves.items() if target is state]
            cells.append("; ".join([*changes, ", ".join(stays)]) if changes else ", ".join(stays))
        lines.append(f"| {state} | {cells[0]} | {cells[1]} | {TURN[state][0] or 'nobody'} |")
    return "\n".join(lines)
