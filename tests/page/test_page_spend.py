"""What an account spent on each day, as the page reads it from the API."""

from collections import defaultdict
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pytest
from support.activity import shown_amounts
from support.servers import HANGS, TOKEN, Account, Server, data

from airflow_provider_openrouter.api import OpenRouterClient
from airflow_provider_openrouter.exceptions import OpenRouterConnectionError, OpenRouterRequestError
from airflow_provider_openrouter.keys import team
from airflow_provider_openrouter.page.spend import MOST_KEYS, show_spend
from airflow_provider_openrouter.page.spend_days import NO_KEY, SpendQuery, Spent, stack
from airflow_provider_openrouter.watch.sources import Stop

YESTERDAY = datetime.now(UTC).date() - timedelta(days=1)


def ago(days):
    return YESTERDAY - timedelta(days=days)


def shown(server, *, stop=None, sql_conn_id=None, **query):
    client = OpenRouterClient(TOKEN if isinstance(server, Server) else server.token, base_url=server.base_url)
    client.max_retries = 0
    return show_spend(
        SpendQuery.read(**query),
        openrouter_conn_id="openrouter_default",
        connect=lambda: client,
        stop=stop or Stop(),
        sql_conn_id=sql_conn_id,
    )


# -- the sums are those of the API


def account_of(sandbox):
    """Create more keys than there are groups, in three workspaces, and delete one that has spent."""
    keys = [key for each in sandbox.workspaces for key in listed(sandbox, each["id"])]
    sandbox.delete_key(next(key["hash"] for key in keys if key["usage_monthly"] > 0))


def listed(sandbox, workspace_id):
    return sandbox.list_keys(workspace_id, include_disabled=True, include_expired=True, offset=0, limit=1000)


def truth(sandbox, by, key_hash=None):
    """Return what each group spent on each day, by the sandbox's own books."""
    days = [ago(days) for days in range(30)]
    names = {each["id"]: each["name"] for each in sandbox.workspaces}
    keys = [key for id_ in names for key in listed(sandbox, id_)]
    sums = defaultdict(Decimal)

    def add(name_of, sign=1, **filters):
        for row in sandbox.list_activity(days=days, **filters):
            sums[name_of(row), row["date"]] += sign * Decimal(str(row["usage"]))

    if by == "model":
        add(lambda row: row["model"], key_hash=key_hash)
    elif by == "workspace":
        add(lambda row: names[row["workspace_id"]], key_hash=key_hash, by_workspace=True)
    else:
        for key in keys:
            if key_hash in (None, key["hash"]):
                add(lambda _, key=key: key["name"] if by == "key" else team(key["name"]), key_hash=key["hash"])
                if key_hash is None:
                    add(lambda _: NO_KEY, -1, key_hash=key["hash"])
        if key_hash is None:
            add(lambda _: NO_KEY)
    return {place: amount for place, amount in sums.items() if amount}


@pytest.fixture
def spenders():
    from airflow_provider_openrouter.sandbox import Sandbox

    with Sandbox(keys=20, workspaces=3) as sandbox:
        account_of(sandbox)
        yield sandbox


@pytest.mark.parametrize("by", ["model", "workspace", "team", "key"])
def test_the_days_are_those_of_the_apis_activity(spenders, by):
    spend, expected = shown(spenders, by=by), truth(spenders, by)
    assert spend["days"] == [str(ago(days)) for days in reversed(range(30))]
    names = [group["name"] for group in spend["groups"]]
    summed = defaultdict(Decimal)
    for (name, day), amount in expected.items():
        summed[name if name in names else "Others", day] += amount
    assert shown_amounts(spend) == {place: round(float(amount), 6) for place, amount in summed.items()}
    totals = defaultdict(Decimal)
    for (name, _), amount in summed.items():
        totals[name] += amount
    assert {group["name"]: group["total"] for group in spend["groups"]} == {
        name: round(float(amount), 6) for name, amount in totals.items()
    }
    assert (spend["source"], spend["by"], spend["notice"]) == ("activity", by, None)
    account = sum(row["usage"] for row in spenders.list_activity(days=[ago(days) for days in range(30)]))
    assert sum(group["total"] for group in spend["groups"]) == pytest.approx(account, abs=1e-5)


@pytest.mark.parametrize("by", ["model", "workspace", "team", "key"])
def test_the_days_of_one_key_are_its_own(spenders, by):
    keys = listed(spenders, spenders.workspaces[0]["id"])
    key = max(keys, key=lambda key: len({name for name, _ in truth(spenders, "model", key["hash"])}))
    expected = truth(spenders, by, key["hash"])
    assert len({name for name, _ in expected}) >= (2 if by == "model" else 1)
    assert shown_amounts(shown(spenders, by=by, key=key["hash"])) == {
        place: round(float(amount), 6) for place, amount in expected.items()
    }


def test_the_api_knows_thirty_days(sandbox):
    spend = shown(sandbox, days="90")
    assert (len(spend["days"]), spend["groups"]) == (30, shown(sandbox, days=30)["groups"])
    assert spend["notice"] == "The API knows only the last 30 days. A database in page_sql_conn_id can have more."
    assert shown(sandbox, days=7)["days"] == spend["days"][-7:]


# -- odd rows


@pytest.mark.parametrize("by", ["model", "workspace", "team", "key"])
def test_odd_rows_do_no_harm(by):
    rows = [
        {"date": str(ago(0)), "model": "a", "workspace_id": "workspace-0", "usage": 1.0},
        {"date": f"{ago(0)} 00:00:00", "model": None, "usage": "0.5"},
        {"date": str(ago(0)), "model": "", "usage": 0.25},
        {"date": str(ago(0)), "model": {"a": 1}, "workspace_id": 7, "usage": 0.125},
        {"date": "soon", "model": "a", "usage": 2.0},
        {"model": "a", "usage": 4.0},
        {"date": str(ago(30)), "model": "a", "usage": 8.0},
        *({"date": str(ago(1)), "model": "a", "usage": usage} for usage in (None, "NaN", [1], True, 1e301)),
        {},
    ]
    account = Account(1)
    with Server(lambda request: data(rows) if request.path == "/activity" else account(request)) as server:
        spend = shown(server, by=by)
    named = {
        "model": {"a": 1.0, "(no name)": 0.75, '{"a": 1}': 0.125},
        "workspace": {"Workspace 0": 1.0, "(no workspace)": 0.75, "7": 0.125},
        "team": {"(no name)": 1.875},
        "key": {"hash-0": 1.875},
    }
    assert {group["name"]: group["total"] for group in spend["groups"]} == named[by]
    assert {day for _, day in shown_amounts(spend)} == {str(ago(0))}
    assert spend["notice"] == "$6.00 is left out, as its day cannot be read."


def test_keys_that_have_more_than_the_account_take_it_back():
    account, row = Account(2), {"date": str(ago(0)), "model": "a", "usage": 1.0}
    with Server(lambda request: data([row]) if request.path == "/activity" else account(request)) as server:
        spend = shown(server, by="key")
    assert shown_amounts(spend)[NO_KEY, str(ago(0))] == -1.0


# -- keys that are asked for one by one


def test_too_many_keys_are_not_asked_for():
    account = Account(MOST_KEYS + 1)
    with Server(lambda request: data([]) if request.path == "/activity" else account(request)) as server:
        for by in ("key", "team"):
            expected = f"Spend by {by} takes one request per key, and 251 keys are too many. Set page_sql_conn_id"
            with pytest.raises(OpenRouterRequestError, match=expected) as caught:
                shown(server, by=by)
            assert caught.value.status_code is None
        assert {request.path for request in server.requests} == {"/keys", "/workspaces"}
        account.keys[0] |= {"last_used_at": f"{ago(30)}T23:59:59Z"}
        assert shown(server, by="team")["groups"] == []
    asked = [request.query["api_key_hash"] for request in server.requests if "api_key_hash" in request.query]
    assert sorted(asked) == sorted(account.hashes[1:])


def test_asking_for_each_key_ends_when_it_is_stopped():
    account, stop = Account(20), Stop()

    def answer(request):
        if "api_key_hash" in request.query:
            stop.set()
            return HANGS
        return data([]) if request.path == "/activity" else account(request)

    with (
        Server(answer) as server,
        pytest.raises(OpenRouterConnectionError, match="took too long"),
    ):
        shown(server, by="team", stop=stop)


# -- what is asked, and how it is stacked


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        *(({"by": by}, "by must be one of model, workspace, team, key, not") for by in ("", "prefix", "Model")),
        *(
            ({"days": days}, "days must be a whole number from 1 to 365, not")
            for days in ("0", "366", "-1", "1.5", "", "ten", "٣", "9" * 5000, None, True)
        ),
        ({"key": "../keys"}, "No key has the hash"),
        ({"key": TOKEN}, "A key was given in place of its hash"),
    ],
)
def test_nonsense_is_refused(asked, message):
    with pytest.raises(OpenRouterRequestError, match=message) as caught:
        SpendQuery.read(**asked)
    assert len(str(caught.value)) < 200


def test_what_is_asked_is_read_from_text():
    assert SpendQuery.read(by="team", key="", days="007") == SpendQuery(by="team", days=7)
    assert SpendQuery.read(key="0e6f", days="365") == SpendQuery(key="0e6f", days=365)


def stacked(*spent, days=3, by="key"):
    rows = [Spent(date(2026, 11, day), group, name, Decimal(amount)) for day, group, name, amount in spent]
    return stack(rows, SpendQuery(by=by, days=days), last=date(2026, 11, 3), source="warehouse")


def test_the_largest_groups_come_first_and_the_rest_is_one():
    spend = stacked(*((3 - number % 2, f"k{number}", None, f"{number}.1") for number in range(10)))
    assert [group["name"] for group in spend["groups"]] == [
        *(f"k{number}" for number in range(9, 1, -1)),
        "Others",
    ]
    assert spend["groups"][-1] == {"name": "Others", "spend": [0, 1.1, 0.1], "total": 1.2}
    assert len(stacked(*((3, f"k{number}", None, "1") for number in range(8)))["groups"]) == 8


def test_days_have_no_gaps_and_groups_their_newest_names():
    spent = [(2, "a", "now", "0.1"), (1, "a", "once", "0.2"), (3, "a", None, "0"), (2, "b", "b", "0")]
    spend = stacked(*spent)
    assert spend["days"] == ["2026-11-01", "2026-11-02", "2026-11-03"]
    assert spend["groups"] == [{"name": "now", "spend": [0.2, 0.1, 0], "total": 0.3}]


def test_groups_of_the_same_name_are_told_apart():
    spend = stacked((3, "0e6f12345", "x", "3"), (3, "9a", "x", "2"), (3, "", "", "1"), (3, "c", "a\n<b>", "0.5"))
    assert [group["name"] for group in spend["groups"]] == ["x (0e6f1234)", "x (9a)", "(no name)", "a <b>"]
