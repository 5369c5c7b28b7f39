"""What a published record has to be by itself, before anything else is known of it. PROTOCOL §4.4, §11.1"""

from typing import Any

import pytest
from intentcast_protocol.encoding import encode
from intentcast_protocol.errors import IntentcastError
from intentcast_protocol.limits import MAX_LIFE
from intentcast_protocol.record import Record
from intentcast_relay.posting import examine, flatten


def refusal(record: Record, now: int) -> str:
    with pytest.raises(IntentcastError) as caught:
        examine(record, now)
    return caught.value.code


def test_public_and_sealed_records_pass_with_their_topic(build: Any) -> None:
    seed = build.seed()
    demand = build.demand(seed, "vehicles/cars", cells=("u178",), countries=("NL",))
    posting = examine(demand.record, build.now)
    assert (posting.id, posting.author, posting.to) == (demand.id, demand.author, None)
    assert (posting.categories, posting.cells, posting.countries) == (("vehicles/cars",), ("u178",), ("NL",))
    assert posting.record == demand.record
    for record in (demand, build.profile(seed), build.withdraw(seed), build.sealed(seed, bytes(32), 0)):
        assert examine(record.record, build.now) == flatten(record)


def test_a_session_record_is_refused_bare(build: Any) -> None:
    fields = {"to": bytes(32), "session": bytes(32), "seq": 1}
    for kind in ("offer", "accept", "question", "problem"):
        record = build.record(kind, build.seed(), {}, **fields)
        assert refusal(record.record, build.now) == "invalid.record.purpose"


def test_dates_are_checked_before_the_signature(build: Any) -> None:
    seed, now = build.seed(), build.now
    assert refusal(build.forged(build.demand(seed, expires=now + 1)), now + 1) == "refused.record.expired"
    assert refusal(build.forged(build.demand(seed, created=now + 902)), now + 1) == "invalid.record.future"
    assert refusal(build.forged(build.demand(seed)), now) == "invalid.record.signature"


def test_an_impossible_life_is_refused(build: Any) -> None:
    value = {"v": 1, "type": "demand", "author": bytes(32), "created": 5, "expires": 5 + MAX_LIFE + 1, "body": {}}
    assert refusal(Record(encode(value), bytes(64)), build.now) == "invalid.record.time"
    value["expires"] = 5
    assert refusal(Record(encode(value), bytes(64)), build.now) == "invalid.record.time"


def test_a_payload_that_is_not_its_one_form_is_refused(build: Any) -> None:
    payload = build.demand(build.seed()).record.payload
    assert refusal(Record(payload + b"\0", bytes(64)), build.now).startswith("invalid.encoding")


def test_a_seal_or_withdrawal_of_another_shape_is_refused(build: Any) -> None:
    odd = build.record("sealed", build.seed(), {"box": b"", "ek": bytes(32), "key": bytes(32)}, to=bytes(32))
    assert refusal(odd.record, build.now) == "invalid.record.malformed"
    vague = build.record("demand-withdraw", build.seed(), {"demand": "b..."})
    assert refusal(vague.record, build.now) == "invalid.record.malformed"
