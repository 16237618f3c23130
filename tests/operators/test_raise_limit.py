"""The operator that asks a person: what it shows, and what it does with each answer."""

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest
from airflow.providers.common.compat.sdk import AirflowSkipException, Asset
from airflow.sdk import DAG
from support import updates
from support.lines import needs_people
from support.servers import TOKEN, error
from support.tasks import Context
from support.updates import KeyServer, audits

from airflow_provider_openrouter.exceptions import OpenRouterRequestError, OpenRouterServerError
from airflow_provider_openrouter.operators.openrouter import OpenRouterRaiseLimitOperator

pytestmark = [pytest.mark.usefixtures("outside_the_task_runner", "retries_at_once"), needs_people]

connect = updates.connect
ADA = {"id": "1", "name": "Ada"}


def operator_for(server, **arguments):
    """Return the operator that is mapped over the keys of an event, for one of them."""
    added = {"reason": "limit", "threshold": "20%", "observed_at": "2026-10-28T12:00:00+00:00"}
    key = server.key() | added | {"workspace_name": "Shop"}
    return OpenRouterRaiseLimitOperator(task_id="ask", **{"key": key, "max_limit": 100} | arguments)


def answer(chosen="Raise", limit=50.0, person=ADA):
    return {
        "chosen_options": [chosen],
        "params_input": {"limit": limit},
        "responded_at": datetime(2026, 10, 28, 12, tzinfo=UTC),
        "responded_by_user": person,
        "timedout": person is None,
    }


@pytest.fixture
def resume(connect, caplog):
    """Return a function that hands an answer to an operator that waits."""
    caplog.set_level("INFO")

    def resume(server, event=None, context=None, *, between=lambda: None, extras=None, **arguments):
        connect(server, **extras or {})
        operator = operator_for(server, **arguments)
        between()
        return operator.execute_complete(Context() if context is None else context, event or answer())

    return resume


# -- what is asked


@pytest.fixture
def asked(monkeypatch):
    """Keep what Airflow is asked to show, in place of its API."""
    seen = {}

    def ask(**what):
        seen.update(what)
        raise InterruptedError

    monkeypatch.setattr("airflow.providers.standard.operators.hitl.upsert_hitl_detail", ask)
    return seen


def test_the_form_shows_the_key_and_proposes_twice_its_limit(asked, connect):
    with KeyServer() as server:
        connect(server)
        operator = operator_for(server)
        with pytest.raises(InterruptedError):
            operator.execute(Context(task_instance=SimpleNamespace(id="ti")))
    assert asked["subject"].startswith("Raise the limit of key billing (sk-or-v1-")
    assert asked["subject"].endswith(", Shop)?")
    assert asked["body"].splitlines()[:4] == [
        "- $0.70 of $5.00 left",
        "- below 20% of the limit",
        "- runs dry on 2026-10-28 at 12:58 UTC at $17.20 a day",
        "- never resets",
    ]
    assert (asked["options"], asked["defaults"]) == (["Raise", "Leave", "Disable"], ["Leave"])
    assert asked["params"]["limit"]["value"] == 10
    assert asked["params"]["limit"]["schema"] == {
        "type": "number",
        "minimum": 0,
        "title": "New limit (USD)",
    }
    assert not server.requests
    assert TOKEN not in str(asked)


@pytest.mark.parametrize(
    ("limit", "max_limit", "proposed", "is_reached"),
    [(5.0, "8", 8, False), (5.0, 5, 5, True), (5.0, 4, 4, True), (0.0, 8, 8, False)],
)
def test_the_proposal_is_within_the_cap(limit, max_limit, proposed, is_reached, asked, connect):
    with KeyServer() as server:
        server.account.update_key(server.hashes["billing"], limit=limit)
        connect(server)
        with pytest.raises(InterruptedError):
            operator_for(server, max_limit=max_limit).execute(Context(task_instance=SimpleNamespace(id="ti")))
    form = asked["params"]["limit"]
    assert form["value"] == proposed
    assert ("it cannot be raised" in form["description"]) is is_reached


def test_a_key_in_place_of_its_record_is_refused_and_not_shown(asked, connect):
    with KeyServer() as server:
        connect(server)
        with pytest.raises(OpenRouterRequestError, match="key must be a key as a sensor returns it") as refusal:
            operator_for(server, key=TOKEN).execute(Context())
    assert not asked
    assert TOKEN not in str(refusal.value)


def test_nobody_is_asked_if_the_connection_does_not_allow_it(asked, connect):
    with KeyServer() as server:
        connect(server, allow_updates=False)
        with pytest.raises(OpenRouterRequestError, match="allow_updates"):
            operator_for(server).execute(Context())
    assert not asked


def test_the_link_leads_to_the_form_of_the_mapped_task():
    with KeyServer() as server:
        operator = operator_for(server)
    task = {"dag_id": "d", "run_id": "r", "task_id": "t"}
    link = operator.generate_link_to_ui(task_instance=SimpleNamespace(**task, map_index=2), base_url="http://a")
    assert link.startswith("http://a/dags/d/runs/r/tasks/t/mapped/2/required_actions")
    link = operator.generate_link_to_ui(task_instance=SimpleNamespace(**task, map_index=-1), base_url="http://a")
    assert link.startswith("http://a/dags/d/runs/r/tasks/t/required_actions")


# -- what is done


def test_raise_sets_the_limit_and_names_who_answered(resume, caplog):
    context = Context()
    with KeyServer() as server:
        done = resume(server, context=context, outlets=[asset := Asset("raised")])
    assert server.sent == [{"limit": 50}]
    assert (done["changed"], done["after"]["limit"]) == (True, 50)
    assert (done["answer"], done["answered_by"]) == ("Raise", "Ada")
    assert [note["answered_by"] for note in audits(caplog)] == ["Ada", "Ada"]
    assert context["outlet_events"][asset].extra == done
    assert TOKEN not in f"{done} {caplog.text}"


def test_disable_disables_the_key_and_leaves_its_limit(resume):
    with KeyServer() as server:
        done = resume(server, answer("Disable"))
    assert server.sent == [{"disabled": True}]
    assert done["answer"] == "Disable"


@pytest.mark.parametrize(("person", "said"), [(ADA, "Ada answered Leave"), (None, "nobody answered in time")])
def test_leave_skips_the_task_and_changes_nothing(person, said, resume, log):
    with KeyServer() as server, pytest.raises(AirflowSkipException, match=said):
        resume(server, answer("Leave", person=person))
    assert not server.requests
    assert said in log()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"limit": 20.0}, "was changed meanwhile. It has $15.70 of $20.00 left"),
        ({"limit": None}, "was changed meanwhile. It has no limit"),
        ({"limit_remaining": 4.0}, "is not low any more. It has $4.00 of $5.00 left"),
    ],
)
def test_what_was_settled_meanwhile_is_left_alone(change, said, resume, log):
    with KeyServer() as server:
        done = resume(server, between=lambda: server.account.update_key(server.hashes["billing"], **change))
    assert not server.sent
    assert done["changed"] is False
    assert said in log()


def test_a_key_that_was_reported_as_it_expires_is_raised(resume):
    with KeyServer() as server:
        resume(server, key=server.key() | {"reason": "expiry", "threshold": "7 days"})
    assert server.sent == [{"limit": 50}]


def test_a_key_without_a_limit_does_not_get_one(resume, log):
    with KeyServer() as server:
        server.account.update_key(server.hashes["billing"], limit=None)
        done = resume(server, key=server.key() | {"reason": "expiry", "threshold": "7 days"})
    assert not server.sent
    assert done["changed"] is False
    assert "cannot be raised. It has no limit" in log()


@pytest.mark.parametrize(
    ("event", "said"),
    [
        (answer(limit=100.01), "A limit of $100.01 is above max_limit, $100.00"),
        (answer(limit=5), "The new limit, $5.00, is not above the present one"),
        (answer(limit=None), "The new limit must be USD"),
        (answer(limit="much"), "The new limit must be USD"),
        (
            {"error": "150 is too much", "error_type": "validation"},
            "The amount entered is not allowed: 150 is too",
        ),
    ],
)
def test_an_amount_that_is_not_allowed_is_refused(event, said, resume):
    with KeyServer() as server, pytest.raises(OpenRouterRequestError) as refusal:
        resume(server, event)
    assert str(refusal.value).startswith(said)
    assert not server.sent


def test_a_failure_after_the_answer_names_who_answered(resume, caplog):
    with KeyServer(faults=(error(500),) * 3) as server, pytest.raises(OpenRouterServerError):
        resume(server)
    assert [(note["outcome"], note["answered_by"]) for note in audits(caplog)] == [
        ("sending", "Ada"),
        ("failed", "Ada"),
    ]


def test_permission_that_was_withdrawn_meanwhile_holds(resume):
    with KeyServer() as server, pytest.raises(OpenRouterRequestError, match="allow_updates"):
        resume(server, extras={"allow_updates": False})
    assert not server.requests


@pytest.mark.parametrize("max_limit", ["much", -1, None])
def test_a_cap_that_makes_no_sense_is_refused_at_parse_time(max_limit):
    with pytest.raises(OpenRouterRequestError, match="max_limit must be USD"):
        OpenRouterRaiseLimitOperator(task_id="ask", key={"hash": "a"}, max_limit=max_limit)


@pytest.mark.parametrize("mapped", [False, True])
def test_a_timeout_for_the_answer_is_passed_on(mapped):
    timeout, key = timedelta(hours=1), {"hash": "a"}
    arguments = {"task_id": "ask", "max_limit": 5, "response_timeout": timeout}
    with DAG("ask", schedule=None, start_date=datetime(2026, 1, 1, tzinfo=UTC)):
        if mapped:
            operator = OpenRouterRaiseLimitOperator.partial(**arguments).expand(key=[key]).unmap({"key": key})
        else:
            operator = OpenRouterRaiseLimitOperator(**arguments, key=key)
    assert getattr(operator, "response_timeout", operator.execution_timeout) == timeout
