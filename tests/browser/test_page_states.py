"""The page, served without an Airflow around it: its states, sizes and themes, and the ways to use it."""

import csv

import pytest
from pages import empty_page
from support.page import barriers, faults_of, is_too_wide
from support.sandboxes import Clock

from airflow_provider_openrouter.sandbox import Sandbox

pytestmark = pytest.mark.timeout(300)

TABS = ("Keys", "Spend", "Watchers")
PLOTLY = "**/static/plotly.min.js"
HOSTILE = ("<script>alert(1)</script>", "<img src=x onerror=alert(1)>", '=HYPERLINK("http://x")', "@SUM(1)")
REFUSED = {"password": "sk-or-v1-of-a-test-refused"}
UNREACHABLE = {"host": "http://127.0.0.1:1/api/v1"}
STATES = {
    "no_connection": ({"connection": None}, "There is no connection to OpenRouter", "Open connections"),
    "refused": ({"connection": REFUSED}, "The connection does not work", "Open connections"),
    "unreachable": ({"connection": UNREACHABLE}, "OpenRouter could not be reached", None),
    "logged_out": ({"role": None}, "You are logged out", "Log in to Airflow"),
    "not_allowed": ({"role": "viewer"}, "You may not see this page", None),
}
"""For each state how to serve the page in it, its title, and its link."""


@pytest.fixture
def page(browser, tmp_path):
    """An empty page without an Airflow; when a test fails, a screenshot of it goes to tmp_path."""
    with empty_page(browser, width=1280, height=900) as page:
        yield page


@pytest.fixture(autouse=True)
def no_faults(page):
    """No test may find a fault in the console."""
    faults = faults_of(page)
    yield
    assert faults == []


@pytest.fixture
def opened(page, expect):
    """Return a function that opens the page, waits until it is read, and returns the panel of a tab."""

    def open_(url, tab="Keys"):
        page.goto("about:blank")
        page.goto(f"{url}#{tab.lower()}")
        panel = page.get_by_role("tabpanel", name=tab)
        expect(page.locator("#overview[aria-busy=false]")).to_have_count(1)
        expect(panel.locator(".loading")).to_have_count(0)
        return panel

    return open_


def resize(page, width, scheme="light"):
    page.set_viewport_size({"width": width, "height": 900})
    page.emulate_media(color_scheme=scheme)


def names(panel):
    """Return the names of the keys in sight."""
    return panel.locator(".rows .row button").all_inner_texts()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [400, 1280])
def test_every_tab_and_a_key_can_be_seen_by_everybody(width, scheme, page, page_url, opened, expect):
    resize(page, width, scheme)
    for tab in TABS:
        opened(page_url, tab)
        assert page.locator("html").get_attribute("data-theme") == scheme
        assert (is_too_wide(page), barriers(page)) == (False, ""), tab
    opened(page_url).locator(".rows button").first.click()
    expect(page.get_by_role("dialog").locator(".loading")).to_have_count(0)
    assert (is_too_wide(page), barriers(page)) == (False, "")


@pytest.mark.parametrize("state", STATES)
def test_a_problem_is_one_sentence_and_what_to_do(state, page, serve, opened, expect):
    how, title, link = STATES[state]
    url = serve(**how)
    for scheme, width in (("light", 1280), ("dark", 400)):
        resize(page, width, scheme)
        shown = opened(url).locator(".state.problem")
        expect(shown.get_by_role("heading")).to_have_text(title)
        assert shown.get_by_role("link").all_inner_texts() == ([link] if link else [])
        assert (is_too_wide(page), barriers(page)) == (False, "")
    with page.expect_response("**/api/keys?fresh=true") as again:
        shown.get_by_role("button", name="Try again").click()
    assert again.value.json()["state"] == state


@pytest.mark.parametrize(
    ("title", "respond"),
    [
        ("Something went wrong", lambda route: route.fulfill(status=500, body="Internal Server Error")),
        ("Airflow could not be reached", lambda route: route.abort()),
    ],
    ids=["fails", "is gone"],
)
def test_a_server_that_fails_or_is_gone_is_a_problem_too(title, respond, page, page_url, opened, expect):
    page.route("**/api/*", respond)
    for tab in TABS:
        expect(opened(page_url, tab).get_by_role("heading")).to_have_text(title)
        assert barriers(page) == "", tab


def test_an_empty_account_says_so_in_every_tab(page, serve, opened, expect):
    # What keys spent that are no longer there is long ago, too.
    with Sandbox(keys=0, balance=0, now=Clock("2025-06-01")) as sandbox:
        url = serve(sandbox)
        for tab, said in zip(TABS, ("No keys yet", "No spend on these days", "No watchers yet"), strict=True):
            expect(opened(url, tab).locator(".state.empty").get_by_role("heading")).to_have_text(said)
            assert (is_too_wide(page), barriers(page)) == (False, ""), tab


def test_while_it_is_read_the_page_says_so(page, page_url, opened, expect):
    held = []
    page.route("**/api/*", lambda route: held.append(route))
    page.goto(page_url)
    expect(page.locator("#panel-keys .loading")).to_have_text("Reading the keys…")
    assert barriers(page) == ""
    for route in held:
        route.continue_()
    expect(page.locator(".rows .row").first).to_be_visible()


def test_what_was_read_stays_when_it_cannot_be_read_again(page, page_url, opened, expect):
    panel = opened(page_url)
    page.route("**/api/*", lambda route: route.abort())
    page.get_by_role("button", name="Read again").click()
    expect(page.locator(".notice")).to_contain_text("These figures could not be read again.")
    expect(panel.get_by_role("status")).to_have_text("60 keys")
    assert barriers(page) == ""


def test_a_snapshot_stands_in_for_openrouter(page, serve, snapshot, opened, expect):
    panel = opened(serve(UNREACHABLE, **snapshot))
    expect(page.locator("#read-at")).to_contain_text("Snapshot taken")
    expect(page.locator(".notice").first).to_contain_text("Could not reach")
    expect(panel.get_by_role("status")).to_have_text("60 keys")
    assert barriers(page) == ""


@pytest.fixture(scope="module")
def url_of_10001(serve):
    """The address of the page of an account with 10,001 keys."""
    with Sandbox(keys=10_000, workspaces=3) as sandbox:
        sandbox.create_key(name="the-one")
        yield serve(sandbox)


@pytest.mark.parametrize("width", [400, 1280])
def test_of_10001_keys_each_can_be_reached(width, page, url_of_10001, opened, expect):
    resize(page, width)
    panel = opened(url_of_10001)
    expect(panel.get_by_role("table", name="Keys")).to_have_attribute("aria-rowcount", "10002")
    panel.locator(".rows button").first.focus()
    page.keyboard.press("End")
    expect(panel.locator("[aria-rowindex='10002'] button")).to_be_focused()
    assert len(names(panel)) < 100
    panel.get_by_role("searchbox").fill("the-one")
    expect(panel.get_by_role("status")).to_have_text("1 of 10,001 keys")
    assert names(panel) == ["the-one"]
    assert not is_too_wide(page)


def test_the_keyboard_alone_is_enough(page, page_url, opened, expect):
    panel = opened(page_url)
    search = panel.get_by_role("searchbox")
    for _ in range(12):
        page.keyboard.press("Tab")
        if search.evaluate("field => field === document.activeElement"):
            break
    page.keyboard.type("billing")
    row = panel.locator(".rows button").nth(1)
    expect(panel.get_by_role("status")).to_contain_text("of 60 keys")
    while not panel.locator(".rows button:focus").count():
        page.keyboard.press("Tab")
    page.keyboard.press("ArrowDown")
    expect(row).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.get_by_role("dialog", name=row.inner_text())).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_be_hidden()
    expect(row).to_be_focused()
    page.get_by_role("tab", name="Keys").focus()
    for tab in ("Spend", "Watchers", "Keys"):
        page.keyboard.press("ArrowRight")
        expect(page.get_by_role("tab", name=tab)).to_be_focused()
        expect(page.get_by_role("tabpanel", name=tab)).to_be_visible()


def test_a_hostile_name_is_text_on_the_page_and_in_the_csv(page, serve, opened, expect, tmp_path):
    page.on("dialog", lambda dialog: pytest.fail(f"A script of a name ran: {dialog.message}"))
    with Sandbox(keys=0) as sandbox:
        for name in HOSTILE:
            sandbox.create_key(name=name)
        panel = opened(serve(sandbox))
    assert sorted(names(panel)) == sorted(HOSTILE)
    for name in HOSTILE:
        panel.get_by_role("button", name=name, exact=True).click()
        expect(page.get_by_role("dialog", name=name)).to_be_visible()
        page.keyboard.press("Escape")
    with page.expect_download() as saved:
        panel.get_by_role("button", name="Save as CSV").click()
    saved.value.save_as(tmp_path / "keys.csv")
    with (tmp_path / "keys.csv").open(encoding="utf-8-sig", newline="") as file:
        written = {row["name"] for row in csv.DictReader(file)}
    assert written == {f"'{name}" if name[0] in "=@" else name for name in HOSTILE}


@pytest.mark.parametrize("has_plotly", [True, False])
def test_spend_is_shown_with_plotly_and_without(has_plotly, page, page_url, opened, expect):
    if not has_plotly:
        page.route(PLOTLY, lambda route: route.fulfill(status=404))
    panel = opened(page_url, "Spend")
    expect(panel.locator(".chart .main-svg").first).to_be_visible(visible=has_plotly)
    expect(panel.locator("figure.days")).to_be_visible(visible=not has_plotly)
    for by in ("Workspace", "Team", "Model"):
        panel.get_by_text(by, exact=True).first.click()
        expect(panel.locator("caption")).to_contain_text(f"Spend by {by.lower()}")
        expect(panel.locator("tfoot")).to_contain_text("$")
    panel.get_by_text("Each day as a table").click()
    assert (is_too_wide(page), barriers(page)) == (False, "")
