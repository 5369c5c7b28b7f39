"""The vectors that other implementations are tested with: ours passes them, and their generator still makes them."""

import importlib.util
import json
import re
from collections.abc import Callable
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from intentcast_protocol.agreement import verify_agreement
from intentcast_protocol.encoding import decode, encode
from intentcast_protocol.errors import CODES, IntentcastError, Refused
from intentcast_protocol.identity import cid, did
from intentcast_protocol.record import decode_record, verify
from intentcast_protocol.sealing import SealKey, check_inside, check_stamp, unseal

HERE = Path(__file__).parents[1] / "vectors"
FILES = sorted(path.name for path in HERE.glob("*.json"))
Vector = dict[str, Any]


@cache
def vectors(name: str) -> list[Vector]:
    """Return the vectors of a file."""
    loaded: list[Vector] = json.loads((HERE / name).read_text(encoding="utf-8"))["vectors"]
    return loaded


@cache
def generator() -> ModuleType:
    """Load the generator, which is a program and in no package."""
    spec = importlib.util.spec_from_file_location("intentcast_vectors", HERE / "generate.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def view(value: Any) -> Any:
    """Return the JSON view of a value, as the README says."""
    if isinstance(value, bytes):
        return {"hex": value.hex()}
    if isinstance(value, list):
        return [view(part) for part in value]
    return {key: view(part) for key, part in value.items()} if isinstance(value, dict) else value


def read_encoding(vector: Vector) -> Vector:
    """PROTOCOL §3"""
    data = bytes.fromhex(vector["bytes"])
    value = decode(data)
    assert encode(value) == data
    return {"value": view(value)}


def read_record(vector: Vector) -> Vector:
    """PROTOCOL §4"""
    record = verify(decode_record(bytes.fromhex(vector["record"])))
    return {"id": record.id.hex(), "cid": cid(record.id), "author": did(record.author), "type": record.type}


def read_seal(vector: Vector) -> Vector:
    """PROTOCOL §5"""
    envelope = verify(decode_record(bytes.fromhex(vector["envelope"])))
    inner = unseal(envelope, SealKey(bytes.fromhex(vector["key"]), bytes.fromhex(vector["secret"])))
    check_inside(
        verify(inner), envelope, person=bytes.fromhex(vector["person"]), session=bytes.fromhex(vector["session"])
    )
    return {"inner": inner.encode().hex()}


def read_stamp(vector: Vector) -> Vector:
    """PROTOCOL §5.5"""
    record = verify(decode_record(bytes.fromhex(vector["record"])))
    assert record.id.hex() == vector["id"]
    if not check_stamp(record, vector["bits"], vector["now"]):
        raise Refused("refused.mailbox.not-admitted")
    return {}


def read_agreement(vector: Vector) -> Vector:
    """PROTOCOL §8.7"""
    agreed = verify_agreement(bytes.fromhex(vector["bundle"]))
    return {
        "id": agreed.id.hex(), "person": agreed.demand.author.hex(), "vendor": agreed.offer.author.hex(),
        "total": str(agreed.offer.price.total), "currency": agreed.offer.price.currency, "accepted": agreed.accepted,
        "confirmed": agreed.confirmed, "fit": str(agreed.judgement.fit),
        "witnesses": [{"relay": one.relay.hex(), "url": one.url, "seen": one.seen} for one in agreed.witnesses],
    }  # fmt: skip


READERS: dict[str, Callable[[Vector], Vector]] = {
    "encoding.json": read_encoding, "records.json": read_record, "sealing.json": read_seal, "stamps.json": read_stamp,
    "agreement.json": read_agreement,
}  # fmt: skip


@pytest.mark.parametrize(
    ("file", "vector"),
    [pytest.param(file, vector, id=f"{file.removesuffix('.json')}-{vector['name']}")
     for file in FILES for vector in vectors(file)],
)  # fmt: skip
def test_vector_gives_what_it_expects(file: str, vector: Vector) -> None:
    """PROTOCOL §14"""
    try:
        found = {"expect": "ok", **READERS[file](vector)}
    except IntentcastError as error:
        found = {"expect": error.code}
    assert found == {name: vector[name] for name in found}
    assert found["expect"] == vector["expect"]


def test_running_the_generator_again_changes_nothing() -> None:
    texts = generator().texts()
    assert sorted(texts) == FILES
    for name, text in texts.items():
        assert (HERE / name).read_text(encoding="utf-8") == text, f"{name}: run tests/vectors/generate.py"


def test_every_vector_has_a_name_a_comment_and_a_code() -> None:
    assert sum(len(vectors(name)) for name in FILES) >= 60
    for name in FILES:
        names = [vector["name"] for vector in vectors(name)]
        assert len(set(names)) == len(names)
        for vector in vectors(name):
            assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", vector["name"])
            assert vector["comment"].endswith(".")
            assert vector["expect"] == "ok" or vector["expect"] in CODES
        assert {vector["expect"] == "ok" for vector in vectors(name)} == {True, False}


def test_no_two_vectors_are_the_same_case() -> None:
    for name in FILES:
        cases = [
            {key: vector[key] for key in vector if key not in ("name", "comment", "expect")} for vector in vectors(name)
        ]
        assert len({json.dumps(case, sort_keys=True) for case in cases}) == len(cases)


def test_the_readme_names_every_file_and_every_key() -> None:
    text = (HERE / "README.md").read_text(encoding="utf-8")
    for name in FILES:
        assert f"`{name}`" in text
        for vector in vectors(name):
            assert all(f"`{key}`" in text for key in vector), name
