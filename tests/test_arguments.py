"""Arguments: how they are read, and that those of public classes are documented."""

import json
import math
import re
from decimal import Decimal
from importlib import import_module
from inspect import cleandoc, isclass, signature

import numpy as np
import pytest
from airflow.sdk import DAG
from airflow.sdk.definitions.xcom_arg import XComArg
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_openrouter.arguments import is_literal, read_interval, require_flag
from airflow_provider_openrouter.exceptions import OpenRouterRequestError
from airflow_provider_openrouter.operators.openrouter import OpenRouterListKeysOperator


@pytest.fixture
def xcom_arg():
    with DAG("arguments", schedule=None):
        yield XComArg(OpenRouterListKeysOperator(task_id="list_keys"))


# -- is_literal


@pytest.mark.parametrize(
    "value",
    [None, True, 5, 5.0, "", "10%", "{x}", "} }", [], ["a", ("b", {"c"})], {"a": 1}, Decimal(5)],
    ids=repr,
)
def test_what_is_neither_a_template_nor_an_xcom_is_literal(value):
    assert is_literal(value)


@pytest.mark.parametrize(
    "value",
    [
        "{{ params.threshold }}",
        "{{x}}%",
        "{% if a %}1{% else %}2{% endif %}",
        ["a", "{{ x }}"],
        ("{{ x }}",),
        {"{{ x }}"},
        [["a"], ["{{ x }}"]],
    ],
    ids=repr,
)
def test_a_template_is_not_literal_wherever_it_stands(value):
    assert not is_literal(value)


def test_an_xcom_is_not_literal_wherever_it_stands(xcom_arg):
    assert not is_literal(xcom_arg)
    assert not is_literal(xcom_arg["hashes"])
    assert not is_literal(["a", xcom_arg])


# -- require_flag


@pytest.mark.parametrize("value", [True, "True", "true", "TRUE", " true\n", np.True_], ids=repr)
def test_a_flag_is_true(value):
    assert require_flag("flag", value) is True


@pytest.mark.parametrize("value", [False, "False", "false", "FALSE", " false\n", np.False_], ids=repr)
def test_a_flag_is_false(value):
    assert require_flag("flag", value) is False


@pytest.mark.parametrize("value", [None, 0, 1, 1.0, "", "yes", "0", "None", [], [True], {}], ids=repr)
def test_anything_else_is_refused_as_a_flag(value):
    with pytest.raises(OpenRouterRequestError) as refusal:
        require_flag("include_disabled", value)
    assert str(refusal.value) == f"include_disabled must be true or false, not {value!r}."


# -- read_interval


@pytest.mark.parametrize(
    ("value", "seconds"),
    [(60, 60.0), (0.5, 0.5), (5e-324, 5e-324), (31_622_400, 31_622_400.0), (np.float64(3), 3.0)],
)
def test_an_interval_is_a_number_of_seconds_above_0(value, seconds):
    assert read_interval("poll_interval", value) == seconds


@pytest.mark.parametrize(
    "value", [0, -1, 0.0, -0.5, math.nan, math.inf, -math.inf, True, False, None, "60", "", [], {}], ids=repr
)
def test_anything_else_is_refused_as_an_interval(value):
    with pytest.raises(OpenRouterRequestError) as refusal:
        read_interval("poll_interval", value)
    assert (
        str(refusal.value) == f"poll_interval must be a number of seconds above 0, a year at most, not {value!r}."
    )


@settings(deadline=None, database=None)
@given(st.integers(1, 31_622_400) | st.floats(0, 31_622_400, exclude_min=True))
def test_an_interval_is_a_float_that_is_read_again_from_json(value):
    seconds = read_interval("poll_interval", value)
    assert type(seconds) is float
    assert read_interval("poll_interval", json.loads(json.dumps(seconds))) == seconds == float(value)


# -- their documentation

PUBLIC = (
    "hooks.openrouter",
    "operators.openrouter",
    "sensors.openrouter",
    "transfers.openrouter_to_sql",
    "triggers.openrouter",
)


def public_classes(module):
    for name, value in vars(import_module(f"airflow_provider_openrouter.{module}")).items():
        room = f"airflow_provider_openrouter.{module.partition('.')[0]}."
        if isclass(value) and name.startswith("OpenRouter") and value.__module__.startswith(room):
            yield value


def documented(public_class):
    """Return what a class says about each parameter, in its docstring's order."""
    sections = re.split(r"^:(?=param|raises)", cleandoc(public_class.__doc__), flags=re.MULTILINE)
    return dict(
        re.match(r"param (\w+): (.*)", each, re.DOTALL).groups() for each in sections if each[:5] == "param"
    )


@pytest.mark.parametrize("module", PUBLIC)
def test_every_parameter_is_explicit_and_documented(module):
    classes = list(public_classes(module))
    assert classes
    for each in classes:
        parameters = signature(each.__init__).parameters.keys() - {"self", "kwargs"}
        assert documented(each).keys() == parameters, each


@pytest.mark.parametrize("module", PUBLIC)
def test_the_docs_say_which_parameters_are_templated(module):
    for each in public_classes(module):
        templated = {name for name, text in documented(each).items() if text.rstrip().endswith("(templated)")}
        assert templated == set(getattr(each, "template_fields", ())), each
