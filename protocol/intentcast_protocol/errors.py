"""Errors that say whose fault it is, with codes for programs and sentences for people.

    IntentcastError
    ├── InvalidMessage   the peer broke the protocol: never retry the same bytes
    ├── Refused          well-formed, but no: the code says whether later may help
    ├── StateError       our own caller asked for what the rules forbid here
    └── SealError        a sealed record does not open; one message, so that it is no oracle

Programs decide by class or code, never by text. PROTOCOL §12
"""

# code -> the sentence a person reads. PROTOCOL §12 lists the same codes; a test compares them.
CODES = {
    "invalid.encoding.malformed": "The data is not valid MessagePack, or uses a type the protocol does not allow.",
    "invalid.encoding.not-canonical": "The data is not in its one canonical form.",
    "invalid.encoding.too-large": "The data is larger, deeper or has more parts than the protocol allows.",
    "invalid.id.malformed": "This is not a valid id or key.",
    "invalid.record.malformed": "The record's envelope has a missing, unknown or ill-typed field.",
    "invalid.record.signature": "The signature does not belong to this author and these bytes.",
    "invalid.record.key": "The author's key is not a valid Ed25519 public key.",
    "invalid.record.time": "The record's dates are impossible: it lives too long, or ends before it begins.",
    "invalid.record.future": "The record is dated too far in the future; one of the two clocks is wrong.",
    "invalid.record.purpose": "The record is of a type that is not allowed here.",
    "invalid.record.recipient": "The record is addressed to somebody else, or comes from the wrong session.",
    "invalid.demand.malformed": "The demand has a missing or ill-formed field.",
    "invalid.offer.malformed": "The offer has a missing or ill-formed field.",
    "invalid.offer.total": "The offer's total is not the sum of its parts.",
    "invalid.profile.malformed": "The vendor's profile has a missing or ill-formed field.",
    "invalid.terms.malformed": "The terms block has a missing or ill-formed field.",
    "invalid.terms.unknown": "The terms name a text that does not ship with this software, so it is not trusted.",
    "invalid.session.malformed": "The session message has a missing or ill-formed field.",
    "invalid.session.equivocation": "The sender signed two different messages under one number; the session is frozen.",
    "invalid.session.gap": "Too many messages are missing before this one.",
    "invalid.session.previous": "The message does not follow the sender's previous one.",
    "invalid.agreement.malformed": "The agreement is damaged or is not an intentcast agreement.",
    "invalid.agreement.mismatch": "The agreement's records do not belong together.",
    "invalid.agreement.late": "A record of the agreement was signed after the moment it had to be.",
    "invalid.attestation.malformed": "The attestation is damaged, or is not one relay's signed word about a domain.",
    "invalid.invitation.malformed": "The invitation is damaged, or was passed on in a way its maker did not allow.",
    "invalid.mandate.malformed": "The mandate has a missing, unknown or ill-formed clause.",
    "invalid.frame.malformed": "The frame is not one this protocol knows.",
    "refused.auth.required": "Prove that you hold this key first.",
    "refused.auth.failed": "The proof does not match the challenge, the host or the time.",
    "refused.record.expired": "The record has expired.",
    "refused.record.withdrawn": "The demand was withdrawn by its author.",
    "refused.record.replaced": "A newer record of this author is already here.",
    "refused.record.unknown": "No such record is stored here.",
    "refused.mailbox.not-admitted": "The mailbox does not take this record: it is not open here, or wants proof.",
    "refused.mailbox.full": "The mailbox is full.",
    "refused.domain.unproven": "The relay could not see that this domain names this key.",
    "refused.rate.exceeded": "Too many requests; wait and try again.",
    "refused.limit.exceeded": "This goes past a limit that the relay states in its info document.",
    "refused.policy.denied": "The relay's operator does not carry this here.",
    "refused.relay.stopping": "The relay is shutting down; connect again in a moment.",
    "refused.terms.refused": "The other side does not accept these terms.",
    "refused.session.not-now": "This act is not possible in the session's present state.",
    "refused.session.rounds": "The agreed number of rounds is used up.",
    "refused.offer.not-standing": "The offer no longer stands.",
    "refused.offer.late": "The last moment to do this has passed.",
    "refused.stock.gone": "What was offered is no longer available.",
    "refused.disclosure.denied": "The policy does not release this attribute at this stage.",
    "refused.mandate.denied": "The mandate does not allow this.",
    "refused.feature.later": "This part of the protocol is reserved and not served here yet.",
    "sealed.open.failed": "The sealed record cannot be opened.",
    "internal.error": "Something went wrong on this side; it has been logged.",
}


class IntentcastError(Exception):
    """Base of every coded error; ``code`` is one of CODES, ``detail`` is evidence for a person, never a secret."""

    def __init__(self, code: str, detail: str = "") -> None:
        super().__init__(code, detail)
        self.code = code
        self.detail = detail

    def __str__(self) -> str:
        sentence = CODES[self.code]
        return f"{sentence} ({self.detail})" if self.detail else sentence


class InvalidMessage(IntentcastError):
    """The peer broke the protocol; the same bytes will never be right."""


class Refused(IntentcastError):
    """The message is well-formed, but the answer is no."""


class StateError(IntentcastError):
    """Our own caller asked for something the rules do not allow now."""


class SealError(IntentcastError):
    """A sealed record does not open."""

    def __init__(self) -> None:
        super().__init__("sealed.open.failed")
