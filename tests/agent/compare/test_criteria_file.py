"""Criteria as a person writes them: what they may say, and refusals that name the key. DESIGN §6"""

from decimal import Decimal

import pytest
from intentcast_agent.person.criteriafile import MAX_FILE, CriteriaError, read_criteria, read_unknown
from intentcast_agent.person.presets import PRESETS, longest, preset
from intentcast_protocol.testing import CARS

ROW = '[[criterion]]\nname = "colour"\npath = "itemOffered.color"\nweight = 1\ntable = {red = 1}\n'


@pytest.mark.parametrize("category", PRESETS)
def test_what_comes_with_us_reads_and_puts_the_total_first(category: str) -> None:
    criteria = read_criteria(PRESETS[category]).criteria
    assert [one.path for one in criteria][:2] == ["total", "wants"]
    assert max(criteria, key=lambda one: one.weight).path == "total"


def test_the_longest_prefix_wins_and_ends_between_levels() -> None:
    assert preset(CARS + "/estates")[0] == CARS
    assert preset(CARS + "x")[0] == ""
    assert longest("a/b/c", {"": "", "a": "", "a/b": "", "a/b/cc": ""}) == "a/b"
    assert longest("b", {"a": ""}) is None


def test_numbers_are_read_exactly_bare_or_in_quotes() -> None:
    for weight in ("0.1", '"0.1"'):
        (one,) = read_criteria(ROW.replace("weight = 1", f"weight = {weight}")).criteria
        assert one.weight == Decimal("0.1")


@pytest.mark.parametrize(
    ("old", "new", "key", "words"),
    [
        ("weight", "wieght", "criterion 1: wieght", "Did you mean weight?"),
        ("table", "tabel", "criterion 1: tabel", "Did you mean table?"),
        ("[[criterion]]", "[[criteria]]", "criteria", "Did you mean criterion?"),
        ("weight = 1", "weight = -1", "weight", "from 0"),
        ("weight = 1", "weight = 0", "weight", "above 0"),
        ("weight = 1", "weight = nan", "weight", "write a number"),
        ("weight = 1", "weight = inf", "weight", "write a number"),
        ("weight = 1", "weight = 1e999999", "weight", "write a number"),
        ("weight = 1", "weight = true", "weight", "write a number"),
        ("weight = 1", f"weight = {'9' * 900}", "weight", "write a number"),
        ("weight = 1", "", "weight", "write a number"),
        ("table = {red = 1}", "", "criterion 1 (colour)", "write one of linear"),
        ("table = {red = 1}", "table = {red = 2}", "table.red", "0 (worst) to 1 (best)"),
        ("table = {red = 1}", "table = {red = 1, RED = 0}", "table", "capitals"),
        ("table = {red = 1}", "linear = {worst = 1, best = 1}", "linear", "different"),
        ("table = {red = 1}", "linear = {worst = 1}", "linear.best", "write a number"),
        ("table = {red = 1}", "step = [[2, 1], [1, 0]]", "step", "ascend"),
        ("table = {red = 1}", "step = [[2]]", "step", "a threshold and a score"),
        ("table = {red = 1}", "target = {at = 1, reach = 0}", "target.reach", "above 0"),
        ("table = {red = 1}", 'table = {red = 1}\nunit = "%"', "unit", "budget"),
        ("table = {red = 1}", 'table = {red = 1}\nunit = "kilometres"', "unit", "UN/ECE"),
        ("table = {red = 1}", "table = {red = 1}\nunknown = 1.5", "unknown", "0 (worst)"),
        ("itemOffered.color", "itemOffered..color", "path", "a path such as"),
        ("itemOffered.color", "wants", "table", "wants need none"),
        ("itemOffered.color", "total", "criterion 1 (colour)", "the total has linear"),
        (
            'itemOffered.color"\nweight = 1\ntable = {red = 1}',
            'total"\nweight = 1\nunit = "%"\nlinear = {worst = 1, best = 2}',
            "linear",
            "below the worst",
        ),
        ('name = "colour"', 'name = "\\u202ecolour"', "name", "reordering"),
        ('name = "colour"', f'name = "{"x" * 61}"', "name", "1 to 60"),
    ],
)
def test_a_wrong_line_is_refused_by_its_key(old: str, new: str, key: str, words: str) -> None:
    assert old in ROW
    with pytest.raises(CriteriaError) as caught:
        read_criteria(ROW.replace(old, new))
    assert key in caught.value.key
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("more", "key"),
    [
        ("[cost]\nmonths = 0\n", "cost.months"),
        ("[cost]\nmonths = 24.5\n", "cost.months"),
        ("[cost]\nextra = 120\n", "cost.extra"),
        ('[cost]\nextra = "120 EUR"\n', "cost.extra"),
        ('[cost]\nextra = "-1.00 EUR"\n', "cost.extra"),
        ('[cost]\ncurrency = "euro"\n', "cost.currency"),
        ('[rates]\nUSD = "0"\n', "rates.USD"),
        ('[rates]\nusd = "1"\n', "rates.usd"),
        ("[rate]\n", "rate"),
        (ROW, "criterion"),
    ],
)
def test_costs_and_rates_are_checked_too(more: str, key: str) -> None:
    with pytest.raises(CriteriaError) as caught:
        read_criteria(ROW + more)
    assert caught.value.key == key


@pytest.mark.parametrize(
    "text",
    [
        "", "nonsense", "criterion = 1", "criterion = []", "criterion = [1]", "\x00", "a = " + "[" * 900 + "]" * 900,
        "".join(f"a{at} = 1\n" for at in range(100_000)), "a." * 400 + "a = 1", "a." * 4_000 + "a = 1",
        ROW * 33, "x" * (MAX_FILE + 1), "é" * MAX_FILE, "unknown = " + "9" * 990,
    ],
)  # fmt: skip
def test_nonsense_is_refused_with_a_sentence(text: str) -> None:
    with pytest.raises(CriteriaError) as caught:
        read_criteria(text)
    assert 10 < len(str(caught.value)) < 500


def test_what_is_unknown_may_be_said_in_words() -> None:
    assert [read_unknown(value) for value in ("worst", "half", "best", "0.25", 1)] == [0.0, 0.5, 1.0, 0.25, 1.0]
    for value in ("pessimistic", "nan", "-1", "2", None, [], 10**400):
        with pytest.raises(CriteriaError):
            read_unknown(value)


def test_weights_and_points_are_kept_out_of_what_a_log_would_print() -> None:
    text = ROW.replace("weight = 1", "weight = 31337").replace("red = 1", "red = 0.1337")
    assert "1337" not in repr(read_criteria(text + '[cost]\nextra = "31337.00 EUR"\n'))
