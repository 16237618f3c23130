"""What earlier releases stored in Airflow's database is still understood."""

import asyncio
import json
from datetime import UTC, datetime
from pathlib import Path
from pkgutil import resolve_name

import pytest
from airflow.providers.common.compat.sdk import AirflowException, AirflowFailException

from airflow_provider_openrouter import exceptions
from airflow_provider_openrouter.exceptions import OpenRouterError
from airflow_provider_openrouter.watch.events import read_event
from airflow_provider_openrouter.watch.polling import Listing
from airflow_provider_openrouter.watch.rule import Inventory

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


class Store(dict):
    """The state store of an asset, as a release left it."""

    async def aget(self, key):
        return self.get(key)


@pytest.mark.parametrize("state", stored("states"))
def test_what_a_release_told_is_not_told_again(state, caplog):
    classpath, kwargs = state["trigger"]
    trigger = resolve_name(classpath)(**kwargs)
    trigger.asset_state_store = Store({state["key"]: state["value"]})
    low = [
        {"hash": hash_, "name": "billing-eu", "limit": 100, "limit_remaining": 0.5} for hash_ in ("beef", "cafe")
    ]
    listing = Listing(
        inventory=Inventory(low, observed_at=datetime(2026, 11, 3, tzinfo=UTC)),
        error=None,
        began=0,
        ended=0,
        turns=asyncio.Lock(),
    )

    async def told():
        async def once():
            yield listing

        return [event.payload async for event in trigger.filter_shared_stream(once())]

    [payload] = asyncio.run(told())
    assert [key["hash"] for key in payload["keys"]] == ["cafe"]
    assert payload["low_count"] == 2
