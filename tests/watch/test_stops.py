"""When each key stops working next, why, and in what order they do."""

from datetime import UTC, datetime

import pytest
from support.keys import key, listing

from airflow_provider_openrouter.watch.stops import find_stops

THURSDAY = datetime(2026, 11, 26, 12, tzinfo=UTC)
"""Three and a half days of the week have passed. Limits reset at midnight, on Monday the 30th, and on the 1st."""
MONDAY_FIRST = "resets on Monday before it runs dry"


def spender(remaining=10.0, *, days=None, **fields):
    """Return a key whose pace is what is left of it over some days, or 0."""
    weekly = remaining / days * 3.5 if days else 0.0
    return key(remaining=remaining, usage_weekly=weekly, created_at="2025-01-01T00:00:00Z", **fields)


def stop_of(record):
    [stop] = find_stops(listing(record, observed_at=THURSDAY))
    return stop.kind, stop.at and f"{stop.at:%m-%d %H:%M}", stop.text


@pytest.mark.parametrize(
    ("record", "stop"),
    [
        # Nothing is left.
        (spender(0), ("empty", None, "nothing left")),
        (spender(-3, limit_reset="daily"), ("empty", None, "nothing left until it resets tomorrow")),
        (spender(0, limit_reset="weekly"), ("empty", None, "nothing left until it resets on Monday")),
        (spender(0, limit_reset="monthly"), ("empty", None, "nothing left until it resets on Tuesday")),
        (spender(0, limit_reset="yearly"), ("empty", None, "nothing left")),
        (spender(0, limit_reset="weekly", expires_at="2026-11-30"), ("empty", None, "nothing left")),
        (spender(0, expires_at="2026-11-27"), ("empty", None, "nothing left")),
        # It runs dry.
        (spender(days=1 / 48), ("dry", "11-26 12:30", "dry in under an hour")),
        (spender(days=5.9 / 24), ("dry", "11-26 17:54", "dry in 5 h")),
        (spender(days=47.9 / 24), ("dry", "11-28 11:54", "dry in 47 h")),
        (spender(0.5, days=2), ("dry", "11-28 12:00", "dry in 2 days")),
        (spender(days=2.9), ("dry", "11-29 09:36", "dry in 2 days")),
        (spender(days=729.5), ("dry", "11-25 00:00", "dry in 729 days")),
        (spender(days=730), ("dry", "11-25 12:00", "dry in 2 years")),
        (spender(days=1200), ("dry", "03-10 12:00", "dry in 3 years")),
        (spender(days=2.5, limit_reset="weekly"), ("dry", "11-29 00:00", "dry in 2 days")),
        (spender(days=2.5, expires_at="2026-11-29T00:00:01Z"), ("dry", "11-29 00:00", "dry in 2 days")),
        # It is reset before that.
        (spender(7, days=3.5, limit_reset="weekly"), ("reset", "11-30 00:00", MONDAY_FIRST)),
        (spender(days=1, limit_reset="daily"), ("reset", "11-27 00:00", "resets tomorrow before it runs dry")),
        # It expires.
        (spender(days=3, expires_at="2026-11-29T12:00:00Z"), ("expiry", "11-29 12:00", "expires on Sunday")),
        (spender(expires_at="2026-11-26T12:00:01Z"), ("expiry", "11-26 12:00", "expires today")),
        (spender(expires_at="2026-11-27T05:00:00+09:00"), ("expiry", "11-26 20:00", "expires today")),
        (spender(None, expires_at="2026-11-28"), ("expiry", "11-28 00:00", "expires on Saturday")),
        (spender(expires_at="2026-12-02T23:59:59Z"), ("expiry", "12-02 23:59", "expires on Wednesday")),
        (spender(None, expires_at="2026-12-03"), ("expiry", "12-03 00:00", "expires on 3 Dec")),
        (spender(None, expires_at="2027-12-03"), ("expiry", "12-03 00:00", "expires on 3 Dec 2027")),
        (
            spender(days=9, limit_reset="weekly", expires_at="2027-01-01"),
            ("expiry", "01-01 00:00", "expires on 1 Jan 2027"),
        ),
        # It is over.
        (spender(0, disabled=True), ("disabled", None, "disabled")),
        (spender(disabled="true", expires_at="2026-12-03"), ("disabled", None, "disabled")),
        (spender(disabled=True, expires_at="2026-11-25T23:00Z"), ("expired", "11-25 23:00", "expired on 25 Nov")),
        (spender(expires_at="2026-11-26T12:00:00Z"), ("expired", "11-26 12:00", "expired today")),
        (spender(expires_at="2025-12-03"), ("expired", "12-03 00:00", "expired on 3 Dec 2025")),
        # Nothing stops it.
        (spender(None), ("never", None, "no limit")),
        (spender(), ("never", None, "spends nothing")),
        (spender(100.0, days=1, limit_reset="weekly"), ("never", None, "not running dry")),
        (spender(days=1e8), ("never", None, "not running dry")),
        # What cannot be read is not there.
        (spender("abc", limit="abc", expires_at="soon"), ("never", None, "no limit")),
        (spender(float("nan"), expires_at=["2026-12-03"]), ("never", None, "no limit")),
    ],
)  # fmt: skip
def test_a_key_stops_when_and_why(record, stop):
    assert stop_of(record) == stop


def test_what_stops_first_comes_first():
    soon, later = "2026-11-27", "2027-11-27"
    records = {
        "expired": spender(expires_at="2026-11-01"),
        "disabled": spender(disabled=True),
        "no limit": spender(None),
        "reset": spender(days=4, limit_reset="weekly"),
        "expires later": spender(None, expires_at=later),
        "dry in 30 days": spender(days=30),
        "expires soon": spender(days=30, expires_at=soon),
        "dry in a day": spender(days=1, expires_at=later),
        "empty": spender(0),
    }
    stops = find_stops(listing(*(each | {"name": name} for name, each in records.items()), observed_at=THURSDAY))
    assert [stop.left.key["name"] for stop in stops] == [
        *("empty", "expires soon", "dry in a day", "dry in 30 days", "expires later"),
        *("reset", "no limit", "disabled", "expired"),
    ]
