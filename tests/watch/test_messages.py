"""Messages and reports, made from events as they are stored."""

import pytest

from airflow_provider_openrouter.connection import CREDITS_PAGE, KEYS_PAGE, STATUS_PAGE
from airflow_provider_openrouter.watch import words
from airflow_provider_openrouter.watch.messages import format_line, format_message, format_report

FORECAST = {"pace_usd_per_day": 9.1, "runs_dry_at": "2026-11-28T15:52:00+01:00"}
LOW = {
    "name": "billing-prod",
    "label": "sk-or-v1-0e6...1c96",
    "workspace_name": "Marketing",
    "limit": 5,
    "limit_remaining": 0.7,
    "limit_reset": "monthly",
    "next_reset_at": "2026-12-01T00:00:00+00:00",
    "reason": "limit",
    "threshold": "20%",
}
DRY = {
    "name": "crawler",
    "limit": 50,
    "limit_remaining": 16.63,
    "limit_reset": None,
    "reason": "runway",
    "threshold": "3 days",
    **FORECAST,
}
EXPIRES = {
    "name": "old",
    "limit": None,
    "limit_remaining": None,
    "limit_reset": None,
    "expires_at": "2026-12-03T09:30:00Z",
    "reason": "expiry",
    "threshold": "7 days",
}
OLD_RELEASE = {"hash": "ab12", "name": "batch", "limit": 9, "limit_remaining": 1, "limit_reset": "daily"}
OLD_EVENT = OLD_RELEASE | {"threshold": 2.0}


def low(*keys, **fields):
    return {"version": 1, "status": "low", "keys": list(keys), **fields}


@pytest.mark.parametrize(
    ("event", "message"),
    [
        (
            low(LOW, low_count=1),
            "1 OpenRouter key is low\n"
            "- billing-prod (sk-or-v1-0e6...1c96, Marketing) has $0.70 of $5.00 left, below 20% of the limit, "
            "resets monthly, next on 2026-12-01 at 00:00 UTC",
        ),
        (
            low(LOW, DRY, low_count=7),
            "2 OpenRouter keys are low (7 in all)\n"
            "- billing-prod (sk-or-v1-0e6...1c96, Marketing) has $0.70 of $5.00 left, below 20% of the limit, "
            "resets monthly, next on 2026-12-01 at 00:00 UTC\n"
            "- crawler has $16.63 of $50.00 left, runs dry on 2026-11-28 at 14:52 UTC at $9.10 a day, "
            "never resets",
        ),
        (
            low(EXPIRES),
            "1 OpenRouter key expires soon\n- old has no limit, expires on 2026-12-03 at 09:30 UTC",
        ),
        (
            low(DRY | {"limit_remaining": 0, "observed_at": DRY["runs_dry_at"]}, EXPIRES),
            "2 OpenRouter keys are low or expire soon\n"
            "- crawler has $0.00 of $50.00 left, never resets\n"
            "- old has no limit, expires on 2026-12-03 at 09:30 UTC",
        ),
        (
            low(LOW | {"hash": "f01d"}, EXPIRES | {"hash": "f01d"}, total=2, low_count=2),
            "1 OpenRouter key is low or expires soon\n"
            "- billing-prod (sk-or-v1-0e6...1c96, Marketing) has $0.70 of $5.00 left, below 20% of the limit, "
            "resets monthly, next on 2026-12-01 at 00:00 UTC\n"
            "- old has no limit, expires on 2026-12-03 at 09:30 UTC",
        ),
        ([OLD_RELEASE], "1 OpenRouter key is low\n- batch has $1.00 of $9.00 left, resets daily"),
        (
            low(OLD_EVENT, low_count=1),
            "1 OpenRouter key is low\n- batch has $1.00 of $9.00 left, below $2.00, resets daily",
        ),
        (
            low(OLD_EVENT | {"limit_remaining": 1.999}),
            "1 OpenRouter key is low\n- batch has $1.999 of $9.000 left, below $2.00, resets daily",
        ),
        (
            low({"hash": "ab12", "limit_remaining": -0.5}),
            "1 OpenRouter key is low\n- ab12 has -$0.50 left, never resets",
        ),
        (low({"hash": "ab12", "label": "sk…"}), "1 OpenRouter key is low\n- sk… has no limit"),
        (low({"hash": "ab12", "threshold": [5]}), "1 OpenRouter key is low\n- ab12 has no limit"),
    ],
)
def test_a_message_says_what_is_left_why_and_until_when(event, message):
    assert format_message(event) == f"{message}\nKeys: {KEYS_PAGE}"


def test_a_message_names_the_connection_where_it_is_known():
    assert format_message(low(LOW, connection="team_a")).endswith(f"\nKeys: {KEYS_PAGE} (connection team_a)")
    assert format_message(CREDITS | {"connection": "b"}).endswith(f"\nCredits: {CREDITS_PAGE} (connection b)")


def test_a_message_names_twenty_keys_and_counts_the_rest():
    keys = [OLD_RELEASE | {"hash": str(number)} for number in range(100)]
    lines = format_message(low(*keys, total=4_321, low_count=4_321)).splitlines()
    assert lines[0] == "4,321 OpenRouter keys are low"
    assert lines[1:-2] == ["- batch has $1.00 of $9.00 left, resets daily"] * 20
    assert lines[-2:] == ["and 4,301 more", f"Keys: {KEYS_PAGE}"]


@pytest.mark.parametrize("field", ["name", "label", "workspace_name", "limit_reset"])
def test_names_are_no_markup_and_no_lines_of_a_message(field):
    message = format_message([OLD_RELEASE | {field: "<!channel>\n<b>&amp;\x1b[2J"}])
    assert len(message.splitlines()) == 3
    assert not set("<>\x1b") & set(message)
    assert "‹!channel› ‹b›&amp; [2J" in message  # noqa: RUF001


CREDITS = {"version": 1, "status": "low", "balance": 12.4, "total_credits": 500, "total_usage": 487.6}


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"reason": "limit", "threshold": 20.0}, ["That is below $20.00."]),
        (
            {"reason": "runway", "threshold": "3 days", **FORECAST},
            ["It runs dry on 2026-11-28 at 14:52 UTC at $9.10 a day."],
        ),
        ({}, []),
    ],
)
def test_a_message_about_credits_says_that_every_key_stops(fields, why):
    assert format_message(CREDITS | fields).splitlines() == [
        "The OpenRouter account has $12.40 of credits left",
        *why,
        "Without credits, every key of the account stops working.",
        f"Credits: {CREDITS_PAGE}",
    ]


def test_a_message_never_rounds_a_balance_up_to_the_threshold():
    message = format_message(CREDITS | {"balance": 19.9999, "reason": "limit", "threshold": 20.0})
    assert message.splitlines()[0] == "The OpenRouter account has $19.9999 of credits left"


FAILING = {
    "version": 1,
    "status": "error",
    "error": "OpenRouterServerError",
    "status_code": 503,
    "cause": "GET /keys answered 503 (<busy>).",
    "failing_since": "2026-11-26T20:00:00+00:00",
    "failures": 5,
    "connection": "team_a",
    "rule": "keys below $5.00",
}


def test_a_message_says_that_nothing_is_watched_and_why():
    assert format_message(FAILING).splitlines() == [
        "OpenRouter is not watched: 5 polls in a row failed since 2026-11-26 at 20:00 UTC",
        "GET /keys answered 503 (\u2039busy\u203a).",
        "Watched: team_a, keys below $5.00",
        f"Nothing is reported until this is over. OpenRouter's status: {STATUS_PAGE}",
    ]


def test_a_message_has_only_the_beginning_of_long_texts():
    long = {"cause": "c" * 501, "connection": "t" * 201, "rule": "r" * 201}
    assert format_message(FAILING | long).splitlines()[1:3] == [
        "c" * 500 + ".",
        f"Watched: {'t' * 200}, {'r' * 200}",
    ]


def test_a_message_of_a_wait_that_ended_has_its_error():
    ended = {"version": 1, "status": "error", "error": "OpenRouterAuthError", "message": "No", "status_code": 401}
    assert format_message(ended).splitlines()[:-1] == ["OpenRouter is not watched", "No."]


def test_a_message_says_that_keys_are_watched_again():
    recovered = FAILING | {"status": "recovered", "observed_at": "2026-11-26T23:30:00+00:00"}
    assert format_message(recovered).splitlines() == [
        "OpenRouter is watched again, after 3.5 h",
        "Watched: team_a, keys below $5.00",
    ]
    assert format_message({"status": "recovered"}) == "OpenRouter is watched again"


@pytest.mark.parametrize(
    ("event", "line"),
    [
        (low(OLD_RELEASE), "batch has $1.00 of $9.00 left, resets daily"),
        (low(OLD_RELEASE, OLD_RELEASE), "batch has $1.00 of $9.00 left, resets daily, and 1 more"),
        (low(OLD_RELEASE, total=4_321), "batch has $1.00 of $9.00 left, resets daily, and 4,320 more"),
        (low({"hash": "<b>"}), "\u2039b\u203a has no limit"),
        (CREDITS, "The OpenRouter account has $12.40 of credits left"),
        (FAILING, "OpenRouter is not watched: 5 polls in a row failed since 2026-11-26 at 20:00 UTC"),
    ],
)
def test_a_line_has_the_lowest_key_or_the_first_line(event, line):
    assert format_line(event) == line


def test_a_name_is_without_its_label_unless_asked_for():
    assert words.name(LOW) == "billing-prod (Marketing)"


def test_a_report_has_a_row_for_every_key():
    report = format_report([LOW, DRY, EXPIRES, *[OLD_EVENT] * 30]).splitlines()
    assert report[:5] == [
        "| Key | Label | Workspace | Left | Limit | Resets | Why |",
        "| --- | --- | --- | --- | --- | --- | --- |",
        "| billing-prod | sk-or-v1-0e6...1c96 | Marketing | $0.70 | $5.00 | resets monthly, next on 2026-12-01 "
        "at 00:00 UTC | below 20% of the limit |",
        "| crawler |  |  | $16.63 | $50.00 | never resets | runs dry on 2026-11-28 at 14:52 UTC at $9.10 a day |",
        "| old |  |  |  |  |  | expires on 2026-12-03 at 09:30 UTC |",
    ]
    assert len(report) == 35
