"""A server that never comes to an end."""

from __future__ import annotations

import socket
import ssl
from contextlib import suppress
from pathlib import Path
from threading import Event, Thread
from typing import Self

TLS = b"TLS"
"""Part of a script: a TLS handshake."""


class Hostile:
    """
    Serves each client by a script, and the last part of it again and again until the client or server leaves.

    :param script: what is sent, each part but the last after something was received; or :data:`TLS`.
    :param pause: seconds between two of the last part; 0 sends it a thousandfold and without a pause.
    :param certificate: a PEM file with a key and its certificate, for :data:`TLS`.
    """

    def __init__(self, *script: bytes, pause: float = 0.05, certificate: Path | None = None) -> None:
        self.busy = Event()
        self.connections = 0
        self._script = script
        self._pause = pause
        self._certificate = certificate
        self._threads: list[Thread] = []
        self._stopped = Event()
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.host = f"127.0.0.1:{self._listening.getsockname()[1]}"

    def __enter__(self) -> Self:
        self._start(self._accept)
        return self

    def __exit__(self, *error: object) -> None:
        self._stopped.set()
        self._listening.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:  # those of clients are added while the first one ends
            thread.join()
        self._listening.close()

    def _start(self, target: object, *args: object) -> None:
        self._threads.append(Thread(target=target, args=args, name="test-hostile", daemon=True))
        self._threads[-1].start()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listening.accept()
                self.connections += 1
                self._start(self._serve, client)

    def _serve(self, client: socket.socket) -> None:
        *parts, last = self._script
        with suppress(OSError):
            for part in parts:
                if part == TLS:
                    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
                    context.load_cert_chain(self._certificate)
                    client = context.wrap_socket(client, server_side=True)
                else:
                    client.recv(1 << 16)
                    client.sendall(part)
            client.settimeout(self._pause or 0.1)
            self.busy.set()
            whole, sent = last * (1 if self._pause else 1_000), 0
            while not self._stopped.is_set():
                with suppress(TimeoutError):
                    sent += client.send(whole[sent % len(last) :]) if last else 0
                with suppress(TimeoutError):
                    if self._pause and not client.recv(1 << 16):
                        break
        client.close()
