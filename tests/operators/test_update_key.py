"""The operator that changes a key: once, within a cap, and only if the connection allows it."""

import pytest
from airflow.providers.common.compat.sdk import Asset
from support import updates
from support.servers import BREAKS, TOKEN, error
from support.tasks import Context
from support.updates import KeyServer, audits

from airflow_provider_openrouter.exceptions import OpenRouterError, OpenRouterRequestError
from airflow_provider_openrouter.operators.openrouter import OpenRouterUpdateKeyOperator

pytestmark = pytest.mark.usefixtures("outside_the_task_runner", "retries_at_once")

connect = updates.connect


@pytest.fixture
def run(connect, caplog):
    """Return a function that renders the operator's templates and executes it against a server."""
    caplog.set_level("INFO")

    def run(server, context=None, *, extras=None, **arguments):
        context = Context() if context is None else context
        connect(server, **extras or {})
        operator = OpenRouterUpdateKeyOperator(
            task_id="update", **{"key_hash": server.hashes["billing"]} | arguments
        )
        operator.render_template_fields(context)
        return operator.execute(context)

    return run


# -- what it changes, and what it returns


def test_it_returns_what_was_before_and_after(run):
    with KeyServer() as server:
        done = run(server, limit="{{ 5 * 10 }}")
    fields = {"name": "billing", "disabled": False, "limit_reset": None}
    assert done == {
        "hash": server.hashes["billing"],
        "name": "billing",
        "before": fields | {"limit": 5, "limit_remaining": 0.7},
        "after": fields | {"limit": 50, "limit_remaining": 45.7},
        "changed": True,
    }
    assert server.sent == [{"limit": 50}]


def test_only_what_differs_is_sent(run):
    with KeyServer() as server:
        done = run(server, limit=5, disabled=False, name="billing", limit_reset="monthly")
    assert server.sent == [{"limit_reset": "monthly"}]
    assert done["changed"]


@pytest.mark.parametrize(
    "arguments",
    [{"limit": 5}, {"remaining": 0.7}, {"remaining": "0.1", "disabled": "false"}, {"name": "billing"}],
)
def test_if_nothing_differs_nothing_is_sent(arguments, run, log):
    with KeyServer() as server:
        done = run(server, **arguments)
    assert not server.sent
    assert done["changed"] is False
    assert done["before"] == done["after"]
    assert "Nothing to change: key billing" in log()


def test_remaining_raises_the_limit_once(run):
    with KeyServer() as server:
        first, second = run(server, remaining=50), run(server, remaining=50)
    assert server.sent == [{"limit": 54.3}]
    assert first["after"]["limit_remaining"] == 50
    assert second["changed"] is False


def test_remaining_adds_only_what_was_spent_since(run):
    with KeyServer() as server:
        run(server, remaining=50)
        server.account.update_key(server.hashes["billing"], limit_remaining=48)
        run(server, remaining=50)
    assert server.sent == [{"limit": 54.3}, {"limit": 56.3}]


def test_two_that_raise_a_key_at_once_raise_it_once(run):
    raised = []

    def raise_too(server):
        if len(server.requests) == 2 and not raised:  # between the other's GET and PATCH
            raised.append(server.account.update_key(server.hashes["billing"], limit=54.3))

    with KeyServer(meanwhile=raise_too) as server:
        run(server, remaining=50)
        assert server.key()["limit"] == 54.3
        assert server.key()["limit_remaining"] == 50


def test_one_line_says_what_was_changed(run, log):
    with KeyServer() as server:
        run(server, limit=None, disabled=True, limit_reset="daily")
    assert "Changed key billing (sk-or-v1-" in (said := log())
    assert ": limit $5.00 → none, limit_reset never → daily, disabled False → True" in said


def test_outlet_assets_are_told_what_was_changed(run):
    context = Context()
    with KeyServer() as server:
        done = run(server, context, limit=50, outlets=[asset := Asset("raised")])
    assert context["outlet_events"][asset].extra == done


@pytest.mark.parametrize(("limit", "changed"), [(50, True), (5, False)])
def test_openlineage_gets_the_keys_as_written_if_one_changed(limit, changed, connect):
    with KeyServer() as server:
        connect(server)
        operator = OpenRouterUpdateKeyOperator(task_id="up", key_hash=server.hashes["billing"], limit=limit)
        assert operator.get_openlineage_facets_on_complete(None) is None
        operator.execute(Context())
    reported = operator.get_openlineage_facets_on_complete(None)
    [keys] = reported.inputs
    assert (keys.namespace, keys.name) == (f"http://{server.host}", "api/v1/keys")
    assert reported.outputs == ([keys] if changed else [])


# -- what must still hold


@pytest.mark.parametrize(
    ("only_if", "changes"),
    [
        ({"limit": 5}, True),
        ({"limit": "5.0", "disabled": "False", "limit_reset": "None"}, True),
        ({"limit": 50}, False),
        ({"limit": 5, "name": "other"}, False),
        ({"limit": None}, False),
        ({"disabled": None}, False),
        ({"name": None}, False),
    ],
)
def test_with_only_if_it_changes_what_is_as_expected(only_if, changes, run, log):
    with KeyServer() as server:
        done = run(server, limit=10, only_if=only_if)
    assert done["changed"] is changes
    assert bool(server.sent) is changes
    assert changes or "Did not change key billing: " in log()


# -- the cap


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"limit": "{{ 51 }}"}, "A limit of $51.00 is above max_limit, $50.00"),
        ({"limit": "{{ none }}"}, "A key without a limit is above max_limit"),
        ({"remaining": 46}, "A limit of $50.30 is above max_limit"),
    ],
)
def test_a_limit_above_the_cap_is_refused_and_not_cut(arguments, said, run):
    with KeyServer() as server, pytest.raises(OpenRouterRequestError) as refusal:
        run(server, max_limit="{{ 50 }}", **arguments)
    assert str(refusal.value).startswith(said)
    assert not server.sent


def test_a_limit_at_the_cap_is_set(run):
    with KeyServer() as server:
        assert run(server, remaining=45.7, max_limit=50)["after"]["limit"] == 50


# -- what is noted


def test_each_change_is_noted_before_and_after_it_is_sent(run, caplog):
    with KeyServer() as server:
        done = run(server, limit=50)
    who = {"dag_id": "dag", "run_id": "run", "task_id": "task", "map_index": -1, "answered_by": None}
    facts = who | {"key_hash": done["hash"], "before": done["before"], "changes": {"limit": 50}}
    assert audits(caplog) == [
        facts | {"outcome": "sending"},
        facts | {"outcome": "changed", "after": done["after"]},
    ]


@pytest.mark.parametrize("fault", [error(500), BREAKS, error(404), error(409), error(403, f"not for {TOKEN}")])
def test_a_change_that_fails_after_it_was_sent_is_noted(fault, run, caplog):
    with KeyServer(faults=(fault,) * 3) as server, pytest.raises(OpenRouterError) as failure:
        run(server, limit=50)
    assert [note["outcome"] for note in audits(caplog)] == ["sending", "failed"]
    assert audits(caplog)[1]["error"] == str(failure.value)
    assert len(server.sent) == (3 if failure.value.transient else 1)
    assert TOKEN not in caplog.text + str(failure.value)


# -- what is refused


def test_without_allow_updates_there_is_no_request_at_all(run, caplog):
    with KeyServer() as server, pytest.raises(OpenRouterRequestError, match="allow_updates"):
        run(server, limit=50, extras={"allow_updates": False})
    assert not server.requests
    assert not audits(caplog)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({}, "There is nothing to change"),
        ({"limit": 5, "remaining": 5}, "limit and remaining cannot be given together"),
        ({"limit": None, "remaining": "{{ 5 }}"}, "limit and remaining cannot be given together"),
        ({"limit": -5}, "limit must be USD of 0 or more"),
        ({"remaining": "-5"}, "remaining must be USD of 0 or more"),
        ({"limit": 5, "max_limit": "much"}, "max_limit must be USD of 0 or more"),
        ({"limit": 51, "max_limit": 50}, "A limit of $51.00 is above max_limit"),
        ({"limit": None, "max_limit": 50}, "A key without a limit is above max_limit"),
        ({"limit_reset": "yearly"}, "limit_reset must be daily, weekly, monthly"),
        ({"disabled": "perhaps"}, "disabled must be true or false"),
        ({"name": ""}, "name must be text"),
        ({"limit": 5, "only_if": {"usage": 5}}, "only_if must have fields such as limit, not 'usage'"),
        ({"limit": 5, "only_if": {"limit": -5}}, "limit must be USD of 0 or more"),
        ({"limit": 5, "only_if": "limit"}, "only_if must be a mapping"),
        ({"limit": 5, "key_hash": "../credits"}, "No key has the hash"),
    ],
)
def test_what_makes_no_sense_is_refused_when_the_dag_is_parsed(arguments, said):
    with pytest.raises(OpenRouterRequestError) as refusal:
        OpenRouterUpdateKeyOperator(task_id="update", **{"key_hash": "a"} | arguments)
    assert str(refusal.value).startswith(said)
