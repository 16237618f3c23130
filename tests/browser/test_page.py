"""The page in the pages of a real Airflow: how people get there, and what leads from it into Airflow."""

import csv

import pytest
from page_account import LASTS
from pages import choose_appearance, open_openrouter
from support.lines import BEFORE_AIRFLOW_3_3
from support.page import faults_of

pytestmark = pytest.mark.timeout(600)


@pytest.fixture
def frame(page):
    """The page in Airflow's frame, opened by its menu; it has no fault."""
    faults = faults_of(page)
    yield open_openrouter(page)
    assert faults == []


def test_keys_are_searched_filtered_sorted_opened_and_saved(page, frame, expect, tmp_path):
    panel = frame.get_by_role("tabpanel", name="Keys")
    found, names = panel.get_by_role("status"), panel.locator(".rows .row button")
    expect(found).to_have_text("60 keys")
    expect(names.nth(1)).to_have_text("support-dev-59")  # it has nothing left
    expect(panel.get_by_role("row", name="billing-dev-56")).to_contain_text("of $200.00")

    panel.get_by_role("searchbox").fill("DEV")
    expect(found).to_have_text("20 of 60 keys")
    frame.get_by_role("button", name="Low").click()
    low = {name for name, days in LASTS.items() if days <= 3 and "-dev-" in name}
    expect(found).to_have_text(f"{len(low)} of 60 keys")
    assert set(names.all_inner_texts()) == low
    panel.get_by_role("button", name="Month").click()
    expect(panel.get_by_role("columnheader", name="Month")).to_have_attribute("aria-sort", "descending")
    assert names.all_inner_texts() == ["support-dev-59", "search-dev-44", "billing-dev-56"]

    names.nth(2).click()
    dialog = frame.get_by_role("dialog", name="billing-dev-56")
    expect(dialog.get_by_role("table", name="Spend", exact=True)).to_contain_text("This week")
    expect(dialog.locator("figure.days")).to_be_visible()
    dialog.get_by_role("button", name="Close").click()
    expect(names.nth(2)).to_be_focused()

    with page.expect_download() as saved:
        panel.get_by_role("button", name="Save as CSV").click()
    saved.value.save_as(tmp_path / "keys.csv")
    with (tmp_path / "keys.csv").open(encoding="utf-8-sig", newline="") as file:
        assert {row["name"] for row in csv.DictReader(file)} == low


def test_a_watcher_shows_its_rule_and_leads_to_its_dag(page, frame, airflow, expect):
    frame.get_by_role("tab", name="Watchers").click()
    watcher = frame.get_by_role("listitem").filter(has_text="openrouter_low_keys")

    state, said = ("Unknown", "is not known") if BEFORE_AIRFLOW_3_3 else ("Watching", "keys low")

    def has_looked():
        frame.get_by_role("button", name="Read again").click()
        shown = " ".join(watcher.all_inner_texts())
        return state in shown and said in shown

    airflow.wait_for(has_looked, "a poll", seconds=60)
    expect(watcher).to_contain_text("3 days")
    watcher.get_by_role("link", name="openrouter_key_low_event").click()
    page.wait_for_url("**/dags/openrouter_key_low_event**")
    expect(page.get_by_role("heading", name="openrouter_key_low_event")).to_be_visible()


def test_the_page_is_dark_when_airflow_is(page, frame, expect):
    for mode in ("Dark", "Light"):
        choose_appearance(page, mode)
        expect(frame.locator("html")).to_have_attribute("data-theme", mode.lower())
