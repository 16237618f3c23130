import socket
import threading
import time
from contextlib import contextmanager, suppress

import pytest
from support.servers import HANGS, Account, Answer, Server
from support.transports import GOOD, failure, get

from airflow_provider_openrouter.exceptions import (
    OpenRouterConnectionError,
)


@contextmanager
def trickling(head: bytes = b""):
    """Send one client with a head, and then byte by byte for as long as it stays."""

    def trickle() -> None:
        with suppress(OSError):
            connection, _ = listening.accept()
            with connection:
                connection.recv(1 << 16)
                connection.sendall(head)
                while True:
                    connection.sendall(b"H")
                    time.sleep(0.1)

    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.settimeout(20)
        thread = threading.Thread(target=trickle)
        thread.start()
        try:
            yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        finally:
            thread.join()


def test_a_proxy_that_trickles_for_ever_does_not_hang(monkeypatch):
    with trickling() as proxy:
        monkeypatch.setenv("HTTPS_PROXY", proxy)
        with pytest.raises(OpenRouterConnectionError, match="within 1 s"):
            get("https://openrouter.invalid", timeout=1)


@pytest.mark.parametrize(
    "answer",
    [
        HANGS,
        Answer(body=GOOD.body, trickle="body"),
        Answer(body=[1] * 100, trickle="body").chunked,
        Answer(body=GOOD.body, trickle="head"),
        Answer(503, "x" * 100, trickle="body"),
    ],
    ids=["hangs", "body trickles", "chunks trickle", "head trickles", "error trickles"],
)
def test_an_answer_that_takes_too_long_is_no_answer(answer):
    raised = failure(answer, timeout=1)
    assert type(raised) is OpenRouterConnectionError
    assert raised.transient
    assert "within 1 s" in str(raised)
    assert raised.about == "timeout"


@pytest.mark.parametrize(
    "head", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n"], ids=["head", "body"]
)
def test_an_answer_that_trickles_for_ever_does_not_hang(head):
    with trickling(head) as base_url, pytest.raises(OpenRouterConnectionError, match="within 1 s"):
        get(base_url, timeout=1)


def test_a_deadline_leaves_time_for_a_slow_answer():
    with Server(Account(3, latency=0.3)) as server:
        assert len(get(server, timeout=5)) == 3
