"""A proxy on loopback, which leads every client to one server."""

from __future__ import annotations

import socket
import ssl
from contextlib import suppress
from pathlib import Path
from socketserver import StreamRequestHandler, ThreadingTCPServer
from threading import Thread
from typing import Self


class RefusedError(Exception):
    """Ends the connection of a client."""


class Proxy(ThreadingTCPServer):
    """
    Speaks SOCKS 4, 4a and 5, and CONNECT of HTTP.

    :param target: ``host:port`` of the server, whichever host is asked for.
    :param login: what a client must log in with, ``user:password``; as an HTTP proxy it asks for none.
    :param refusal: the code of SOCKS with which every request is refused.
    :param certificate: a PEM file with a key and its certificate, to speak TLS.
    :param address: where it listens.
    """

    daemon_threads = False
    request_queue_size = 16

    def __init__(
        self,
        target: str,
        *,
        login: str = "",
        refusal: int | None = None,
        certificate: Path | None = None,
        address: tuple[str, int] = ("127.0.0.1", 0),
    ) -> None:
        super().__init__(address, _Handler)
        self.host = ":".join(map(str, self.server_address))
        self.target = target.rsplit(":", 1)
        self.login = login
        self.refusal = refusal
        self.asked: list[str] = []
        """``host:port`` of every request."""
        self.seen = b""
        """Whatever clients sent."""
        if certificate:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate)
            self.socket = context.wrap_socket(self.socket, server_side=True)
        self._thread = Thread(target=self.serve_forever, args=(0.005,), name="test-proxy")

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.shutdown()
        self._thread.join()
        self.server_close()

    def handle_error(self, request: object, client_address: object) -> None:
        """Log nothing: that clients leave is part of the tests."""


class _Handler(StreamRequestHandler):
    server: Proxy

    def handle(self) -> None:
        first = self._read(1)
        greet = {b"\4": self._socks4, b"\5": self._socks5}.get(first, self._connect)
        try:
            greet()
        except RefusedError:
            return
        with socket.create_connection(self.server.target) as there:
            back = Thread(target=self._relay_back, args=(there,), name="test-proxy-back")
            back.start()
            with suppress(OSError):
                while more := self.connection.recv(1 << 16):
                    self.server.seen += more
                    there.sendall(more)
            there.shutdown(socket.SHUT_RDWR)
            back.join()

    def _relay_back(self, there: socket.socket) -> None:
        with suppress(OSError):
            while more := there.recv(1 << 16):
                self.connection.sendall(more)
            self.connection.shutdown(socket.SHUT_RDWR)

    def _read(self, size: int) -> bytes:
        found = self.rfile.read(size)
        self.server.seen += found
        return found

    def _read_to(self, end: bytes) -> bytes:
        found = b""
        while not found.endswith(end):
            found += self._read(1) or end
        return found.removesuffix(end)

    def _connect(self) -> None:
        head = self._read_to(b"\r\n\r\n").decode("latin-1")
        self.server.asked.append(head.split()[1])
        self.wfile.write(b"HTTP/1.1 200 OK\r\n\r\n")

    def _socks4(self) -> None:
        _, port, address = self._read(1), self._read(2), self._read(4)
        self._read_to(b"\0")
        host = self._read_to(b"\0").decode() if address[:3] == bytes(3) else socket.inet_ntoa(address)
        self._answer(host, port, b"\0", 0x5A, bytes(6))

    def _socks5(self) -> None:
        methods = self._read(self._read(1)[0])
        method = 2 if self.server.login else 0
        if method not in methods:
            self.wfile.write(b"\5\xff")
            raise RefusedError
        self.wfile.write(bytes([5, method]))
        if method:
            self._read(1)
            user, password = (self._read(self._read(1)[0]).decode() for _ in range(2))
            refused = f"{user}:{password}" != self.server.login
            self.wfile.write(bytes([1, refused]))
            if refused:
                raise RefusedError
        kind = self._read(4)[3]
        host = {
            1: lambda: socket.inet_ntoa(self._read(4)),
            3: lambda: self._read(self._read(1)[0]).decode(),
        }[kind]()
        self._answer(host, self._read(2), b"\5", 0, b"\0\1" + bytes(6))

    def _answer(self, host: str, port: bytes, start: bytes, granted: int, rest: bytes) -> None:
        self.server.asked.append(f"{host}:{int.from_bytes(port)}")
        refusal = self.server.refusal
        self.wfile.write(start + bytes([granted if refusal is None else refusal]) + rest)
        if refusal is not None:
            raise RefusedError
