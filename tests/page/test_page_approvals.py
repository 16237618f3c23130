"""The raises that wait for a person, as the page shows them."""

from datetime import UTC, datetime, timedelta

import pytest
from support import airflow_rows as rows
from support.lines import needs_page

session = rows.session
pytestmark = needs_page

OURS = {"operator": "OpenRouterRaiseLimitOperator", "state": "deferred"}
NOW = datetime.now(UTC)


@pytest.fixture
def ask(session):
    """Return a function that adds a task that asks."""
    from airflow.models.hitl import HITLDetail
    from airflow.models.renderedtifields import RenderedTaskInstanceFields
    from sqlalchemy import insert

    for dag_id in ("billing", "secret"):
        rows.add_dag(session, dag_id)

    def ask(subject="Raise?", *, at=NOW, answered=False, dag_id="billing", key=None, map_index=-1, **task):
        ti_id = rows.add_task(session, dag_id=dag_id, map_index=map_index, **OURS | task)
        asked = {
            "ti_id": ti_id,
            "subject": subject,
            "options": ["Raise", "Leave"],
            "params": {},
            "params_input": {},
        }
        answer = {"responded_at": NOW} if answered else {}
        session.execute(insert(HITLDetail).values(asked | answer | {"created_at": at}))
        if key:
            place = {
                "dag_id": dag_id,
                "run_id": "run",
                "task_id": task.get("task_id", "ask"),
                "map_index": map_index,
            }
            fields = {"key": key, "openrouter_conn_id": "one"}
            session.execute(insert(RenderedTaskInstanceFields).values(place | {"rendered_fields": fields}))

    return ask


def listed(session, dag_ids=("billing",)):
    from airflow_provider_openrouter.page.approvals import list_approvals

    return list_approvals(session, dag_ids=dag_ids)


def test_a_raise_that_waits_is_listed_with_its_form(ask, session):
    ask("Raise the limit of key billing-eu?", key={"hash": "a1", "name": "billing-eu"}, map_index=2)
    assert listed(session) == [
        {
            "subject": "Raise the limit of key billing-eu?",
            "dag_id": "billing",
            "run_id": "run",
            "task_id": "ask",
            "map_index": 2,
            "key": "a1",
            "since": NOW.isoformat(),
            "url": "dags/billing/runs/run/tasks/ask/mapped/2/required_actions",
        }
    ]


def test_raises_that_wait_longest_come_first(ask, session):
    for map_index, hours in enumerate((1, 3, 2)):
        ask(f"{hours} h", at=NOW - timedelta(hours=hours), map_index=map_index, key={"hash": f"k{hours}"})
    said = [(each["subject"], each["key"]) for each in listed(session)]
    assert said == [("3 h", "k3"), ("2 h", "k2"), ("1 h", "k1")]


@pytest.mark.airflow(">=3.3", "approvals")
def test_a_raise_waits_in_the_newer_state_too(ask, session):
    ask(state="awaiting_input")
    assert len(listed(session)) == 1


@pytest.mark.parametrize(
    "other",
    [
        {"answered": True},
        {"state": "success"},
        {"operator": "ApprovalOperator"},
        {"dag_id": "secret"},
    ],
    ids=repr,
)
def test_nothing_else_is_listed(other, ask, session):
    ask(**other)
    assert listed(session) == []


@pytest.mark.parametrize("key", [None, "Truncated. You can change …", {"name": "a"}, {"hash": 5}], ids=repr)
def test_a_key_that_is_not_known_is_none(key, ask, session):
    ask(key=key)
    [approval] = listed(session)
    assert approval["key"] is None
    assert approval["url"] == "dags/billing/runs/run/tasks/ask/required_actions"
