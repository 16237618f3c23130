import logging
import re
import time
from concurrent.futures import CancelledError, ThreadPoolExecutor
from functools import partial
from threading import Barrier, Event

import pytest
from support.servers import BREAKS, RETRY_AT_ONCE, Answer, Server, error
from support.transports import GOOD, get, in_turn, transport

from airflow_provider_openrouter.api.retries import LONGEST_WAIT_IN_ALL, Retries
from airflow_provider_openrouter.exceptions import (
    OpenRouterConnectionError,
    OpenRouterError,
    OpenRouterRateLimitError,
    OpenRouterResponseError,
    OpenRouterServerError,
)


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 504, 524, 529])
def test_a_temporary_error_is_retried_without_a_warning(status, caplog):
    caplog.set_level(logging.INFO)
    again = error(status, headers=RETRY_AT_ONCE)
    with Server(in_turn(again, again, GOOD)) as server, transport(server.base_url, max_retries=2) as opened:
        assert opened.get("/keys", {}) == [{"hash": "a"}]
        assert (opened.sent, opened.retries.count) == (3, 2)
    assert [record.levelname for record in caplog.records if "Trying again" in record.message] == ["INFO"] * 2


@pytest.mark.usefixtures("retries_at_once")
def test_a_broken_connection_is_tried_again():
    with Server(in_turn(BREAKS, GOOD)) as server:
        assert get(server, max_retries=1) == [{"hash": "a"}]
    assert len(server.requests) == 2


@pytest.mark.parametrize(("status", "kind"), [(429, OpenRouterRateLimitError), (503, OpenRouterServerError)])
@pytest.mark.parametrize("max_retries", [0, 1, 5])
def test_retries_are_bounded_in_number(status, kind, max_retries):
    with Server(lambda request: error(status, headers=RETRY_AT_ONCE)) as server, pytest.raises(kind) as caught:
        get(server, max_retries=max_retries)
    assert len(server.requests) == max_retries + 1
    assert caught.value.status_code == status
    assert caught.value.retry_after == float(RETRY_AT_ONCE["Retry-After"])


@pytest.mark.parametrize("status", [400, 401, 402, 403, 404, 407, 409, 418, 423])
def test_a_permanent_error_is_not_retried(status):
    with Server(lambda request: error(status, headers=RETRY_AT_ONCE)) as server, pytest.raises(OpenRouterError):
        get(server, max_retries=5)
    assert len(server.requests) == 1


def test_waits_side_by_side_count_once():
    answers = in_turn(*[error(503, headers={"Retry-After": "1"})] * 4, GOOD)
    with Server(answers) as server, transport(server.base_url, max_retries=4) as opened:
        began = time.monotonic()
        with ThreadPoolExecutor(4) as threads:
            list(threads.map(lambda _: opened.get("/keys", {}), range(4)))
        assert 0.9 < opened.retries.waited < time.monotonic() - began


def test_waits_one_after_the_other_add_up(retries):
    down = OpenRouterServerError("down", status_code=503, retry_after=0.1)
    assert retries.run(raising(down, down))
    assert retries.waited == pytest.approx(0.2, abs=0.01)


def test_retries_are_bounded_in_time():
    again = error(503, headers={"Retry-After": "1"})
    with Server(lambda request: again) as server, transport(server.base_url, max_retries=9) as opened:
        opened.retries.waited = LONGEST_WAIT_IN_ALL
        with pytest.raises(OpenRouterServerError):
            opened.get("/keys", {})
    assert len(server.requests) == 1


@pytest.fixture
def on_waiting(caplog):
    """Call what it is given when a wait is logged."""
    logger = logging.getLogger("airflow_provider_openrouter.api.retries")
    handlers = []
    caplog.set_level(logging.INFO)

    def on_waiting(do) -> None:
        handler = logging.Handler()
        handler.emit = lambda record: do() if "Trying again" in record.getMessage() else None
        logger.addHandler(handler)
        handlers.append(handler)

    yield on_waiting
    for handler in handlers:
        logger.removeHandler(handler)


@pytest.mark.parametrize(
    ("headers", "waited"),
    [
        ({"Retry-After": "7"}, "7.0"),
        ({"Retry-After": "60"}, "60.0"),
        ({"X-RateLimit-Reset": "1772000040", "Date": "Wed, 25 Feb 2026 06:13:20 GMT"}, "40.0"),
    ],
    ids=str,
)
@pytest.mark.parametrize("status", [429, 200])
def test_a_wait_of_a_minute_is_waited_and_stopping_wakes(headers, waited, status, on_waiting, caplog):
    again = Answer(status, error(429).body, headers)
    with Server(lambda request: again) as server, transport(server.base_url, max_retries=3) as opened:
        on_waiting(opened.stopped.set)
        with pytest.raises(CancelledError):
            opened.get("/keys", {})
    assert f"Trying again in {waited} s" in caplog.text
    assert len(server.requests) == 1


@pytest.mark.parametrize("value", [None, "0", "-0.0", "Wed, 21 Oct 2015 07:28:00 GMT"])
@pytest.mark.parametrize("status", [429, 503])
def test_who_asks_for_no_wait_is_given_time_nevertheless(status, value, on_waiting, caplog):
    again = error(status, headers={"Retry-After": value} if value else {})
    with Server(lambda request: again) as server, transport(server.base_url, max_retries=3) as opened:
        on_waiting(opened.stopped.set)
        with pytest.raises(CancelledError):
            opened.get("/keys", {})
    assert re.search(r"Trying again in [12]\.\d s", caplog.text)
    assert len(server.requests) == 1


@pytest.mark.parametrize("value", ["61", "36000", "Fri, 31 Dec 9999 23:59:59 GMT", "9" * 400, "1e300", "inf"])
@pytest.mark.parametrize("status", [408, 425, 429, 503])
def test_who_asks_for_more_than_a_minute_ends_the_attempts(status, value):
    again = error(status, headers={"Retry-After": value})
    with Server(lambda request: again) as server, transport(server.base_url, max_retries=3) as opened:
        with pytest.raises(OpenRouterError, match=r"It asks to wait [1-9][0-9.]* (s|h|days)\. ") as caught:
            opened.get("/keys", {})
        assert opened.retries.waited == 0
    assert len(server.requests) == 1
    assert 60 < caught.value.retry_after < 1e8


ODD = {
    "no JSON": Answer(body="nonsense"),
    "HTML": Answer(body="<html>Log in</html>"),
    "JSON that ends too early": Answer(body='{"data": ['),
    "an error without a status": Answer(body={"error": {"message": "no"}}),
}


@pytest.mark.usefixtures("retries_at_once")
@pytest.mark.parametrize("odd", ODD)
def test_a_200_that_makes_no_sense_is_retried_twice(odd):
    with Server(lambda request: ODD[odd]) as server, pytest.raises(OpenRouterResponseError) as caught:
        get(server, max_retries=5)
    assert len(server.requests) == 3
    assert caught.value.transient


@pytest.mark.usefixtures("retries_at_once")
@pytest.mark.parametrize(
    ("kinds", "passes"),
    [("oo", True), ("ooo", False), ("bbobo", True), ("bobobo", False), ("obbbb", True), ("bbbbbb", False)],
)
def test_odd_responses_are_counted_apart_and_for_each_request(kinds, passes):
    def run() -> bool:
        return retries.run(raising(*[odd if kind == "o" else busy for kind in kinds]))

    retries = Retries(max_retries=5, stopped=Event())
    busy = OpenRouterServerError("It is busy.", status_code=503, retry_after=0.0)
    odd = OpenRouterResponseError("It is odd.", transient=True)
    odd.retry_after = 0.0  # so that the test need not wait
    for _ in range(2):
        if passes:
            assert run()
        else:
            with pytest.raises(OpenRouterError):
                run()


def test_a_429_pauses_every_request_of_the_transport(on_waiting):
    others = []
    with (
        Server(in_turn(error(429, headers={"Retry-After": "2"}), GOOD)) as server,
        transport(server.base_url, max_retries=1) as opened,
        ThreadPoolExecutor(4) as threads,
    ):
        on_waiting(lambda: others.extend(threads.submit(opened.get, "/keys", {}) for _ in range(3)))
        assert opened.get("/keys", {}) == [{"hash": "a"}]
        assert [other.result(timeout=30) for other in others] == [[{"hash": "a"}]] * 3
    first, *later = [request.arrived for request in server.requests]
    assert len(later) == 4
    assert min(later) - first > 1.9


@pytest.fixture
def stopped() -> Event:
    return Event()


@pytest.fixture
def retries(stopped) -> Retries:
    return Retries(max_retries=3, stopped=stopped)


def raising(*errors: Exception):
    """Raise each error once, and return True from then on."""
    left = list(errors)

    def attempt() -> bool:
        if left:
            raise left.pop(0)
        return True

    return attempt


def test_an_error_that_is_not_ours_is_not_retried(retries):
    with pytest.raises(KeyError):
        retries.run(raising(KeyError("bug")))
    assert retries.count == 0


def test_an_error_that_says_it_is_permanent_is_not_retried(retries):
    with pytest.raises(OpenRouterConnectionError):
        retries.run(raising(OpenRouterConnectionError("certificate", transient=False)))
    assert retries.count == 0


def test_nothing_is_tried_once_it_is_stopped():
    stopped = Event()
    stopped.set()
    with pytest.raises(CancelledError):
        Retries(max_retries=3, stopped=stopped).run(lambda: pytest.fail("tried"))


def test_a_429_is_reported_once_for_each_pause(retries):
    reports = []
    retries.on_rate_limit = lambda: reports.append(True)
    together = Barrier(4, timeout=30)

    def limited(left: list[float]) -> bool:
        if left:
            together.wait()
            raise OpenRouterRateLimitError("Slow down.", retry_after=left.pop())
        return True

    with ThreadPoolExecutor(4) as threads:
        assert all(threads.map(retries.run, [partial(limited, [2.0]) for _ in range(4)]))
    assert len(reports) == 1
    assert retries.run(raising(OpenRouterRateLimitError("Slow down.", retry_after=0.0)))
    assert len(reports) == 2


def test_a_server_error_pauses_no_other_request(retries, stopped):
    retries.on_rate_limit = lambda: pytest.fail("reported")
    down = OpenRouterServerError("down", status_code=503, retry_after=60.0)
    with ThreadPoolExecutor(1) as threads:
        waiting = threads.submit(retries.run, raising(down))
        while not retries.count:
            time.sleep(0.001)
        assert retries.run(raising())
        assert not waiting.done()
        stopped.set()


def test_a_failure_after_stopping_is_raised_and_not_retried():
    stopped = Event()
    retries = Retries(max_retries=3, stopped=stopped)

    def fails() -> None:
        stopped.set()
        raise OpenRouterServerError("It is down.", status_code=503)

    with pytest.raises(OpenRouterServerError):
        retries.run(fails)
    assert retries.count == 0
