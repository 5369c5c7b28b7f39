"""Errors: one sentence for every code, a class that says whose fault it is, and no code without a sentence."""

import re
from pathlib import Path

import pytest
from intentcast_protocol.errors import CODES, IntentcastError, InvalidMessage, Refused, SealError, StateError

ROOT = Path(__file__).parents[2]
SOURCES = sorted(path for package in ("protocol", "relay", "agent") for path in (ROOT / package).rglob("*.py"))
CODE = re.compile(r'"(internal\.error|(?:invalid|refused|sealed)\.[a-z]+\.[a-z]+(?:-[a-z]+)*)"')


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_every_code_named_in_the_sources_has_its_sentence(path: Path) -> None:
    """PROTOCOL §12"""
    named = set(CODE.findall(path.read_text(encoding="utf-8")))
    assert named <= CODES.keys()


def test_the_sources_name_codes_at_all() -> None:
    assert len({code for path in SOURCES for code in CODE.findall(path.read_text(encoding="utf-8"))}) > 30


def test_every_code_is_its_class_its_noun_and_its_fault() -> None:
    for code, sentence in CODES.items():
        assert re.fullmatch(r"(invalid|refused|sealed|internal)(\.[a-z]+(-[a-z]+)*){1,2}", code)
        assert re.fullmatch(r"[A-Z][^\n]{10,120}\.", sentence)
    assert len(set(CODES.values())) == len(CODES)


@pytest.mark.parametrize("kind", [InvalidMessage, Refused, StateError])
def test_an_error_reads_as_a_sentence_with_its_evidence(kind: type[IntentcastError]) -> None:
    assert str(kind("refused.mailbox.full")) == "The mailbox is full."
    error = kind("refused.mailbox.full", "500 records")
    assert str(error) == "The mailbox is full. (500 records)"
    assert (error.code, error.detail) == ("refused.mailbox.full", "500 records")
    assert isinstance(error, IntentcastError)


def test_a_seal_that_does_not_open_says_always_the_same() -> None:
    """So that it is no oracle. PROTOCOL §5.3"""
    assert (SealError().code, SealError().detail) == ("sealed.open.failed", "")
    with pytest.raises(TypeError):
        SealError("invalid.record.key", "detail")  # type: ignore[call-arg]


def test_the_faults_of_peer_caller_and_seal_are_apart() -> None:
    kinds = (InvalidMessage, Refused, StateError, SealError)
    for one in kinds:
        assert [other for other in kinds if issubclass(one, other)] == [one]
