"""How well sentences are read: expected slots against found ones, counted exactly, unit and strength included."""

import re
import tomllib
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from intentcast_agent.person.drafting.reading import read_words
from intentcast_agent.person.drafting.sheet import Slot

NOW = 1_795_348_800  # Sunday, 22 November 2026, 12:00 UTC
_SIGNS = {"=": "eq", "<=": "le", ">=": "ge"}
_ROW = re.compile(r"(\w+)(<=|>=|=)(.+?)(\?)?")
Key = tuple[str, str, str, str]


def expected(row: str) -> Key:
    """Return a slot as the tables write it: name, operator, value with unit, strength."""
    found = _ROW.fullmatch(row.strip())
    assert found, row
    op = "between" if ".." in found[3] else _SIGNS[found[2]]
    return found[1], op, found[3], "want" if found[4] else "must"


def told(slot: Slot) -> Key:
    """Return a slot that was read in the same form."""
    value = slot.value if isinstance(slot.value, str) else "..".join(slot.value)
    if slot.name == "category":
        value = value.rpartition("/")[2]
    measure = "/".join(filter(None, (slot.currency, slot.unit)))
    return slot.name, slot.op, f"{value} {measure}".strip(), slot.strength


@dataclass(slots=True)
class Score:
    """Counts over a set of sentences; `faults` says what was missed (-) or wrongly found (+)."""

    hit: int = 0
    missed: int = 0
    wrong: int = 0
    faults: list[str] = field(default_factory=list)

    @property
    def f1(self) -> float:
        """Harmonic mean of precision and recall."""
        return 2 * self.hit / (2 * self.hit + self.missed + self.wrong)

    def __str__(self) -> str:
        slots, found = self.hit + self.missed, self.hit + self.wrong
        return f"precision {self.hit / found:.3f}, recall {self.hit / slots:.3f}, F1 {self.f1:.3f} over {slots} slots"


def load(name: str) -> dict[str, dict[str, str]]:
    """Return the groups of sentences of a table beside this file, and the slots each sentence should give."""
    return tomllib.loads((Path(__file__).parent / name).read_text(encoding="utf-8"))


def score(name: str) -> Score:
    """Read every sentence of a table and count."""
    total = Score()
    for group in load(name).values():
        for text, slots in group.items():
            want = Counter(map(expected, slots.split(";")))
            have = Counter(map(told, read_words(text, NOW).slots))
            total.hit += (want & have).total()
            total.missed += (want - have).total()
            total.wrong += (have - want).total()
            faults = [f"    - {one}" for one in want - have] + [f"    + {one}" for one in have - want]
            total.faults += [text, *faults] if faults else []
    print(f"\n{name}: {total}\n" + "\n".join(total.faults))
    return total


def test_table_holds_all_kinds_in_both_languages() -> None:
    table = load("sentences.toml")
    for language in ("english", "german"):
        sizes = {group: len(rows) for group, rows in table.items() if group.startswith(language)}
        assert sum(sizes.values()) >= 75
        assert sizes.keys() == {f"{language}-{kind}" for kind in ("car", "phone", "repair", "insurance", "product")}


def test_table_is_read_with_an_f1_of_95_or_more() -> None:
    assert score("sentences.toml").f1 >= 0.95


def test_unseen_sentences_are_read_with_an_f1_of_90_or_more() -> None:
    assert score("sentences_unseen.toml").f1 >= 0.90
