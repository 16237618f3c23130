"""Airflow's API server alone, with users of each kind."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import requests
from airflows import Airflow


class ApiServer(Airflow):
    """
    An API server, and nothing that runs DAGs. A user's password is the user's name.

    :param home: an empty folder.
    :param environment: more environment variables, such as connections.
    :param path: the path below which it is, such as ``/airflow``.
    :param prepare: a program in Python that runs with the migrated database before the server starts.
    """

    commands = {"api-server": ["api-server"]}  # noqa: RUF012

    def __init__(self, home: Path, environment: dict[str, str], *, path: str = "", prepare: str = "") -> None:
        passwords = home / "passwords.json"
        super().__init__(
            home,
            {},
            {
                "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": "false",
                "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(passwords),
                "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS": "admin:admin,op:op,user:user,viewer:viewer",
                **environment,
            },
        )
        passwords.write_text(json.dumps({name: name for name in ("admin", "op", "user", "viewer")}))
        self.url += path
        self._environment["AIRFLOW__API__BASE_URL"] = self.url
        self._prepare = prepare
        self._tokens: dict[str, str] = {}

    def token(self, user: str) -> str:
        """Log a user in, once."""
        if user not in self._tokens:
            body = {"username": user, "password": user}
            answer = requests.post(f"{self.url}/auth/token", json=body, timeout=30)
            self._tokens[user] = answer.json()["access_token"]
        return self._tokens[user]

    def ask(self, path: str, user: str | None = None, *, method: str = "GET") -> requests.Response:
        """Send a request as a user, or as nobody."""
        headers = {"Authorization": f"Bearer {self.token(user)}"} if user else {}
        return requests.request(method, self.url + path, headers=headers, timeout=30)

    def _start_all(self) -> None:
        self.run("db", "migrate")
        if self._prepare:
            subprocess.run([sys.executable, "-c", self._prepare], env=self._environment, check=True, timeout=180)
        self.start("api-server")
        self.wait_for(self._health, "the API server to respond", seconds=150)
