"""
Connections that give up in time, however slowly the other side sends.

A socket's own timeout starts again with every byte. Connecting, what a proxy says included, and the head of a
response are therefore watched by a timer that shuts the socket down.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.client import HTTPResponse
from threading import Timer
from typing import Any

import urllib3
from requests.adapters import HTTPAdapter


class DeadlineAdapter(HTTPAdapter):
    """The adapter of requests, with connections that give up in time."""

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        """Make the connections to the server ones that give up in time."""
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = {"http": _HTTPPool, "https": _HTTPSPool}

    def proxy_manager_for(self, *args: Any, **kwargs: Any) -> Any:
        """Make the connections through a proxy ones that give up in time."""
        manager = super().proxy_manager_for(*args, **kwargs)
        manager.pool_classes_by_scheme = {"http": _HTTPPool, "https": _HTTPSPool}
        return manager

    def close(self) -> None:
        """Close the connections now: requests and urllib3 leave that to the garbage collector."""
        for manager in (self.poolmanager, *self.proxy_manager.values()):
            for key in list(manager.pools.keys()):
                manager.pools[key].close()
        super().close()


class _Response(HTTPResponse):
    """A response of which only real headers are kept: urllib3 logs the other lines, and they may hold the key."""

    def begin(self) -> None:
        super().begin()
        self.msg.set_payload("")
        self.msg.defects.clear()


class _GivesUpInTime:
    """Mixed into a connection: its timeout is for all of connecting, and for all of a response's head."""

    sock: Any
    timeout: float
    response_class = _Response

    def connect(self) -> None:
        with self._in_time():
            super().connect()  # type: ignore[misc]  # of the connection that this is mixed into

    def getresponse(self) -> Any:
        with self._in_time():
            return super().getresponse()  # type: ignore[misc]

    @contextmanager
    def _in_time(self) -> Iterator[None]:
        watchdog = Timer(self.timeout, self._give_up)
        watchdog.daemon = True
        watchdog.start()
        try:
            yield
        finally:
            watchdog.cancel()

    def _give_up(self) -> None:
        tcp = getattr(self.sock, "socket", self.sock)  # TLS within TLS, through a proxy, wraps the socket
        if tcp is not None:
            with suppress(OSError):
                socket.socket.shutdown(tcp, socket.SHUT_RDWR)


class _HTTPConnection(_GivesUpInTime, urllib3.connection.HTTPConnection):  # type: ignore[misc]
    pass


class _HTTPSConnection(_GivesUpInTime, urllib3.connection.HTTPSConnection):  # type: ignore[misc]
    pass


class _HTTPPool(urllib3.HTTPConnectionPool):
    ConnectionCls: Any = _HTTPConnection


class _HTTPSPool(urllib3.HTTPSConnectionPool):
    ConnectionCls: Any = _HTTPSConnection
