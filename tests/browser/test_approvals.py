"""What a person answers about low keys in the pages of a real Airflow, and what becomes of each key."""

import pytest
from pages import open_openrouter, open_required_action

from airflow_provider_openrouter.api import OpenRouterClient
from airflow_provider_openrouter.sandbox import TOKEN

pytestmark = pytest.mark.timeout(600)

ENDED = ("failed", "skipped", "success")
UNCHANGED = {"limit": 5, "disabled": False}
ANSWERS = {
    "asked-raise": ("Raise", "50", {"limit": 50, "disabled": False}),
    "asked-other": ("Raise", "12.5", {"limit": 12.5, "disabled": False}),
    "asked-leave": ("Leave", "50", UNCHANGED),
    "asked-disable": ("Disable", "50", {"limit": 5, "disabled": True}),
    "asked-above": ("Raise", "1000", UNCHANGED),
}
"""For each key the option that is chosen, the amount that is entered, and what is then true of the key."""


def states(airflow, task_id):
    """Return the states of the instances of a mapped task."""
    find = "select state from task_instance where dag_id = 'approvals' and task_id = :task_id and map_index >= 0"
    return [state for (state,) in airflow.query(find, task_id=task_id)]


def open_form(page, name):
    """Open the form about a key, and return the field for the amount."""
    open_required_action(page, f"Raise the limit of key {name} ")
    return page.get_by_label("New limit (USD)")


def choose(page, option):
    """Choose an option on the open form, and return the status with which Airflow responds."""
    with page.expect_response(lambda response: response.request.method == "PATCH") as responded:
        page.get_by_role("button", name=option, exact=True).click()
    return responded.value.status


def keys_of(sandbox):
    """Return what the sandbox says about each key."""
    listed = OpenRouterClient(TOKEN, base_url=sandbox.base_url).list_keys(include_disabled=True)
    return {key["name"]: {name: key[name] for name in UNCHANGED} for key in listed}


def test_each_answer_changes_only_the_key_that_it_is_about(page, airflow, low_keys, expect):
    airflow.wait_for_waits("approvals", "ask_asked", instances=len(ANSWERS))
    # Also before each answer below: Airflow 3.3.2 can block itself on SQLite if one comes while a task starts.
    airflow.wait_for(lambda: states(airflow, "ask_forgotten") == ["skipped"], "the other task to end")
    late = page.context.new_page()
    watchers = open_openrouter(late, "Watchers")
    watchers.get_by_role("link", name="Answer: Raise the limit of key asked-raise ").click()
    late.get_by_label("New limit (USD)").fill("70")
    logs = {}
    for name, (option, amount, _) in ANSWERS.items():
        open_form(page, name).fill(amount)
        assert choose(page, option) == 200
        logs[name] = page.url.removesuffix("/required_actions")
        airflow.wait_for(lambda: sum(map(ENDED.count, states(airflow, "ask_asked"))) == len(logs), name)
    assert choose(late, "Raise") == 409
    assert sorted(states(airflow, "ask_asked")) == ["failed", "skipped", "success", "success", "success"]

    expected = {name: fields for name, (*_, fields) in ANSWERS.items()}
    assert keys_of(low_keys) == expected | {"forgotten": UNCHANGED}
    for name, said in {
        "asked-raise": "limit $5.00 → $50.00",
        "asked-leave": "Anonymous answered Leave",
        "asked-above": "A limit of $1,000.00 is above max_limit, $100.00. Nothing was changed.",
    }.items():
        page.goto(logs[name])
        expect(page.get_by_text(said).first).to_be_visible()
        assert TOKEN not in page.content()


def test_without_an_answer_in_time_a_key_is_left_as_it_is(airflow, low_keys):
    airflow.wait_for(lambda: states(airflow, "ask_forgotten") == ["skipped"], "the timeout")
    assert "key forgotten" in airflow.logs()
    assert "as it is: nobody answered in time" in airflow.logs()
    assert keys_of(low_keys)["forgotten"] == UNCHANGED
