"""Where metrics go: a StatsD server on loopback, with its settings for Airflow, or a list."""

from __future__ import annotations

import socket
from threading import Thread
from typing import Self


class Stats:
    """In place of Airflow's ``Stats``: it keeps what it is given, as the lines that a server would receive."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def gauge(self, name: str, value: float, *, tags: dict[str, str]) -> None:
        self._keep(name, f"{value}|g", tags)

    def incr(self, name: str, count: int, *, tags: dict[str, str]) -> None:
        self._keep(name, f"{count}|c", tags)

    def _keep(self, name: str, value: str, tags: dict[str, str]) -> None:
        self.lines.append("".join([name, *(f",{tag}={each}" for tag, each in tags.items()), ":", value]))


class Statsd:
    """
    A listener that keeps what it receives.

    :param influxdb: whether Airflow is to append tags to names, as InfluxDB has them.
    """

    def __init__(self, *, influxdb: bool = False) -> None:
        self.lines: list[str] = []
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))
        host, port = self._socket.getsockname()
        self.environment = {
            "AIRFLOW__METRICS__STATSD_ON": "True",
            "AIRFLOW__METRICS__STATSD_HOST": host,
            "AIRFLOW__METRICS__STATSD_PORT": str(port),
            "AIRFLOW__METRICS__STATSD_INFLUXDB_ENABLED": str(influxdb),
        }

    def __enter__(self) -> Self:
        self._thread = Thread(target=self._listen, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as own:
            own.sendto(b"", self._socket.getsockname())
        self._thread.join()

    def _listen(self) -> None:
        with self._socket:
            while datagram := self._socket.recv(65_536):
                self.lines += datagram.decode().splitlines()

    @property
    def ours(self) -> list[str]:
        """The metrics of this provider."""
        return [line for line in self.lines if line.startswith("airflow.openrouter.")]
