"""Arguments: how they are read, and that those of public classes are documented."""

import json
import math
import re
from datetime import timedelta
from decimal import Decimal
from importlib import import_module
from inspect import cleandoc, isclass, signature

import numpy as np
import pendulum
import pytest
from airflow.sdk import DAG
from airflow.sdk.definitions.xcom_arg import XComArg
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_openrouter.arguments import is_literal, read_interval, read_span, require_flag, span_text
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


# -- read_span


@pytest.mark.parametrize(
    ("value", "span", "text"),
    [
        ("3 days", timedelta(days=3), "3 days"),
        ("72 hours", timedelta(days=3), "3 days"),
        (timedelta(days=3), timedelta(days=3), "3 days"),
        (" 3.0 day ", timedelta(days=3), "3 days"),
        ("36 hours", timedelta(hours=36), "36 hours"),
        ("1.5 days", timedelta(hours=36), "36 hours"),
        ("1 week", timedelta(days=7), "7 days"),
        ("1 days", timedelta(days=1), "1 day"),
        ("1 hours", timedelta(hours=1), "1 hour"),
        ("0.1 hours", timedelta(minutes=6), "0.1 hours"),
        (timedelta(seconds=1), timedelta(seconds=1), "0.0002777778 hours"),
        ("366 days", timedelta(days=366), "366 days"),
        ("52.1 weeks", timedelta(days=364, hours=16, minutes=48), "8752.8 hours"),
    ],
)
def test_a_time_is_a_number_of_hours_days_or_weeks(value, span, text):
    assert read_span("expires_within", value) == span
    assert span_text(span) == text


@pytest.mark.parametrize(
    "value",
    [
        *("3 dayz", "0 days", "0.0 hours", "-1 days", "+1 days", "1e9 days", "1e0 days", "367 days", "53 weeks"),
        *("days", "3", "", "3 Days", "3 months", "1,5 days", "1_0 days", "٣ days", "3 days ago", ".5 days"),
        *("9" * 5000 + " days", "0.00000000001 hours", "inf days", "nan days", "1/2 days", "3 days 4 hours"),
        *(5, 0, None, True, math.inf, [], ["3 days"], {}, timedelta(0), timedelta(days=-1), timedelta(days=367)),
    ],
    ids=lambda value: repr(value)[:30],
)
def test_anything_else_is_refused_as_a_time_in_one_sentence(value):
    with pytest.raises(OpenRouterRequestError) as refusal:
        read_span("expires_within", value)
    assert str(refusal.value).startswith(f'expires_within must be a time such as "3 days", not {value!r}. ')


@settings(deadline=None, database=None)
@given(st.timedeltas(timedelta(microseconds=1), timedelta(days=366)))
def test_a_time_is_read_again_from_its_text(span):
    assert read_span("expires_within", span_text(span)) == span
    assert read_span("expires_within", span) == span


def test_a_duration_of_pendulum_is_a_time():
    span = read_span("expires_within", pendulum.duration(days=1, hours=12))
    assert (type(span), span_text(span)) == (timedelta, "36 hours")


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
        inherited = {"subject", "body"}  # fields of Airflow's form that are no arguments
        assert templated == set(getattr(each, "template_fields", ())) - inherited, each
