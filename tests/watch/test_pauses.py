"""When to poll next, and how long refusals are outlasted: hours of it, in no time."""

from itertools import pairwise

import pytest

from airflow_provider_openrouter.exceptions import (
    OpenRouterAuthError,
    OpenRouterConnectionError,
    OpenRouterRateLimitError,
    OpenRouterRequestError,
    OpenRouterResponseError,
    OpenRouterServerError,
)
from airflow_provider_openrouter.watch.pauses import Patience, Pauses, ends_a_wait, is_refusal, is_temporary

MINUTES = 60.0
HOURS = 3600.0
REFUSED = OpenRouterAuthError("no", status_code=401)
FAILED = OpenRouterServerError("down", status_code=500)

intervals = pytest.mark.parametrize("interval", [1, 60, 5 * MINUTES, 15 * MINUTES, HOURS, 2 * HOURS, 24 * HOURS])


def polls_of(interval, errors, *, backs_off=False, until=12 * HOURS):
    """Yield when each poll begins and what it came to, while an error is given for its time."""
    pauses, now = Pauses(), 0.0
    while now < until:
        pauses.began = now
        error = errors(now)
        pauses.failed(error, now) if error else pauses.succeeded()
        yield now, error
        now = max(now + pauses.pause(interval, backs_off=backs_off), pauses.not_before)


def end_of_wait(interval, errors, *, has_listed=True):
    """Return when a wait ends, or None if it lasts."""
    patience = Patience(has_listed=has_listed)
    for now, error in polls_of(interval, errors):
        if error is None:
            patience.listed()
        elif is_refusal(error) and not patience.left(now):
            return now
    return None


@intervals
@pytest.mark.parametrize("outage", [35 * MINUTES, 38 * MINUTES, 60 * MINUTES])
def test_an_outage_of_an_hour_ends_no_wait(interval, outage):
    assert end_of_wait(interval, lambda now: REFUSED if now < outage else None) is None


@intervals
@pytest.mark.parametrize("also", [None, FAILED])
def test_a_revoked_key_ends_a_wait_within_two_hours(interval, also):
    last = iter([REFUSED, also or REFUSED] * 100_000)
    ended = end_of_wait(interval, lambda now: next(last))
    assert HOURS <= ended <= 2 * HOURS


def test_the_hour_begins_again_after_each_success():
    assert end_of_wait(60, lambda now: None if now % HOURS < 10 * MINUTES else REFUSED) is None


def test_before_any_success_the_first_refusal_ends_a_wait():
    assert end_of_wait(60, lambda now: FAILED if now < 300 else REFUSED, has_listed=False) == 300


@intervals
def test_pauses_after_refusals_grow_to_ten_minutes(interval):
    moments = [now for now, _ in polls_of(interval, lambda now: REFUSED, until=3 * HOURS)]
    pauses = [after - before for before, after in pairwise(moments)]
    assert pauses == sorted(pauses)
    assert pauses[0] == min(interval, 10 * MINUTES)
    assert pauses[-1] == 10 * MINUTES


def test_temporary_errors_slow_only_those_who_back_off():
    waiting = [now for now, _ in polls_of(60, lambda now: FAILED, until=HOURS)]
    watching = [now for now, _ in polls_of(60, lambda now: FAILED, backs_off=True, until=HOURS)]
    assert len(waiting) == 60
    assert len(watching) < 12


@pytest.mark.parametrize("outage", [38 * MINUTES, 6 * HOURS])
def test_an_outage_of_401_is_a_few_polls_of_a_watcher_and_no_end(outage):
    polls = list(
        polls_of(60, lambda now: REFUSED if now < outage else None, backs_off=True, until=outage + HOURS)
    )
    failed = [now for now, error in polls if error]
    assert len(failed) <= 5 + outage / (10 * MINUTES)
    assert polls[len(failed)][0] <= outage + 10 * MINUTES
    assert len(polls) - len(failed) > 45  # at its interval again


@intervals
@pytest.mark.parametrize("backs_off", [False, True])
@pytest.mark.parametrize("kind", [OpenRouterRateLimitError, OpenRouterServerError])
def test_there_is_no_poll_before_the_server_wants_it(interval, backs_off, kind):
    asks = kind("wait", status_code=429, retry_after=10 * HOURS)
    (_, second, third) = list(
        polls_of(interval, lambda now: asks if not now else None, backs_off=backs_off, until=72 * HOURS)
    )[:3]
    assert second == (max(10 * HOURS, interval), None)
    assert third[0] == second[0] + interval


@pytest.mark.parametrize(("asked", "forgotten"), [(None, True), (10 * HOURS, False)])
def test_failures_are_forgotten_later_if_asked_to_wait(asked, forgotten):
    pauses = Pauses(began=0.0, ended=0.0)
    pauses.failed(OpenRouterRateLimitError("wait", retry_after=asked), 0.0)
    assert not pauses.are_forgotten(10 * MINUTES)
    assert pauses.are_forgotten(HOURS) is forgotten


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (OpenRouterServerError("", status_code=500), is_temporary),
        (OpenRouterRateLimitError(""), is_temporary),
        (OpenRouterConnectionError(""), is_temporary),
        (OpenRouterResponseError("", transient=True), is_temporary),
        (OpenRouterAuthError("", status_code=401), is_refusal),
        (OpenRouterAuthError("", status_code=403), is_refusal),
        (RuntimeError(""), is_refusal),
        (OpenRouterRequestError("", status_code=404), ends_a_wait),
        (OpenRouterResponseError(""), ends_a_wait),
        (OpenRouterConnectionError("", transient=False), ends_a_wait),
    ],
    ids=lambda value: getattr(value, "__name__", repr(value)),
)
def test_an_error_is_of_one_of_three_kinds(error, kind):
    assert [each for each in (is_temporary, is_refusal, ends_a_wait) if each(error)] == [kind]
