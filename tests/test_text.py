"""Text from elsewhere, amounts, times and counts, as parts of a line."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_openrouter.text import count, duration, plain, rounded, sentence, table, usd


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (None, ""),
        ("", ""),
        ("billing prod", "billing prod"),
        (" a\r\n\tb ", "a b"),
        ("a\x1b[31mb", "a [31mb"),
        ("a\u202eb\u200bc\x00d\ud800e", "a b c d e"),
        ("é 😀", "é 😀"),
        (0, "0"),
        (False, "False"),
        ("x" * 100, "x" * 80),
    ],
    ids=repr,
)
def test_text_from_elsewhere_becomes_part_of_a_line(text, line):
    assert plain(text) == line


def test_text_is_cut_where_it_is_said():
    assert plain("abc", longest=2) == "ab"


@given(st.text())
def test_a_part_of_a_line_is_short_and_printable(text):
    assert plain(text).isprintable()
    assert len(plain(text)) <= 80
    assert plain(plain(text)) == plain(text).strip()


@pytest.mark.parametrize(
    ("amount", "text"),
    [
        (0, "$0.00"),
        (-0.0, "$0.00"),
        (5, "$5.00"),
        (0.5, "$0.50"),
        (4317.22, "$4,317.22"),
        (1e6, "$1,000,000.00"),
        (0.01, "$0.01"),
        (0.0099, "$0.009900"),
        (0.000001, "$0.000001"),
        (-0.25, "-$0.25"),
        (-1234.5, "-$1,234.50"),
        (Decimal("12.345"), "$12.34"),
        (1.005, "$1.00"),
    ],
    ids=repr,
)
def test_an_amount_is_written_as_people_write_it(amount, text):
    assert usd(amount) == text
    assert f"{abs(rounded(amount)):,f}" == text.removeprefix("-").removeprefix("$")


@pytest.mark.parametrize(
    ("amount", "digits", "text"),
    [(0.6999, 4, "$0.6999"), (5, 3, "$5.000"), (0.004, 3, "$0.004000"), (-1e-9, 9, "-$0.000000001")],
)
def test_an_amount_has_as_many_digits_as_it_is_to_have(amount, digits, text):
    assert usd(amount, digits=digits) == text


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("It broke", "It broke."),
        ("It broke.", "It broke."),
        ("It broke. ", "It broke."),
        ("Why?", "Why?"),
        ("", "."),
    ],
)
def test_a_sentence_ends_in_one_full_stop(text, said):
    assert sentence(text) == said


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s"),
        (0.25, "0.2 s"),
        (40, "40 s"),
        (119, "119 s"),
        (120, "2 min"),
        (150, "2.5 min"),
        (3_600, "1 h"),
        (5_400, "1.5 h"),
        (35_999.6, "10 h"),
        (86_400, "24 h"),
        (259_200, "3 days"),
        (86_400 * 1_234, "1,234 days"),
    ],
)
def test_a_time_is_written_in_the_largest_unit_that_fits(seconds, text):
    assert duration(seconds) == text


@pytest.mark.parametrize(
    ("number", "plural", "text"),
    [(0, "", "0 keys"), (1, "", "1 key"), (2, "", "2 keys"), (2_000, "", "2,000 keys"), (1, "keyes", "1 key")],
)
def test_a_count_agrees_with_its_noun(number, plural, text):
    assert count(number, "key", plural) == text


def test_a_plural_may_be_irregular():
    assert count(2, "retry", "retries") == "2 retries"


# -- tables


@pytest.mark.parametrize(
    ("cell", "shown"),
    [
        ("a|b", "a\\|b"),
        ("a\nb\r\n\x1b[2Jc", "a b \\[2Jc"),
        ("`rm`", "\\`rm\\`"),
        ("<script>&lt;", "&lt;script&gt;&amp;lt;"),
        ("[a](b) *c* ~d~", "\\[a\\](b) \\*c\\* \\~d\\~"),
        ("_a_ b_c __d", "\\_a\\_ b_c \\_\\_d"),
        ("\\|", "\\\\\\|"),
        ("x" * 300, "x" * 200),
    ],
)
def test_nothing_in_a_cell_is_markup(cell, shown):
    assert table(["Key"], [[cell]]) == f"| Key |\n| --- |\n| {shown} |"


def test_a_column_without_any_text_is_left_out():
    assert (
        table(["a", "b", "c"], [["1", "", ""], ["", "", "2"]]) == "| a | c |\n| --- | --- |\n| 1 |  |\n|  | 2 |"
    )
