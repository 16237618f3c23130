"""What of a key can be changed: how it is read from arguments, and which limit leaves how much."""

import pytest
from support.keys import key

from airflow_provider_openrouter.changes import UNCHANGED, changes_of, limit_for, read_changes
from airflow_provider_openrouter.exceptions import OpenRouterRequestError


@pytest.mark.parametrize(
    ("given", "read"),
    [
        ({}, {}),
        ({"limit": UNCHANGED, "limit_reset": "unchanged", "disabled": None, "name": None}, {}),
        ({"limit": 0}, {"limit": 0.0}),
        ({"limit": " 50.5 "}, {"limit": 50.5}),
        ({"limit": None}, {"limit": None}),
        ({"limit": "None"}, {"limit": None}),
        ({"limit": "null", "limit_reset": "None"}, {"limit": None, "limit_reset": None}),
        ({"limit_reset": "monthly"}, {"limit_reset": "monthly"}),
        ({"disabled": "True"}, {"disabled": True}),
        ({"disabled": False, "name": "billing"}, {"disabled": False, "name": "billing"}),
    ],
)
def test_changes_are_read_as_templates_render_them(given, read):
    assert read_changes(**given) == read


@pytest.mark.parametrize(
    "given",
    [
        {"limit": -1},
        {"limit": "-0.01"},
        {"limit": "fifty"},
        {"limit": float("nan")},
        {"limit": float("inf")},
        {"limit": True},
        {"limit_reset": "yearly"},
        {"limit_reset": 1},
        {"disabled": "perhaps"},
        {"name": " "},
        {"name": 5},
    ],
)
def test_a_change_that_makes_no_sense_is_refused(given):
    [name] = given
    with pytest.raises(OpenRouterRequestError, match=f"^{name} must be "):
        read_changes(**given)


@pytest.mark.parametrize(
    ("limit", "left", "limit_for_50"),
    [
        (5, 0.7, 54.3),
        (0.3, 0.1, 50.2),  # not 50.199999999999996
        (5, -1.25, 56.25),
        (100, 50, None),
        (100, 60, None),
        (None, None, None),
        ("5", "0.5", 54.5),
    ],
)
def test_the_limit_that_leaves_50_comes_from_what_remains(limit, left, limit_for_50):
    assert limit_for(key(limit=limit, remaining=left, usage=1000), 50) == limit_for_50


def test_a_limit_is_not_guessed_if_what_remains_is_not_known():
    with pytest.raises(OpenRouterRequestError, match="does not say what remains"):
        limit_for(key(limit=5, remaining="much"), 50)


def test_odd_values_of_a_key_are_read_as_everywhere():
    odd = key(limit="5", remaining=[], disabled="true", name={"a": 1}, limit_reset=None)
    assert changes_of(odd) == {
        "name": '{"a": 1}',
        "disabled": True,
        "limit": 5.0,
        "limit_reset": None,
        "limit_remaining": None,
    }
