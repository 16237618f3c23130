import logging
import time
from concurrent.futures import CancelledError, ThreadPoolExecutor
from functools import partial
from threading import Barrier, Event

import pytest
from support.servers import BREAKS, RETRY_AT_ONCE, Server, error
from support.transports import GOOD, get, in_turn, transport

from airflow_provider_openrouter.api.retries import LONGEST_WAIT_IN_ALL, Retries
from airflow_provider_openrouter.exceptions import (
    OpenRouterConnectionError,
    OpenRouterError,
    OpenRouterRateLimitError,
    OpenRouterServerError,
)


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504, 524, 529])
def test_a_temporary_error_is_retried_without_a_warning(status, caplog):
    caplog.set_level(logging.INFO)
    again = error(status, headers=RETRY_AT_ONCE)
    with Server(in_turn(again, again, GOOD)) as server, transport(server.base_url, max_retries=2) as opened:
        assert opened.get("/keys", {}) == [{"hash": "a"}]
        assert (opened.sent, opened.retries.count) == (3, 2)
    assert [record.levelname for record in caplog.records if "Trying again" in record.message] == ["INFO"] * 2


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
    assert caught.value.retry_after == 0


@pytest.mark.parametrize("status", [400, 401, 403, 404])
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
    ("value", "waited"),
    [("7", "7.0"), ("3600", "60.0"), ("Fri, 31 Dec 9999 23:59:59 GMT", "60.0"), ("inf", "60.0")],
)
def test_retry_after_counts_up_to_a_minute_and_stopping_wakes(value, waited, on_waiting, caplog):
    again = error(429, headers={"Retry-After": value})
    with Server(lambda request: again) as server, transport(server.base_url, max_retries=3) as opened:
        on_waiting(opened.stopped.set)
        with pytest.raises(CancelledError):
            opened.get("/keys", {})
    assert f"Trying again in {waited} s" in caplog.text
    assert len(server.requests) == 1


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
def retries() -> Retries:
    return Retries(max_retries=3, stopped=Event())


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


def test_a_server_error_pauses_no_other_request(retries):
    retries.on_rate_limit = lambda: pytest.fail("reported")
    assert retries.run(raising(OpenRouterServerError("down", status_code=503, retry_after=0.3)))
    assert retries._paused_until == 0
