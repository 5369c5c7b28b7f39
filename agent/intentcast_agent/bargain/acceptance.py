"""Whether to take what the other side offers rather than answer it."""

from dataclasses import dataclass

from intentcast_agent.bargain.bidding import Word


@dataclass(frozen=True)
class Choice:
    """What taking an offer competes with.

    The reservation and the floor of this turn, as worths to us; our own reply, None if there is nothing to say; whether
    nothing is to be had after it, and whether the other side has a turn left to take it.
    """

    reserve: float
    floor: float
    reply: Word | None
    final: bool = False
    answered: bool = True


def acceptable(worth: float, choice: Choice) -> bool:
    """Tell whether an offer of this worth is to be taken.

    Never at or below the reservation. Otherwise at the floor, or where our own next proposal asks for no more
    (AC_next); at the last turn, where it beats what our last word may still bring: nothing, if nobody can answer it.
    (T. Baarslag, K. Hindriks, C. Jonker: Acceptance conditions in automated negotiation, 2011.)
    """
    if not worth > choice.reserve:  # this way round, so that a worth that is no number is refused
        return False
    if choice.reply is None or worth >= choice.reply.worth:
        return True
    if not choice.final:
        return worth >= choice.floor
    prospect = choice.reply.chance * (choice.reply.worth - choice.reserve) if choice.answered else 0.0
    return worth - choice.reserve >= prospect
