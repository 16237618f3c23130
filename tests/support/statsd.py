"""A StatsD server on loopback, and the settings with which Airflow sends it its metrics."""

from __future__ import annotations

import socket
from threading import Thread
from typing import Self


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
