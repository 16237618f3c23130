"""How long a server asks to wait, as its responses may say it."""

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from support.servers import error
from support.transports import failure

from airflow_provider_openrouter.api.retry_after import LONGEST


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("0", 0),
        ("7", 7),
        (" 1.5 ", 1.5),
        ("-3", None),
        ("nan", None),
        ("-inf", None),
        ("inf", LONGEST),
        ("1e300", LONGEST),
        ("9" * 400, LONGEST),
        ("Fri, 31 Dec 9999 23:59:59 GMT", LONGEST),
        ("Wed, 21 Oct 2015 07:28:00 GMT", 0),
        ("Wed, 21 Oct 2015 07:28:00", 0),
        ("soon", None),
        ("", None),
        ("12 monkeys", None),
        ("Wed, 21 Oct 99999 07:28:00 GMT", None),
        ("Wed, 21 Oct 99999999999999999999 07:28:00 GMT", None),
        ("Wed, 21 Oct 2015 07:28:00 +99999999999999", None),
    ],
)
@pytest.mark.parametrize("status", [429, 503])
def test_retry_after_is_understood(status, value, seconds):
    assert failure(error(status, headers={"Retry-After": value})).retry_after == seconds


def test_retry_after_is_understood_as_a_date():
    date = format_datetime(datetime.now(UTC) + timedelta(hours=1), usegmt=True)
    assert 3_500 < failure(error(429, headers={"Retry-After": date})).retry_after <= 3_600


def test_no_retry_after_is_none():
    assert failure(error(429)).retry_after is None


NOON = {"Date": "Thu, 26 Feb 2026 12:00:00 GMT"}
EPOCH = 1_772_107_200  # is that noon


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        (NOON | {"X-RateLimit-Reset": f"{EPOCH + 40}"}, 40),
        (NOON | {"X-RateLimit-Reset": f"{EPOCH + 40}000"}, 40),
        (NOON | {"X-RateLimit-Reset": f" {EPOCH + 40}.5 "}, 40.5),
        (NOON | {"x-ratelimit-reset": f"{EPOCH + 36_000}"}, 36_000),
        (NOON | {"X-RateLimit-Reset": f"{EPOCH + 40}", "Retry-After": "7"}, 7),
        (NOON | {"X-RateLimit-Reset": f"{EPOCH + 40}", "Retry-After": "0"}, 40),
        (NOON | {"X-RateLimit-Reset": f"{EPOCH + 40}", "Retry-After": "soon"}, 40),
        (NOON | {"X-RateLimit-Reset": f"{EPOCH}", "Retry-After": "0"}, 0),
        (NOON | {"Retry-After": "Thu, 26 Feb 2026 12:00:40 GMT"}, 40),
        (NOON | {"Retry-After": "Thu, 26 Feb 2026 21:00:40 +0900"}, 40),
        (NOON | {"Retry-After": "Thu, 26 Feb 2026 11:59:00 GMT"}, 0),
        (NOON | {"X-RateLimit-Reset": "9" * 400}, LONGEST),
        (NOON | {"X-RateLimit-Reset": "1e11"}, LONGEST),  # seconds, as milliseconds are more
        *(
            (NOON | {"X-RateLimit-Reset": value}, None)
            for value in (f"{EPOCH}", f"{EPOCH - 40}", "40", "0", "-1", "nan", "-inf", "soon", "", "0x7f")
        ),
    ],
    ids=str,
)
def test_the_end_of_a_rate_limit_is_understood(headers, seconds):
    assert failure(error(429, headers=headers)).retry_after == seconds
    if "Retry-After" not in headers:
        assert failure(error(503, headers=headers)).retry_after is None


@pytest.mark.parametrize("date", [{}, {"Date": "today"}, {"Date": ""}])
@pytest.mark.parametrize("unit", [1, 1_000])
def test_without_a_date_our_clock_is_taken(date, unit):
    reset = str(int((datetime.now(UTC).timestamp() + 3_600) * unit))
    raised = failure(error(429, headers=date | {"X-RateLimit-Reset": reset}))
    assert 3_500 < raised.retry_after <= 3_600
