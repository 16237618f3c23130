"""What earlier releases stored in Airflow's database is still understood."""

import json
from pathlib import Path
from pkgutil import resolve_name

import pytest
from airflow.providers.common.compat.sdk import AirflowException, AirflowFailException

from airflow_provider_openrouter import exceptions
from airflow_provider_openrouter.events import read_event
from airflow_provider_openrouter.exceptions import OpenRouterError

RELEASES = {path.stem: json.loads(path.read_text()) for path in Path(__file__).parent.glob("stored/*.json")}


def stored(what):
    return [
        pytest.param(row, id=f"{release} {number}")
        for release, rows in sorted(RELEASES.items())
        for number, row in enumerate(rows[what])
    ]


def events(status):
    return [param for param in stored("events") if param.values[0]["status"] == status]


def test_the_first_release_is_among_the_stored():
    assert "release_0_1" in RELEASES


@pytest.mark.parametrize("row", stored("triggers"))
def test_a_stored_trigger_is_made_anew_and_stored_the_same(row):
    classpath, kwargs = row
    trigger = resolve_name(classpath)(**kwargs)
    assert json.loads(json.dumps(trigger.serialize(), allow_nan=False)) == row


@pytest.mark.parametrize("event", events("low"))
def test_the_low_keys_of_a_stored_event_are_read(event):
    assert read_event(event) == event["keys"] != []


@pytest.mark.parametrize("event", events("error"))
def test_the_error_of_a_stored_event_is_raised_as_its_kind(event):
    ours = event["error"].startswith("OpenRouter")
    kind = getattr(exceptions, event["error"]) if ours else AirflowException
    with pytest.raises(kind, match=r".") as error:
        read_event(event)
    assert str(error.value) == event["message"]
    assert isinstance(error.value, OpenRouterError) == isinstance(error.value, AirflowFailException) == ours
    assert not ours or error.value.status_code == event["status_code"]
