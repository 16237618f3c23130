"""The answers about a simulated year, compared with its ledger."""

import pytest
from support.histories import ask, text_of, views
from support.year import moment

from airflow_provider_openrouter.history import KEY_QUESTIONS


def by_hash(rows):
    return sorted(rows, key=lambda row: (row["hash"], row.get("day")))


def test_the_year_has_all_that_is_hard(year):
    listed = {key.hash for key in year.keys if year.in_newest(key)}
    assert len(year.rows) > 5_000
    assert 5 < len(listed) < len(year.keys)
    assert {row["days"] for row in year.spend} >= {1, 2, 5}
    assert any(row["days"] > 14 for row in year.spend if row["hash"] == year.keys[0].hash)
    assert {row["outcome"] for row in year.days_until_dry(30)} >= {"runs dry", "resets before", "not spending"}
    assert list(year.dormant_keys(10))
    assert list(year.expiring_keys(120))
    seen = [(row["source"], row["hash"], row["snapshot"]) for row in year.rows]
    assert len(set(seen)) < len(seen), "no key is in two scopes at once"


def test_a_key_has_one_row_a_day_and_it_is_the_last(history, year):
    answer = history.query("SELECT hash, day, name, days.usage FROM openrouter_key_days AS days")
    assert by_hash(answer) == [
        {"hash": key.hash, "day": day.isoformat(), "name": key.name_at(at), "usage": key.spent(None, at)[0]}
        for key in sorted(year.keys, key=lambda key: key.hash)
        for day, (_, at) in sorted(year.sightings[key.hash].items())
    ]


@pytest.mark.parametrize("days", [1, 400])
def test_spend_per_day_is_what_the_ledger_says(history, year, days):
    answer = ask(history, "spend_per_day", days=days)
    assert answer == sorted(answer, key=lambda row: (row["source"], row["day"], -row["spend"], row["hash"]))
    assert by_hash(answer) == by_hash(year.recent(days))


def test_no_spend_of_the_year_is_lost_or_counted_twice(history, year):
    """The ledger of a key that was created within the year is in the answers, up to its last sighting."""
    answer = ask(history, "spend_per_day", days=400)
    young = [key for key in year.keys if not key.before and "*" not in key.scopes and year.sightings[key.hash]]
    assert len(young) > 4
    for key in young:
        last_seen = max(at for _, at in year.sightings[key.hash].values())
        assert sum(row["spend"] for row in answer if row["hash"] == key.hash) == key.spent(None, last_seen)[0]


@pytest.mark.parametrize(("days", "places"), [(90, 3), (400, 100)])
def test_top_spenders_are_those_of_the_ledger(history, year, days, places):
    assert ask(history, "top_spenders", days=days, places=places) == year.top_spenders(days, places)


@pytest.mark.parametrize("days", [7, 400])
def test_spend_per_prefix_is_that_of_the_ledger(history, year, days):
    answer = ask(history, "spend_per_prefix", days=days)
    assert [row["spend"] for row in answer] == sorted((row["spend"] for row in answer), reverse=True)

    def place(row):
        return row["source"], row["prefix"]

    assert sorted(answer, key=place) == sorted(year.spend_per_prefix(days), key=place)


@pytest.mark.parametrize("days", [10, 200])
def test_dormant_keys_have_no_entry_in_the_ledger(history, year, days):
    answer = ask(history, "dormant_keys", days=days)
    assert {(row["hash"], row["last_used_day"]) for row in answer} == set(year.dormant_keys(days))


@pytest.mark.parametrize("days", [60, 120])
def test_expiring_keys_are_those_of_the_year(history, year, days):
    answer = ask(history, "expiring_keys", days=days)
    expected = year.expiring_keys(days)
    assert answer == sorted(expected, key=lambda row: (row["days_until_expiry"], row["source"], row["hash"]))


@pytest.mark.parametrize("days", [3, 365])
def test_days_until_dry_are_those_of_the_ledger(history, year, days):
    answer = ask(history, "days_until_dry", days=days)
    places = [(row["days_until_dry"] is None, row["days_until_dry"] or 0) for row in answer]
    assert places == sorted(places)
    expected = by_hash(year.days_until_dry(days))
    assert len(answer) == len(expected)
    for found, right in zip(by_hash(answer), expected, strict=True):
        assert found == {
            name: pytest.approx(value, abs=1e-6) if isinstance(value, float) else value
            for name, value in right.items()
        }


# -- older tables and files


def every_answer(history):
    answers = {
        question: ask(history, question, days=10 if question == "dormant_keys" else 400)
        for question in sorted(KEY_QUESTIONS)
    }
    return answers | {"days": history.query("SELECT * FROM openrouter_key_days ORDER BY source, hash, day")}


@pytest.fixture(scope="module")
def season(year):
    """Rows of days and hours, enough to be asked every question."""
    return [row for row in year.rows if moment(196) <= row["snapshot"] < moment(208)]


@pytest.fixture(scope="module")
def answers(dialect, keep, season):
    answers = every_answer(keep(dialect, season))
    assert all(answers.values())
    return answers


def test_an_older_history_has_the_same_answers(dialect, keep, season, answers):
    history = keep(dialect, season, old=True)
    assert every_answer(history) == answers
    if dialect == "duckdb":
        assert every_answer(keep(dialect, season, old=moment(202))) == answers
        return
    history.upgrade()
    assert every_answer(history) == answers
    for script in views(dialect):
        history.run(text_of(script))
    assert every_answer(history) == answers
