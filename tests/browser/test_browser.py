"""What people see of the provider in the pages of a real Airflow, in a real browser."""

import json
from urllib.parse import urlsplit

import pytest
from pages import add_connection, open_task

from airflow_provider_openrouter.connection import FORM
from airflow_provider_openrouter.get_provider_info import get_provider_info
from airflow_provider_openrouter.sandbox import INFERENCE_TOKEN, TOKEN

EXTRA_FIELDS = get_provider_info()["connection-types"][0]["conn-fields"]
TYPED = "sk-or-v1-of-a-test-typed-into-the-form"
REFUSED = "sk-or-v1-of-a-test-refused-by-the-sandbox"

pytestmark = pytest.mark.timeout(600)


def click_for(page, connection_id, button):
    """Click a button in a connection's row."""
    page.get_by_role("row", name=connection_id).get_by_role("button", name=button).click()


def result_of_test(page, connection_id):
    """Test a connection, and return the title and the sentence of the result."""
    click_for(page, connection_id, "Test Connection")
    title, sentence = page.get_by_role("status").filter(has_text="Test Connection").inner_text().split("\n")
    return title, sentence


def all_on(page):
    """Return the whole content of a page, including what is typed into its fields."""
    values = page.locator("input, textarea").evaluate_all("fields => fields.map(field => field.value)")
    return "\n".join([page.content(), *values])


def test_the_form_has_labels_hides_the_key_and_keeps_numbers(page, airflow, expect, tmp_path):
    form = add_connection(page, "typed")
    expect(form.get_by_role("region", name="Standard Fields").locator("label")).to_have_text(
        ["Description", "Base URL", "Management API key", "Port"]
    )
    base_url, key = form.get_by_label("Base URL"), form.get_by_label("Management API key")
    for field, name in ((base_url, "host"), (key, "password"), (form.get_by_label("Port"), "port")):
        expect(field).to_have_attribute("placeholder", FORM["placeholders"][name])
    expect(key).to_have_attribute("type", "password")
    base_url.fill("https://openrouter.example/api/v1")
    key.fill(TYPED)

    form.get_by_role("button", name="Extra Fields", exact=True).click()
    for field in EXTRA_FIELDS.values():
        expect(form.get_by_label(field["label"])).to_have_accessible_description(field["description"])
    numbers = {"Timeout (seconds)": "7.5", "Retries": "2", "Concurrency": "4"}
    for label, number in numbers.items():
        expect(form.get_by_label(label)).to_have_role("spinbutton")
        form.get_by_label(label).fill(number)
    form.get_by_text("Allow plain HTTP").click()
    form.get_by_role("button", name="Save").click()
    expect(form).to_be_hidden()

    page.reload()
    click_for(page, "typed", "Edit Connection")
    form = page.get_by_role("dialog")
    expect(form.get_by_label("Base URL")).to_have_value("https://openrouter.example/api/v1")
    expect(form.get_by_label("Management API key")).to_have_value("***")
    form.get_by_role("button", name="Extra Fields", exact=True).click()
    for label, number in numbers.items():
        expect(form.get_by_label(label)).to_have_value(number)
    expect(form.get_by_label("Allow plain HTTP")).to_be_checked()
    assert TYPED not in all_on(page)
    form.get_by_label("Retries").fill("3")
    form.get_by_role("button", name="Save").click()
    expect(form).to_be_hidden()

    airflow.run("connections", "export", str(tmp_path / "connections.json"))
    stored = json.loads((tmp_path / "connections.json").read_text())["typed"]
    assert (stored["conn_type"], stored["password"]) == ("openrouter", TYPED)
    assert json.dumps(json.loads(stored["extra"])) == (
        '{"timeout": 7.5, "max_retries": 3, "max_concurrency": 4, "allow_http": true, "allow_updates": null}'
    )


TESTED = {
    "management": (TOKEN, "Test Connection Successful", "This connection only reads: allow_updates is not set."),
    "inference": (INFERENCE_TOKEN, "Test Connection Failed", "The key works, but it is an inference key"),
    "refused": (REFUSED, "Test Connection Failed", "must be an active management key"),
}


@pytest.mark.parametrize("connection_id", TESTED)
def test_a_connection_test_says_what_kind_of_key_it_is(connection_id, page, sandbox, expect):
    key, title, sentence = TESTED[connection_id]
    form = add_connection(page, connection_id)
    url = urlsplit(sandbox.base_url)
    form.get_by_label("Base URL").fill(f"http://{url.hostname}")
    form.get_by_label("Port").fill(str(url.port))
    form.get_by_label("Management API key").fill(key)
    form.get_by_role("button", name="Save").click()
    expect(form).to_be_hidden()
    shown = result_of_test(page, connection_id)
    assert (shown[0], sentence in shown[1]) == (title, True), shown
    assert key not in all_on(page)


def test_a_deferred_sensors_log_shows_each_poll_and_the_end(page, airflow, sandbox, expect):
    dag_id, task_id = "openrouter_key_limit_alert", "wait_for_low_key"
    airflow.wait_for_waits(dag_id, task_id)
    open_task(page, airflow, dag_id, task_id)
    expect(page.get_by_text("Deferred", exact=True)).to_be_visible()
    checks = page.get_by_text("19 keys watched (3 more not measurable), 0 below 10% of the limit")
    lowest = page.get_by_text("Lowest: support-prod-3 (Default) has $2.20 of $20.00 left, never resets")
    for shown in (checks, lowest):
        by_the_worker, by_the_triggerer = shown.nth(0), shown.nth(2)
        expect(by_the_worker).to_be_visible()
        expect(by_the_triggerer).to_be_visible()
    expect(page.get_by_text("Deferred", exact=True)).to_be_visible()

    sandbox.create_key(name="about-to-run-dry", limit=10.0, limit_remaining=0.25, expires_at=None)
    for line in (
        "20 keys watched (3 more not measurable), 1 below 10% of the limit",
        "about-to-run-dry (Default) has $0.25 of $10.00 left",
        "The trigger found 1 low key",
    ):
        expect(page.get_by_text(line)).to_be_visible()
    expect(page.get_by_text("Success", exact=True)).to_be_visible()
    assert TOKEN not in all_on(page)


def test_the_summary_is_readable_in_the_xcom_tab(page, airflow, expect):
    dag_id, task_id = "openrouter_keys_snapshot", "write_snapshot"
    airflow.wait_for(lambda: airflow.run_states(dag_id) == ["success"], "the snapshot")
    summary = airflow.xcom(dag_id, task_id, "summary")
    open_task(page, airflow, dag_id, task_id, "xcom")
    page.get_by_role("button", name="Expand all").click()
    shown = page.get_by_role("row", name="summary")
    for line in (
        '"workspace": "all workspaces"',
        f'"keys": {summary["keys"]}',
        f'"usage_monthly": {summary["usage_monthly"]}',
        f'"name": "{summary["lowest"][0]["name"]}"',
    ):
        expect(shown).to_contain_text(line)
    shown.scroll_into_view_if_needed()
    expect(shown.get_by_text('"usage_monthly"')).to_be_in_viewport()
    assert TOKEN not in all_on(page)
