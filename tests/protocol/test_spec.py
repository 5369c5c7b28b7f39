"""PROTOCOL.md read by a program: its tables, grammar, examples and vectors say what the code does, and no more."""

import json
import re
from decimal import Decimal
from hashlib import sha256
from pathlib import Path
from typing import Any, get_args

import pytest
from intentcast_protocol import constraint, frames, limits, offer, quantity, subscription, terms, vocabulary
from intentcast_protocol.agreement import bundle, verify_agreement
from intentcast_protocol.demand import Demand, read_demand
from intentcast_protocol.disclosure import PURPOSES, STAGES
from intentcast_protocol.encoding import decode, encode
from intentcast_protocol.errors import CODES, InvalidMessage
from intentcast_protocol.fact import read_answer, stated
from intentcast_protocol.identity import cid, did, public_key
from intentcast_protocol.negotiation import ACTORS, TABLE, Actor, Applied, Session, State, begin, receive
from intentcast_protocol.record import (
    PUBLIC_TYPES,
    SESSION_TYPES,
    TYPES,
    VERSION,
    Purpose,
    Record,
    Verified,
    decode_record,
    parse,
    sign,
    sign_bytes,
    verify,
)
from intentcast_protocol.sealing import SealKey, check_inside, check_stamp, seal, unseal
from intentcast_protocol.states import write_table

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "PROTOCOL.md").read_text(encoding="utf-8")
HEADING = re.compile(r"^#{2,3} (?:(\d+(?:\.\d+)?)\.? |(Appendix [A-D]|[A-D]\.\d) ?)", re.MULTILINE)
CAST_AT = 1_795_305_600


def sections() -> dict[str, str]:
    """Return the page cut at its headings: number -> what stands under it, up to the next heading."""
    found = list(HEADING.finditer(TEXT))
    ends = [match.start() for match in found[1:]] + [len(TEXT)]
    return {match[1] or match[2]: TEXT[match.end() : end] for match, end in zip(found, ends, strict=True)}


SECTIONS = sections()


def tables(section: str) -> list[list[dict[str, str]]]:
    """Return the tables of a section, each a list of rows by column name, without the marks of code."""
    found = []
    for block in re.findall(r"(?:^\|.*\n)+", SECTIONS[section], re.MULTILINE):
        head, _, *rows = [[cell.strip().strip("`") for cell in line.split("|")[1:-1]] for line in block.splitlines()]
        found.append([dict(zip(head, row, strict=True)) for row in rows])
    return found


def column(section: str, name: str, table: int = 0) -> list[str]:
    """Return one column of a table."""
    return [row[name] for row in tables(section)[table]]


def blocks(section: str, info: str) -> list[str]:
    """Return the fenced blocks of a section that are marked so."""
    return re.findall(rf"^```{info}\n(.*?)^```$", SECTIONS[section], re.MULTILINE | re.DOTALL)


def number(text: str) -> int:
    """Read the number that a cell begins with."""
    return int(text.split(maxsplit=1)[0].replace(",", ""))


# §13 Limits, §12 errors


def test_every_limit_is_in_the_spec_and_only_those() -> None:
    written = {row["name"]: row["value"] for row in tables("13")[0]}
    coded = {name: value for name, value in vars(limits).items() if name.isupper()}
    assert written == {
        name: ", ".join(f"{part:,}" for part in value) if isinstance(value, tuple) else f"{value:,}"
        for name, value in coded.items()
    }


def test_every_limit_says_its_unit_and_what_it_bounds() -> None:
    assert all(row["unit"] and row["what it bounds"] for row in tables("13")[0])


def test_bounds_of_one_place_equal_the_code() -> None:
    admission = pytest.importorskip("intentcast_relay.admission")
    standing, domain = (pytest.importorskip(f"intentcast_relay.{name}") for name in ("standing", "domain"))
    wellknown = pytest.importorskip("intentcast_relay.wellknown")
    assert {row["name"]: number(row["value"]) for row in tables("13")[1]} == {
        "MAX_FRAME_NODES": frames.MAX_FRAME_NODES,
        "MAX_FOUND": constraint.MAX_FOUND,
        "DEVIATIONS": offer._DEVIATIONS,
        "DEAL_TERMS": terms._MOST,
        "ADMIT_ENTRIES": admission.MAX_ADMIT,
        "CONNECTION_DOMAINS": standing.MAX_DOMAINS,
        "CONNECTION_INVITATIONS": standing.MAX_INVITATIONS,
        "DOCUMENT": wellknown.MAX_DOCUMENT,
        "DOCUMENT_KEYS": domain.MAX_KEYS,
        "AFTER_DEMAND": admission.AFTER_DEMAND,
        "KEEP_AHEAD": admission.MAX_KEEP,
    }


def test_the_largest_payload_in_the_spec_is_the_largest_read() -> None:
    most = int(re.search(r"MAX_RECORD − 72 bytes, that is ([\d,]+)", SECTIONS["4.1"])[1].replace(",", ""))
    assert decode_record(Record(bytes(most), bytes(64)).encode()).payload == bytes(most)
    with pytest.raises(InvalidMessage, match="at most"):
        decode_record(Record(bytes(most + 1), bytes(64)).encode())


def test_every_error_code_is_in_the_spec_and_only_those() -> None:
    assert [(row["code"], row["sentence"]) for row in tables("12")[0]] == list(CODES.items())


def test_every_error_says_who_may_retry() -> None:
    assert all(re.match("nobody|anybody|the (sender|vendor)", who) for who in column("12", "who may retry"))


def test_every_code_named_anywhere_in_the_spec_exists() -> None:
    named = set(re.findall(r"`((?:invalid|refused|sealed|internal)\.[a-z.-]+)`", TEXT))
    assert named <= CODES.keys()


# §15, §4 Records


def test_the_status_table_says_the_wire_version_of_the_code() -> None:
    status = dict(re.findall(r"^\| ([a-z ]+) \| (.+) \|$", TEXT.partition("\n## ")[0], re.MULTILINE))
    assert status["wire version"] == str(VERSION)
    assert re.fullmatch(r"20\d\d-\d\d-\d\d", status["date"])
    assert {"stage", "revision", "licence of the text"} < status.keys()


def test_every_purpose_is_in_the_spec_and_only_those() -> None:
    assert column("4.2", "purpose") == list(get_args(Purpose))


def test_every_record_type_is_in_the_spec_and_only_those() -> None:
    kinds = {row["type"]: row["kind"] for row in tables("4.6")[0]}
    coded = dict.fromkeys(PUBLIC_TYPES, "public") | dict.fromkeys(SESSION_TYPES, "session") | {"sealed": "sealed"}
    assert kinds == coded
    assert kinds.keys() == TYPES


OPTIONAL: dict[str, object] = {
    "to": bytes(32), "session": bytes(32), "seq": 2, "prev": bytes(32), "seen": bytes(32), "nonce": bytes(8),
}  # fmt: skip


def reading(kind: str, fields: dict[str, object]) -> str:
    """Return what becomes of an envelope of this type with these optional fields: ok, or a code."""
    required = {"v": VERSION, "type": kind, "author": bytes(32), "body": {}, "created": 1, "expires": 2}
    try:
        parse(Record(encode(required | fields), bytes(64)))
    except InvalidMessage as error:
        return error.code
    return "ok"


@pytest.mark.parametrize("row", tables("4.6")[0], ids=lambda row: row["type"])
def test_each_type_takes_the_envelope_fields_the_spec_gives_it(row: dict[str, str]) -> None:
    values = OPTIONAL | ({"seq": 0} if row["type"] == "resume" else {})
    must = {name: value for name, value in values.items() if row[name] == "●"}
    refusal = "invalid.record.malformed"
    assert reading(row["type"], must) == "ok"
    for name, value in values.items():
        assert reading(row["type"], must | {name: value}) == ("ok" if row[name] else refusal), name
        if row[name] == "●":
            without = {other: must[other] for other in must if other != name}
            assert reading(row["type"], without) == refusal, name


def test_the_envelope_table_lists_the_fields_of_the_code() -> None:
    rows = tables("4.1")[0]
    assert [row["key"] for row in rows[:6]] == ["author", "body", "created", "expires", "type", "v"]
    assert {row["key"] for row in rows[6:]} == OPTIONAL.keys()


# §3, §6 Vocabulary


def grammar(section: str) -> dict[str, str]:
    """Return the lines ``name = pattern`` of a section's first text block."""
    return dict(re.findall(r"^(\w+) += (.+)$", blocks(section, "text")[0], re.MULTILINE))


def test_patterns_in_the_spec_equal_the_code() -> None:
    assert grammar("3.3") == {"decimal": quantity.DECIMAL.pattern}
    assert grammar("6.1") == {
        "category": subscription.CATEGORY.pattern,
        "relay": vocabulary._RELAY.pattern,
        "domain": vocabulary._DOMAIN.pattern,
        "unit": vocabulary._UNIT.pattern,
    }
    assert f"`{constraint._PATH.pattern}`" in SECTIONS["6.3"]


def test_characters_that_text_may_not_hold_equal_the_code() -> None:
    named = re.search(r"MUST NOT\s+hold\s(.+?)\.\s+A\s+line\s+feed", SECTIONS["6.1"], re.DOTALL)[1]
    spans = re.findall(r"U\+([0-9A-F]{4})(?:–U\+([0-9A-F]{4}))?", named)
    written = {chr(code) for first, last in spans for code in range(int(first, 16), int(last or first, 16) + 1)}
    assert written == {chr(code) for code in range(0x3000) if vocabulary._UNSEEN.match(chr(code))}


def test_every_unit_is_in_the_spec_and_only_those() -> None:
    written = {row["code"]: (row["dimension"], Decimal(row["factor"])) for row in tables("6.3")[1]}
    assert written == quantity._UNITS


def test_currency_digits_in_the_spec_equal_the_code() -> None:
    listed = {row["digits"]: row["currencies"] for row in tables("3.3")[0]}
    assert listed.pop("2") == "every other code"
    assert {code: int(digits) for digits, codes in listed.items() for code in codes.split(", ")} == quantity._DIGITS


def test_price_component_kinds_in_the_spec_equal_the_code() -> None:
    named = re.search(r"`kind` is (.+?);", SECTIONS["6.4"], re.DOTALL)[1]
    assert tuple(re.findall(r"`(\w+)`", named)) == vocabulary.KINDS


# §7 Terms


def test_every_term_of_the_roster_is_in_the_spec_and_only_those() -> None:
    rows = tables("7.1")[0]
    written = {row["name"]: terms.Term(row["id"], bytes.fromhex(row["text (sha2-256, hex)"])) for row in rows}
    assert written == terms.ROSTER
    assert f'"{terms.PROFILE}"' in blocks("7.1", "text")[0]


def test_texts_of_the_roster_stand_in_the_spec_byte_for_byte() -> None:
    assert blocks("Appendix D", "text") == list(terms.TEXTS.values())


def test_disclosure_stages_in_the_spec_equal_the_code() -> None:
    assert {row["attribute"]: int(row["stage"]) for row in tables("7.3")[0]} == STAGES
    assert set(re.findall(r'purpose: "(\w+)"', SECTIONS["7.3"])) == PURPOSES


# §8 Sessions


def test_the_state_table_in_the_spec_is_the_one_the_code_writes() -> None:
    assert write_table() in SECTIONS["8.4"]


def test_the_state_diagram_shows_every_move_and_only_those() -> None:
    drawn = set()
    for start, end, label in re.findall(r"^    (\w+) --> (\w+): (.+)$", blocks("8.4", "mermaid")[0], re.MULTILINE):
        for part in label.split("; "):
            actor, _, kinds = part.partition(" ")
            drawn |= {(start, actor, kind, end) for kind in kinds.split(", ")}
    moves = {(start, actor, kind, end) for (start, actor, kind), end in TABLE.items() if end not in (None, start)}
    ticks = {(state, "clock", "", "expired") for state in ("seen", "asking", "offered", "countered", "lapsed")}
    ticks |= {(state, "clock", "", "lapsed") for state in ("offered", "countered")}
    ticks |= {(state, "clock", "", "agreed") for state in ("amending", "reaccepted")}
    assert drawn == moves | ticks


def test_every_session_type_has_its_body_in_the_spec() -> None:
    assert sorted(column("8.3", "type")) == sorted(SESSION_TYPES)


# §9, §11 Relay

ID = sha256(b"a key or id").digest()
WORDS: dict[str, object] = {
    "version": 1, "req": 7, "payload": b"proof", "signature": bytes(64), "record": [b"payload", bytes(64)],
    "filter": {"types": ["demand"]}, "cursor": [bytes(8), 5], "once": True, "category": "services/home",
    "cell": "u17", "country": "NL", "key": ID, "id": ID, "session": ID, "until": 9, "nonce": bytes(32),
    "epoch": bytes(8), "place": 3, "code": "internal.error", "least": 1, "most": 4, "sentence": "It broke.",
}  # fmt: skip


def frame_lines(section: str) -> list[str]:
    """Return the grammar lines of a section, without their remarks."""
    return [line.split("]  ")[0].strip() + ("]" if "]  " in line else "") for line in
            blocks(section, "text")[0].splitlines()]  # fmt: skip


def samples(line: str) -> list[Any]:
    """Turn a grammar line into frames, one for each alternative it leaves open."""
    with_nil = re.sub(r"(\w+) / nil", "null", line)
    found = []
    for choice in {re.sub(r" / nil", "", line), with_nil}:
        text = re.sub(r", …", "", choice)
        text = re.sub(r'(?<!")\b([a-z]+)\b(?!")', lambda word: word[0] if word[0] == "null" else f'"<{word[0]}>"', text)
        found.append(fill_words(json.loads(text)))
    return found


def fill_words(value: Any) -> Any:
    if isinstance(value, list):
        return [fill_words(item) for item in value]
    if isinstance(value, str) and value.startswith("<"):
        return WORDS[value[1:-1]]
    return value


def test_frame_verbs_in_the_spec_equal_the_code() -> None:
    lines = frame_lines("9.2") + frame_lines("9.3")
    assert {re.match(r'\["(\w+)"', line)[1] for line in lines} == frames.VERBS
    listed = re.search(r"The verbs are (.+?)\.", SECTIONS["9.1"], re.DOTALL)[1]
    assert set(re.findall(r"`(\w+)`", listed)) == frames.VERBS


@pytest.mark.parametrize("line", [line for line in frame_lines("9.2") if "reconcile" not in line])
def test_every_request_line_of_the_spec_is_read_and_written_alike(line: str) -> None:
    for sample in samples(line):
        assert frames.encode_frame(frames.read_request(encode(sample))) == encode(sample)


@pytest.mark.parametrize("line", frame_lines("9.3"))
def test_every_answer_line_of_the_spec_is_read_and_written_alike(line: str) -> None:
    for sample in samples(line):
        assert frames.encode_frame(frames.read_answer(encode(sample))) == encode(sample)


def test_reserved_requests_are_refused() -> None:
    with pytest.raises(InvalidMessage):
        frames.read_request(encode(["reconcile", 1, b""]))


def test_filter_fields_in_the_spec_equal_the_code() -> None:
    assert set(re.findall(r"(\w+)\?", blocks("9.4", "text")[0])) == subscription._FIELDS


def test_the_info_document_has_the_fields_of_the_spec() -> None:
    config = pytest.importorskip("intentcast_relay.config")
    info = pytest.importorskip("intentcast_relay.info")
    document = info.document(config.Config(), bytes(32), bytes(8), 0, {})
    fields, bounds = tables("11.2")
    assert {row["field"] for row in fields} == document.keys()
    assert {row["limit"] for row in bounds} == document["limits"].keys()
    for row in bounds:
        if row["meaning"].isupper():
            assert document["limits"][row["limit"]] == getattr(limits, row["meaning"]), row["limit"]


# Citations

CITED = re.compile(r"PROTOCOL (§\d+(?:\.\d+)?(?:, §\d+(?:\.\d+)?)*)")


def test_every_section_cited_in_code_and_tests_exists() -> None:
    missing = []
    for folder in ("protocol", "relay", "agent", "tests"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            for cited in CITED.findall(path.read_text(encoding="utf-8")):
                missing += [(path.name, one) for one in re.findall(r"§([\d.]*\d)", cited) if one not in SECTIONS]
    assert missing == []


def test_every_section_the_spec_refers_to_exists() -> None:
    assert set(re.findall(r"§(\d+(?:\.\d+)?)", TEXT)) <= SECTIONS.keys()
    assert set(re.findall(r"Appendix [A-Z]", TEXT)) <= SECTIONS.keys()


def test_every_link_inside_the_spec_leads_to_a_heading() -> None:
    headings = re.findall(r"^#+ (.+)$", TEXT, re.MULTILINE)
    anchors = {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}
    assert set(re.findall(r"\(#([^)]+)\)", TEXT)) <= anchors


# Appendix A: worked examples

EXAMPLES = ["A.1", "A.2", "A.3", "A.4"]
SEEDS: dict[str, bytes] = {"person": bytes([1]) * 32, "vendor": bytes([2]) * 32, "session": bytes([3]) * 32}


def fill(value: Any, ids: dict[str, bytes]) -> Any:
    """Put bytes where an example has a name in angle brackets."""
    if isinstance(value, dict):
        return {name: fill(item, ids) for name, item in value.items()}
    if isinstance(value, list):
        return [fill(item, ids) for item in value]
    if isinstance(value, str) and value.startswith("<"):
        name = value[1:-1]
        if name.startswith("text "):
            return terms.ROSTER[name.removeprefix("text ")].text
        return ids.get(name, sha256(name.encode()).digest())
    return value


def example(section: str, kind: str, ids: dict[str, bytes]) -> dict[str, Any]:
    """Return the one example body of this kind in a section."""
    (text,) = blocks(section, f"json {kind}")
    body = fill(json.loads(text), ids)
    assert isinstance(body, dict)
    return body


def cast(section: str) -> tuple[Verified, Demand]:
    """Sign a section's demand."""
    body = example(section, "demand", {})
    record = sign("demand", SEEDS["person"], body, created=CAST_AT, expires=CAST_AT + 7 * 86_400)
    return record, read_demand(record)


@pytest.mark.parametrize("section", EXAMPLES)
def test_each_worked_example_is_valid_and_fits_as_it_says(section: str) -> None:
    _, demand = cast(section)
    body = example(section, "offer", {"demand id": demand.id})
    session = begin(demand, key=public_key(SEEDS["session"]), vendor=public_key(SEEDS["vendor"]))
    message = say(session, "vendor", "offer", body, CAST_AT + 3_600, body["validThrough"])
    outcome = receive(session, message, CAST_AT + 3_600)
    assert isinstance(outcome, Applied)
    assert outcome.problem is None
    assert outcome.session.state is State.OFFERED
    judgement = demand.judge(body)
    assert judgement.fit == re.search(r"^Fit: `(\w+)`", SECTIONS[section], re.MULTILINE)[1], judgement.why


def test_the_worked_examples_show_every_fit_and_op() -> None:
    fits = {re.search(r"^Fit: `(\w+)`", SECTIONS[section], re.MULTILINE)[1] for section in EXAMPLES}
    assert fits == {"fits", "asks", "fails"}
    ops = {one.op for section in EXAMPLES for one in cast(section)[1].constraints}
    assert ops == {"eq", "in", "ge", "le", "between", "exists", "like"}


def test_conversions_told_beside_the_examples_are_right() -> None:
    assert quantity.convert(Decimal(40_000), "SMI", "KMT") == Decimal("64373.76")
    assert round(quantity.convert(Decimal(96), "KWT", "HJ") or 0, 2) == Decimal("130.52")
    assert quantity.convert(Decimal(25_000), "4L", "E34") == 25
    assert quantity.convert(Decimal(48), "HUR", "DAY") == 2


def say(session: Session, actor: Actor, kind: str, body: dict[str, Any], created: int, expires: int) -> Verified:
    """Sign a side's next message."""
    chain = session.chain(actor)
    return sign(
        kind, SEEDS[actor], body, created=created, expires=expires,
        to=session.vendor if actor == "person" else session.person, session=session.key,
        seq=chain.seq + 1, prev=chain.last,
    )  # fmt: skip


def test_the_car_of_the_examples_is_agreed_on_and_verifies() -> None:
    record, demand = cast("A.1")
    session = begin(demand, key=public_key(SEEDS["session"]), vendor=public_key(SEEDS["vendor"]))
    ids: dict[str, bytes] = {"demand id": demand.id}
    log: dict[str, Verified] = {}
    first = example("A.1", "offer", ids)
    until = first["validThrough"]

    def step(actor: Actor, kind: str, body: dict[str, Any], name: str, at: int) -> None:
        nonlocal session
        message = say(session, actor, kind, body, CAST_AT + at, until)
        outcome = receive(session, message, CAST_AT + at)
        assert isinstance(outcome, Applied)
        assert outcome.problem is None, (kind, outcome.problem)
        session, log[name], ids[f"{name} id"] = outcome.session, message, message.id

    step("vendor", "offer", first, "offer", 3_600)
    step("person", "counter", example("A.1", "counter", ids), "counter", 4_000)
    again = first | {"priceSpecification": example("A.1", "counter", ids)["priceSpecification"]}
    step("vendor", "offer", again, "second offer", 5_000)
    step("person", "accept", example("A.1", "accept", ids), "accept", 6_000)
    step("vendor", "confirm", example("A.1", "confirm", ids), "confirm", 7_000)
    assert session.state is State.AGREED
    agreement = verify_agreement(
        bundle(record.record, log["second offer"].record, log["accept"].record, log["confirm"].record)
    )
    assert (agreement.offer.price.total, agreement.judgement.fit) == (Decimal(17_400), "fits")


def test_the_question_of_the_repair_is_taken() -> None:
    _, demand = cast("A.3")
    session = begin(demand, key=public_key(SEEDS["session"]), vendor=public_key(SEEDS["vendor"]))
    body = example("A.3", "question", {})
    outcome = receive(session, say(session, ACTORS[0], "question", body, CAST_AT, CAST_AT + 9), CAST_AT)
    assert isinstance(outcome, Applied)
    assert outcome.problem is None
    assert body["path"] in {one.path for one in demand.constraints}
    facts = read_answer(example("A.3", "answer", {})).facts
    offered = example("A.3", "offer", {"demand id": demand.id})
    assert (demand.judge(offered).fit, demand.judge(offered, stated(facts)).fit) == ("asks", "fits")


# §14 Vectors

VECTORS: dict[str, dict[str, Any]] = json.loads(blocks("14", "json")[0])


def known(name: str) -> dict[str, Any]:
    """Return one vector, its hex as bytes."""
    text = {"did", "cid"}
    return {
        field: bytes.fromhex(value) if isinstance(value, str) and field not in text else value
        for field, value in VECTORS[name].items()
    }


def test_the_encoding_vector_holds() -> None:
    vector = known("value")
    assert encode(vector["json"]) == vector["bytes"]
    assert decode(vector["bytes"]) == vector["json"]


def test_the_key_vector_holds() -> None:
    vector = known("key")
    assert public_key(vector["seed"]) == vector["key"]
    assert did(vector["key"]) == vector["did"]


def test_the_record_vector_holds() -> None:
    vector = known("record")
    record = verify(Record(vector["payload"], vector["signature"]))
    assert sign_bytes("record", vector["payload"], vector["seed"]) == vector["signature"]
    assert (record.type, record.id, cid(record.id)) == ("demand-withdraw", vector["id"], vector["cid"])
    assert record.created == CAST_AT


def test_the_auth_vector_holds() -> None:
    vector = known("auth")
    proof = frames.Auth(1, vector["payload"], vector["signature"])
    nonce = decode(vector["payload"])["nonce"]
    key = frames.check_proof(proof, nonce=nonce, hosts=frozenset({"relay.example"}), now=CAST_AT)
    assert key == public_key(vector["seed"])


def test_the_seal_vector_holds() -> None:
    vector = known("seal")
    inner = verify(decode_record(vector["inner"]))
    randomness = {32: bytes([7]) * 32, 24: vector["box nonce"]}
    envelope = seal(
        inner.record, seed=vector["author seed"], to=vector["to"], key=vector["key"], created=vector["created"],
        expires=vector["expires"], bits=vector["stamp bits"], random=randomness.__getitem__,
    )  # fmt: skip
    header = {"v": 1, "type": "sealed", "author": envelope.author, "to": envelope.to, "created": envelope.created,
              "expires": envelope.expires, "body": {"ek": vector["ek"], "key": vector["key"]}}  # fmt: skip
    assert encode(header) == vector["associated data"]
    assert envelope.body["ek"] == vector["ek"]
    assert sha256(envelope.body["box"]).digest() == vector["sha2-256 of box"]
    assert (envelope.id, envelope.nonce) == (vector["id"], vector["nonce"])
    assert envelope.record.signature == vector["signature"]
    assert check_stamp(envelope, vector["stamp bits"], vector["created"])
    assert unseal(envelope, SealKey(vector["key"], vector["key secret"])) == inner.record
    check_inside(inner, envelope, person=vector["to"], session=envelope.author)
