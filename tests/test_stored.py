"""What earlier releases stored in Airflow's database is still understood."""

import asyncio
import json
from contextlib import aclosing
from pathlib import Path
from pkgutil import resolve_name

import pytest
import support.polling as polling
from airflow.providers.common.compat.sdk import AirflowException, AirflowFailException
from support.accounts import CreditAccount, activity
from support.keys import key
from support.servers import Server, data
from support.state_store import Store

from airflow_provider_openrouter import exceptions
from airflow_provider_openrouter.exceptions import OpenRouterError
from airflow_provider_openrouter.watch.events import read_account, read_keys

connect = polling.connect

ADDED = {"OpenRouterKeyLimitTrigger": {"has_listed": False, "first_poll_at": None}}
"""The arguments that came later, with their defaults. Those of event triggers identify them: none may come."""

RELEASES = {path.stem: json.loads(path.read_text()) for path in Path(__file__).parent.glob("stored/*.json")}


def stored(what):
    return [
        pytest.param(row, id=f"{release} {number}")
        for release, rows in sorted(RELEASES.items())
        for number, row in enumerate(rows[what])
    ]


def states(prefix):
    """Return the states of triggers whose name begins so."""
    return [
        param for param in stored("states") if param.values[0]["trigger"][0].rpartition(".")[2].startswith(prefix)
    ]


def events(status):
    return [param for param in stored("events") if param.values[0]["status"] == status]


def test_the_first_release_is_among_the_stored():
    assert "release_0_1" in RELEASES


@pytest.mark.parametrize("row", stored("triggers"))
def test_a_stored_trigger_is_made_again_and_stored_the_same(row):
    classpath, kwargs = row
    trigger = resolve_name(classpath)(**kwargs)
    path, arguments = json.loads(json.dumps(trigger.serialize(), allow_nan=False))
    new = ADDED.get(classpath.rpartition(".")[2], {})
    assert [path, arguments] == [classpath, new | kwargs]


@pytest.mark.parametrize("event", events("low"))
def test_what_is_low_in_a_stored_event_is_read(event):
    if "keys" in event:
        assert read_keys(event) == event["keys"] != []
    else:
        assert read_account(event)["balance"] == event["balance"]


@pytest.mark.parametrize("event", events("error"))
def test_the_error_of_a_stored_event_is_raised_as_its_kind(event):
    ours = event["error"].startswith("OpenRouter")
    kind = getattr(exceptions, event["error"]) if ours else AirflowException
    with pytest.raises(kind, match=r".") as error:
        read_keys(event)
    assert str(error.value) == event["message"]
    assert isinstance(error.value, OpenRouterError) == ours
    retried = ("OpenRouterAuthError", "OpenRouterRateLimitError", "OpenRouterServerError")
    assert isinstance(error.value, AirflowFailException) == (ours and event["error"] not in retried)
    assert not ours or error.value.status_code == event["status_code"]


@pytest.mark.parametrize("state", states("OpenRouterKey"))
def test_what_a_release_reported_is_not_reported_again(state, connect):
    classpath, kwargs = state["trigger"]
    trigger = resolve_name(classpath)(**kwargs)
    trigger.asset_state_store = store = Store(state["value"], key=state["key"])
    keys = [key(hash_, 0, name="billing-eu") for hash_ in ("beef", "cafe")]

    async def first_event():
        async with asyncio.timeout(20), aclosing(trigger.run()) as events:
            return (await anext(events)).payload

    with Server(lambda request: data([] if request.path == "/workspaces" else keys[request.offset :])) as server:
        connect(server, kwargs["openrouter_conn_id"])
        payload = asyncio.run(first_event())
    assert [each["hash"] for each in payload["keys"]] == ["cafe"]
    assert payload["low_count"] == 2
    assert (list(store.values), store.state["told"]) == ([state["key"]], ["beef"])


@pytest.mark.parametrize("state", states("OpenRouterCredits"))
def test_low_credits_that_a_release_reported_are_not_again(state, connect):
    classpath, kwargs = state["trigger"]
    trigger = resolve_name(classpath)(**kwargs)
    trigger.asset_state_store = store = Store(state["value"], key=state["key"])

    async def first_event():
        async with asyncio.timeout(20), aclosing(trigger.run()) as events:
            return (await anext(events)).payload

    rows = activity(1)  # so that a balance of 2 lasts two days
    with Server(CreditAccount(2.5, 2.4, 90, 2, activity=rows)) as server:
        connect(server, kwargs["openrouter_conn_id"])
        assert asyncio.run(first_event())["balance"] == 2
    assert store.asked == [state["key"]]
