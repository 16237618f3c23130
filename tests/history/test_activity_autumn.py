"""The answers about two months of activity, compared with its ledger."""

import pytest
from support.autumn import NOT_BY_KEY, SUMS, Autumn, day_text
from support.histories import ask


@pytest.fixture(scope="module")
def autumn():
    return Autumn()


@pytest.fixture(scope="module")
def spent(dialect, keep, autumn):
    """The activity, beside the keys' snapshots, in each of the databases."""
    return keep(dialect, autumn.snapshots, activity=autumn.activity)


@pytest.fixture(scope="module")
def alone(dialect, keep, autumn):
    """The activity alone, in each of the databases."""
    return keep(dialect, [], activity=autumn.activity)


def found(answer, *by, names=SUMS):
    """What was answered, by some columns; PostgreSQL and MariaDB add integers up to decimals."""
    groups = {tuple(row[name] for name in by): {name: float(row[name]) for name in names} for row in answer}
    assert len(groups) == len(answer)
    return groups


def expected(sums, names=SUMS):
    return {group: {name: values[name] for name in names} for group, values in sums.items()}


def test_the_season_of_activity_has_all_that_is_hard(autumn):
    assert {spender.hash for spender, *_ in autumn.ledger} >= {None, "d"}
    assert len(autumn.activity) > len(autumn.ledger)
    assert {kind for _, kind, *_ in autumn.unusual_days(1000)} == {"key", "team"}
    assert autumn.sums(1000, "prefix") != autumn.sums(1000, "prefix", named=False)


@pytest.mark.parametrize("days", [30, 1000])
def test_spend_per_model_is_that_of_the_ledger(spent, autumn, days):
    names = ("requests", "prompt_tokens", "completion_tokens", "spend", "byok_spend")
    answer = ask(spent, "spend_per_model", days=days)
    sums = {
        (source, day_text(day), model): values
        for (source, day, model), values in autumn.sums(days, "source", "day", "model").items()
    }
    assert found(answer, "source", "day", "model", names=names) == expected(sums, names)
    assert [(row["source"], row["day"]) for row in answer] == sorted(
        (row["source"], row["day"]) for row in answer
    )


@pytest.mark.parametrize("named", [True, False])
def test_teams_are_those_of_the_day_where_it_is_known(spent, alone, autumn, named):
    answer = ask(spent if named else alone, "spend_per_prefix_and_model", days=40)
    sums = autumn.sums(40, "source", "prefix", "model", named=named)
    names = ("requests", "spend", "byok_spend")
    assert found(answer, "source", "prefix", "model", names=names) == expected(sums, names)
    keys = {group: len(values["keys"]) for group, values in sums.items()}
    assert {(row["source"], row["prefix"], row["model"]): row["key_count"] for row in answer} == keys


def test_tokens_cost_what_the_ledger_says(spent, autumn):
    answer = ask(spent, "tokens_per_model", days=40)
    sums = autumn.sums(40, "source", "model")
    assert found(answer, "source", "model") == expected(sums)
    for row in answer:
        of_model = sums[row["source"], row["model"]]
        tokens = of_model["prompt_tokens"] + of_model["completion_tokens"]
        cost = of_model["spend"] + of_model["byok_spend"]
        assert float(row["cost_per_thousand"]) == pytest.approx(cost * 1000 / tokens, abs=1e-9)
        share = of_model["cached_tokens"] / of_model["prompt_tokens"]
        assert float(row["cached_share"]) == pytest.approx(share, abs=1e-6)


@pytest.mark.parametrize("attribute", ["creator_user_id", "external_user", "prefix", "workspace_id"])
def test_each_attribute_has_the_spend_of_the_account(spent, autumn, attribute):
    answer = [row for row in ask(spent, "spend_attribution") if row["attribute"] == attribute]
    names = ("requests", "spend", "byok_spend")
    sums = autumn.sums(30, "source", attribute)
    assert found(answer, "source", "value", names=names) == expected(sums, names)
    keys = {group: len(values["keys"]) for group, values in sums.items()}
    assert {(row["source"], row["value"]): row["key_count"] for row in answer} == keys
    assert sum(row["spend"] for row in answer) == sum(entry["spend"] for entry in autumn.entries(30))
    names = {"w1": "Name of w1", "w2": "Name of w2"}
    assert [row["workspace_name"] for row in answer] == [names.get(row["value"]) for row in answer]


@pytest.mark.parametrize("days", [20, 1000])
def test_unusual_days_are_those_of_the_ledger(spent, autumn, days):
    answer = ask(spent, "unusual_days", days=days)
    assert [row["day"] for row in answer] == sorted((row["day"] for row in answer), reverse=True)
    rows = [
        (row["source"], row["kind"], row["hash"] or row["name"], row["day"], row["cost"], row["usual"])
        for row in answer
    ]
    assert sorted(rows) == sorted(autumn.unusual_days(days))


def test_usage_and_activity_agree_but_for_days_not_by_key(spent, autumn):
    answer = {row["hash"]: row for row in ask(spent, "reconciliation", days=40)}
    assert set(answer) == {"a", "b", "c", "e", "f"}
    assert [answer[key]["days"] for key in "abcef"] == [39, 39, 40, 40, 40]
    for spender, row in (
        (spender, answer[spender.hash]) for spender in autumn.spenders if spender.hash in answer
    ):
        not_by_key = NOT_BY_KEY[spender.source]
        missed = sum(
            spent["spend"] for each, day, spent in autumn.ledger if each is spender and day in not_by_key
        )
        assert row["difference"] == row["spend_by_usage"] - row["spend_by_activity"] == missed
        assert (row["name"], row["spend_by_activity"] > 1) == (spender.name_on(1000), True)
