"""
One deadline for each attempt of a request, from looking up the host to the last byte.

A socket's own timeout starts again with every byte. So a thread watches the attempts of a transport. It shuts
down the socket of each that is late, or of all when they are given up: whatever waits for it then fails at once.

Looking up a host has no socket that could be shut down. It runs in a thread that an attempt leaves behind when it
must end; that thread ends when the resolver does.
"""

from __future__ import annotations

import io
import os
import socket
import time
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError, Future, wait
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from functools import cache, partial
from http.client import HTTPResponse
from threading import Event, Lock, Thread
from typing import Any

from requests.adapters import HTTPAdapter
from urllib3.exceptions import NewConnectionError
from urllib3.util.connection import allowed_gai_family

from airflow_provider_openrouter.api.answers import LARGEST_BODY, too_large

AGAIN = 0.01
"""Seconds between two looks at an attempt that is to end: its socket may not have been connecting yet."""


class Deadline(Thread):
    """
    Ends the attempts of a transport that are late.

    :param timeout: seconds that one attempt may take.
    :param stopped: once it is set, every attempt ends, and so does this thread.
    """

    def __init__(self, timeout: float, stopped: Event) -> None:
        super().__init__(name="openrouter-deadline", daemon=True)
        self._timeout = timeout
        self.stopped = stopped
        self._attempts: list[Attempt] = []  # the oldest first

    @contextmanager
    def attempt(self, where: str) -> Iterator[Attempt]:
        """
        Watch the connection that is used inside this context.

        :param where: the URL, as errors show it.
        :raises concurrent.futures.CancelledError: if ``stopped`` is set already.
        """
        attempt = Attempt(where, time.monotonic() + self._timeout)
        self._attempts.append(attempt)
        before = _current.set(attempt)
        try:
            if self.stopped.is_set():  # only now: the thread ends when it sees no attempt
                raise CancelledError
            yield attempt
        finally:
            _current.reset(before)
            self._attempts.remove(attempt)
            attempt.release()

    def run(self) -> None:
        """Watch until ``stopped`` is set and the last attempt has ended."""
        while not self.stopped.wait(self._until_due()):
            now = time.monotonic()
            for attempt in self._attempts.copy():
                if attempt.due <= now:
                    attempt.end()
        while self._attempts:
            for attempt in self._attempts.copy():
                attempt.end()
            time.sleep(AGAIN)

    def _until_due(self) -> float:
        for oldest in self._attempts[:1]:
            return max(AGAIN, oldest.due - time.monotonic())
        return self._timeout


class Attempt:
    """
    One request and its response, on one connection.

    :param where: the URL, as errors show it.
    :param due: when it must be over, on the monotonic clock.
    """

    def __init__(self, where: str, due: float) -> None:
        self.due = due
        self.ended = False
        self._where = where
        self._received = 0
        self._lock = Lock()
        self._socket: socket.socket | None = None

    def end(self) -> None:
        """Make everything that the attempt still does fail."""
        self.ended = True
        with self._lock, suppress(OSError):
            if self._socket is not None:
                self._socket.shutdown(socket.SHUT_RDWR)

    def check(self) -> None:
        """Raise ``TimeoutError`` if the attempt was ended."""
        if self.ended:
            raise TimeoutError

    def use(self, sock: Any) -> None:
        """Watch this socket, by a second descriptor: TLS and http.client take the first one elsewhere."""
        self.release()
        with self._lock:
            self._socket = socket.socket(fileno=os.dup(sock.fileno()))
        self.check()

    def release(self) -> None:
        """Leave the connection to others."""
        with self._lock:
            if self._socket is not None:
                self._socket.close()
                self._socket = None

    def receive(self, size: int) -> None:
        """
        Count bytes as they come from the socket.

        :raises TimeoutError: if the attempt was ended: what looks like the end of a body then is none.
        :raises OpenRouterResponseError: if they are too many.
        """
        self.check()
        self._received += size
        if self._received > LARGEST_BODY:
            raise too_large(self._where)

    def look_up(self, host: str, port: int | None, family: int) -> list[Any]:
        """Return the addresses of a host, or leave the thread behind that asks for them."""
        future: Future[list[Any]] = Future()
        ask = partial(socket.getaddrinfo, host, port, family, socket.SOCK_STREAM)
        Thread(target=_settle, args=(future, ask), name="openrouter-look-up", daemon=True).start()
        while not wait([future], AGAIN).done:
            self.check()
        return future.result()


_current: ContextVar[Attempt] = ContextVar("attempt")


class DeadlineAdapter(HTTPAdapter):
    """The adapter of requests for one host, for use inside :meth:`Deadline.attempt`."""

    _pool: Any = None  # found once: requests looks for it at every request

    def get_connection_with_tls_context(self, *args: Any, **kwargs: Any) -> Any:
        """Return the pool of a host, or of a proxy to it, with connections that are watched."""
        if self._pool is None:
            self._pool = super().get_connection_with_tls_context(*args, **kwargs)
            self._pool.ConnectionCls = _watched(type(self._pool).ConnectionCls)
        return self._pool

    def close(self) -> None:
        """Close the connections now: requests and urllib3 leave that to the garbage collector."""
        for manager in (self.poolmanager, *self.proxy_manager.values()):
            for key in list(manager.pools.keys()):
                manager.pools[key].close()
        super().close()


class _Received(io.RawIOBase):
    """The bytes of a response as they come from the socket."""

    def __init__(self, raw: io.RawIOBase, attempt: Attempt) -> None:
        self._raw = raw
        self._attempt = attempt

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        size = self._raw.readinto(buffer)
        self._attempt.receive(size or 0)
        return size

    def close(self) -> None:
        self._attempt.release()  # before the pool gives the connection to another attempt
        self._raw.close()
        super().close()


class _Response(HTTPResponse):
    """A response of which only real headers are kept: urllib3 logs the other lines, and they may hold the key."""

    fp: Any

    def begin(self) -> None:
        self.fp = io.BufferedReader(_Received(self.fp.detach(), _current.get()))
        super().begin()
        while 101 < self.status < 200:  # early hints, for one; http.client knows only 100
            self.headers = self.msg = None  # type: ignore[assignment]  # so that it begins again
            super().begin()
        self.msg.set_payload("")
        self.msg.defects.clear()


class _Watched:
    """Mixed into a connection of urllib3: its attempt knows the socket."""

    sock: Any
    host: str
    _dns_host: str
    port: int
    timeout: float
    socket_options: Any
    response_class = _Response

    def request(self, *args: Any, **kwargs: Any) -> None:
        if self.sock is not None:
            _current.get().use(self.sock)
        super().request(*args, **kwargs)  # type: ignore[misc]  # of the connection that this is mixed into

    def _new_conn(self) -> Any:
        if hasattr(self, "_socks_options"):
            return self._connect_through_socks(self._socks_options)
        return self._connect(self._dns_host, self.port, socket.socket, socket.socket.connect)

    def _connect_through_socks(self, options: Any) -> Any:
        """Connect as PySocks does, but look up both hosts first, so that its socket can end all the rest."""
        import socks  # type: ignore[import-untyped]

        host, version, here = self.host, options["socks_version"], not options["rdns"]
        if here:
            family = socket.AF_INET if version == socks.SOCKS4 else allowed_gai_family()
            host = _current.get().look_up(host, self.port, family)[0][4][0]

        def connect(sock: Any, address: Any) -> None:
            sock.set_proxy(version, *address[:2], not here, options["username"], options["password"])
            sock.connect((host, self.port))

        return self._connect(options["proxy_host"], options["proxy_port"], socks.socksocket, connect)

    def _connect(
        self, host: str, port: int | None, new: Callable[..., Any], connect: Callable[[Any, Any], None]
    ) -> Any:
        attempt = _current.get()
        found = attempt.look_up(host.strip("[]"), port, allowed_gai_family())
        while True:
            family, kind, protocol, _, address = found.pop(0)
            sock = new(family, kind, protocol)
            try:
                for option in self.socket_options or ():
                    sock.setsockopt(*option)
                sock.settimeout(self.timeout)
                attempt.use(sock)
                connect(sock, address)
                return sock
            except OSError as error:
                sock.close()
                if not found:
                    raise NewConnectionError(self, str(error)) from error  # type: ignore[arg-type]


@cache
def _watched(connection: type) -> type:
    return type(connection.__name__, (_Watched, connection), {})


def _settle(future: Future[list[Any]], function: Callable[[], list[Any]]) -> None:
    try:
        future.set_result(function())
    except BaseException as error:
        future.set_exception(error)
