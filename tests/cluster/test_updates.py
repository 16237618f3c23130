"""Changes of keys, made at once and approved, when what makes them is killed: each key is changed once."""

import re

import pytest
from airflows import read_log
from pages import empty_page, open_openrouter, running_chromium
from scenes import PATIENCE, ends, tries, worker_of

pytestmark = pytest.mark.timeout(900)

ASK = "Raise the limit of key {name} "


@pytest.fixture(scope="module")
def account(accounts):
    return accounts["updates"]


@pytest.fixture(scope="module")
def browser():
    with running_chromium() as browser:
        yield browser


@pytest.fixture
def page(browser, cluster):
    """An empty page of the cluster's Airflow."""
    with empty_page(browser, cluster.url, width=1280, height=1000) as page:
        yield page


def test_a_worker_killed_before_a_response_changes_a_key_once(cluster, account):
    keys = {task: create_low_key(account, task) for task in ("top_up", "set_limit")}
    account.goes_on.clear()
    cluster.trigger("changes", **keys)
    cluster.wait_for(lambda: account.kept_waiting == 2, "both keys to be changed", seconds=PATIENCE)
    killed = {worker_of(cluster, "changes", task) for task in keys}
    kill_and_restart(cluster, account, killed)

    ends(cluster, "changes")
    assert tries(cluster, "changes") == {"top_up": 2, "set_limit": 2}
    assert all(cluster.xcom("changes", task)["changed"] is False for task in keys)
    assert all(outcomes(cluster, "changes", task) == ["sending"] for task in keys)
    assert changes_of(account, keys["top_up"]) == changes_of(account, keys["set_limit"]) == 1
    assert limit_of(account, keys["top_up"]) == 54.6  # of which $4.60 were spent before
    assert limit_of(account, keys["set_limit"]) == 80


def test_the_page_and_what_it_asks_outlive_the_api_server(cluster, account, page):
    hash_ = create_low_key(account, "asked-page")
    asks(cluster, account, hash_)
    frame = open_openrouter(page, "Watchers")
    panel = frame.get_by_role("tabpanel", name="Watchers")
    answer = panel.get_by_role("link", name="Answer: " + ASK.format(name="asked-page"))
    answer.wait_for()

    cluster.kill("api-server")
    frame.get_by_role("button", name="Read again").click()
    panel.get_by_text("Airflow could not be reached").wait_for()
    cluster.start("api-server")

    def is_read_again():
        if (again := panel.get_by_role("button", name="Try again")).is_visible():
            again.click()
        return answer.is_visible()

    cluster.wait_for(is_read_again, "the page to be read again", seconds=PATIENCE)
    answer.click()
    choose_raise(page, 50)
    ends(cluster, "asks")
    assert limit_of(account, hash_) == 50
    assert changes_of(account, hash_) == 1


def test_a_worker_killed_after_an_approval_raises_the_limit_once(cluster, account, page):
    hash_ = create_low_key(account, "asked-twice")
    asks(cluster, account, hash_)
    account.goes_on.clear()
    waiting = account.kept_waiting
    answer(cluster, page, "asked-twice", 50)
    cluster.wait_for(lambda: account.kept_waiting > waiting, "the key to be raised", seconds=PATIENCE)
    kill_and_restart(cluster, account, {worker_of(cluster, "asks", "ask")})

    cluster.wait_for_waits("asks", "ask", seconds=PATIENCE)
    answer(cluster, page, "asked-twice", 60)
    ends(cluster, "asks", runs=2)
    assert cluster.xcom("asks", "ask")["changed"] is False
    assert limit_of(account, hash_) == 50
    assert changes_of(account, hash_) == 1


# -- helpers


def create_low_key(account, name):
    return account.create_key(name=name, limit=5.0, limit_remaining=0.4, limit_reset=None, expires_at=None)


def limit_of(account, hash_):
    return account.get_key(hash_)["limit"]


def changes_of(account, hash_):
    """Return how many requests have changed a key."""
    return account.requests.count(f"PATCH /api/v1/keys/{hash_}")


def outcomes(cluster, dag_id, task_id):
    """Return what all tries of a task have noted of changes, in this order."""
    logs = sorted((cluster.home / "logs").glob(f"dag_id={dag_id}/*/task_id={task_id}/attempt=*.log"))
    return re.findall(r'Key update: {\\+"outcome\\+": \\+"(\w+)', "".join(map(read_log, logs)))


def kill_and_restart(cluster, account, workers):
    """Kill workers that wait for a response, which nobody gets then, and start them again."""
    for worker in workers:
        cluster.kill(worker)
    account.goes_on.set()
    for worker in workers:
        cluster.start(worker)


def asks(cluster, account, hash_):
    """Let a run ask about a key, and wait until it waits."""
    cluster.trigger("asks", key=account.get_key(hash_))
    cluster.wait_for_waits("asks", "ask", seconds=PATIENCE)


def answer(cluster, page, name, amount):
    """Raise the limit of a key on the page, with the form that Airflow shows."""
    frame = open_openrouter(page, "Watchers")
    frame.get_by_role("link", name="Answer: " + ASK.format(name=name)).click()
    choose_raise(page, amount)


def choose_raise(page, amount):
    page.get_by_label("New limit (USD)").fill(str(amount))
    with page.expect_response(lambda response: response.request.method == "PATCH") as responded:
        page.get_by_role("button", name="Raise", exact=True).click()
    assert responded.value.status == 200
