"""
What can go wrong, as in the table of docs/errors.md: each fault is caused for real, and met by a task.

``print(test_faults.TABLE)`` shows the table as it must stand there.
"""

import asyncio
import gzip
import json
import re
import socket
import sqlite3
import time
from collections.abc import Callable
from contextlib import ExitStack, aclosing
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import requests
from airflow.providers.common.compat.sdk import (
    AirflowException,
    AirflowFailException,
    AirflowNotFoundException,
    AirflowSensorTimeout,
)
from support.certificates import certificate
from support.proxies import Proxy
from support.s3 import running_s3
from support.servers import HANGS, RETRY_AT_ONCE, TOKEN, Account, Answer, Request, Server, data, error
from support.tasks import Context, logging_kind

from airflow_provider_openrouter.api.answers import LARGEST_BODY
from airflow_provider_openrouter.exceptions import (
    OpenRouterAuthError,
    OpenRouterConnectionError,
    OpenRouterError,
    OpenRouterRateLimitError,
    OpenRouterRequestError,
    OpenRouterResponseError,
    OpenRouterServerError,
)
from airflow_provider_openrouter.hooks.openrouter import OpenRouterHook
from airflow_provider_openrouter.operators.openrouter import (
    OpenRouterListKeysOperator,
    OpenRouterRaiseLimitOperator,
    OpenRouterUpdateKeyOperator,
)
from airflow_provider_openrouter.sensors.openrouter import OpenRouterKeyLimitSensor
from airflow_provider_openrouter.transfers.openrouter_to_sql import OpenRouterKeysToSqlOperator
from airflow_provider_openrouter.triggers.openrouter import OpenRouterKeyLimitTrigger
from airflow_provider_openrouter.watch.events import read_keys

pytestmark = pytest.mark.usefixtures("outside_the_task_runner", "retries_at_once")

PAGE = Path(__file__).parent.parent / "docs" / "errors.md"
HEADING = "## Every fault"
KEYS = [{"hash": f"hash-{number}", "name": f"name-{number}", "limit_remaining": 1.0} for number in range(3)]
WORKSPACES = [{"id": "1f", "name": "Marketing"}]
DELETED = "0d2e5b0e-7c0a-4b59-9a5d-3d1b2f0c8f11"
HTML = Answer(body="<html>Just a moment...</html>", headers={"Content-Type": "text/html"} | RETRY_AT_ONCE)
NOWHERE = "openrouter.invalid"


class Stage:
    """Where a fault is set up: servers, the environment, and the connection that a task reads."""

    def __init__(self, stack: ExitStack, monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
        self.environment = monkeypatch
        self.folder = folder
        self.servers: list[Server] = []
        self.max_retries = 1
        self.timeout = 30.0
        self.allow_updates = False
        self._stack = stack

    def serve(self, answer: Callable[[Request], Answer], *, certificate: Path | None = None) -> Server:
        server = self._stack.enter_context(Server(answer, certificate=certificate))
        self.servers.append(server)
        self.connect(host=server.base_url)
        return server

    def start(self, proxy: Proxy) -> Proxy:
        return self._stack.enter_context(proxy)

    def connect(self, *, extra: Any = None, **fields: Any) -> None:
        settings = {"timeout": self.timeout, "max_retries": self.max_retries}
        extra = settings | {"allow_updates": self.allow_updates} | (extra or {})
        self.connection("openrouter_default", conn_type="openrouter", **{"password": TOKEN} | fields, extra=extra)

    def connection(self, name: str, **fields: Any) -> None:
        self.environment.setenv(f"AIRFLOW_CONN_{name.upper()}", json.dumps(fields))

    def closed_port(self) -> int:
        unused = self._stack.enter_context(socket.socket())
        unused.bind(("127.0.0.1", 0))
        return unused.getsockname()[1]


def list_keys(stage: Stage) -> Any:
    return OpenRouterListKeysOperator(task_id="list_keys", xcom_format="records").execute(Context())


@dataclass(frozen=True, kw_only=True)
class Fault:
    """
    A row of the table.

    :param name: what happens.
    :param cause: makes it happen.
    :param error: what is raised, None if the fault passes and every key is listed.
    :param says: what the user reads, in the error or in the log; "…" stands for what is left out.
    :param requests: how many of them arrive; None for any number.
    :param transient: whether the error is temporary.
    :param repeated: whether the client repeats the request.
    :param task: who meets it.
    """

    name: str
    cause: Callable[[Stage], Any]
    error: type[Exception] | None = None
    says: str = ""
    requests: int | None
    transient: bool = False
    repeated: bool = False
    task: Callable[[Stage], Any] = list_keys

    @property
    def row(self) -> str:
        """What stands on the page."""
        error = f"`{self.error.__name__}`" if self.error else ""
        cells = self.name, self.says, error, _yes(self.repeated), self._wait, self._task_retries
        return f"| {' | '.join(cells)} |"

    @property
    def _task_retries(self) -> str:
        return _yes(not issubclass(self.error, AirflowFailException)) if self.error else ""

    @property
    def _wait(self) -> str:
        if self.error is None or self.task is not list_keys:
            return ""
        if self.transient:
            return "waits on"
        return "ends; once it has listed, after an hour" if self.error in REFUSED else "ends"


REFUSED = (OpenRouterAuthError, AirflowNotFoundException)


def _yes(flag: bool) -> str:
    return "yes" if flag else "no"


# -- causes


def serves(answer: Answer) -> Callable[[Stage], Any]:
    return lambda stage: stage.serve(lambda request: answer)


def serves_after(*faults: Answer) -> Callable[[Stage], Any]:
    """Respond to the first requests with faults, and the others with the keys."""

    def answer(request: Request) -> Answer:
        return faults[request.number] if request.number < len(faults) else data(KEYS[request.offset :])

    return lambda stage: stage.serve(answer)


def serves_to_many_retries(answer: Answer) -> Callable[[Stage], Any]:
    def cause(stage: Stage) -> None:
        stage.max_retries = 5
        serves(answer)(stage)

    return cause


def limits_the_rate(*, for_seconds: float) -> Callable[[Stage], Any]:
    """Name the end of a rate limit, in milliseconds and by a clock that is wrong."""
    noon = {"Date": "Thu, 26 Feb 2026 12:00:00 GMT"}
    return serves_after(error(429, headers=noon | {"X-RateLimit-Reset": f"{1772107200 + for_seconds:.3f}"}))


def serves_too_late(answer: Answer) -> Callable[[Stage], Any]:
    def cause(stage: Stage) -> None:
        stage.timeout = 0.5
        serves(answer)(stage)

    return cause


def fails_in_every_way(*, passes: bool) -> Callable[[Stage], Any]:
    def cause(stage: Stage) -> None:
        failures = [error(status, "upstream", headers=RETRY_AT_ONCE) for status in (500, 502, 503, 504)]
        stage.max_retries = len(failures) if passes else len(failures) - 1
        if passes:
            serves_after(*failures)(stage)
        else:
            stage.serve(lambda request: failures[request.number % len(failures)])

    return cause


def keys_that_come_and_go(stage: Stage) -> None:
    keys = [*KEYS]

    def answer(request: Request) -> Answer:
        if request.number == 1:
            keys.insert(0, {"hash": "new"})
        if request.number == 3:
            keys.pop(0)
        return data(keys[request.offset :][:2])

    stage.serve(answer)


def keys_that_come_faster_than_they_are_listed(stage: Stage) -> None:
    stage.serve(lambda request: data([{"hash": f"{request.number} {number}"} for number in range(4)]))


def a_workspace_that_is_deleted(stage: Stage) -> None:
    def answer(request: Request) -> Answer:
        if request.path == "/workspaces":
            there = WORKSPACES if asked else [{"id": "2e", "name": "Sales"}, *WORKSPACES]
            return data(there[request.offset :])
        asked.append(request)
        return error(404) if request.query["workspace_id"] == "2e" else data(KEYS[request.offset :])

    asked: list[Request] = []
    stage.serve(answer)


def workspaces_that_are_deleted_without_end(stage: Stage) -> None:
    account = Account(workspaces=100, gone=404)
    account.between = lambda number: number % 2 and account.delete_workspace(-1)
    stage.serve(account)


def a_server_without_include_expired(stage: Stage) -> None:
    def answer(request: Request) -> Answer:
        unknown = "include_expired" in request.query
        return error(400, "Unrecognized key: include_expired") if unknown else data(KEYS[request.offset :])

    stage.serve(answer)


def a_packed_body_of_nothing(stage: Stage) -> None:
    body = gzip.compress(b" " * (LARGEST_BODY + 1), 1)
    serves(Answer(body=body, headers={"Content-Encoding": "gzip"}))(stage)


def serves_tls(*, trusted: bool, **how: Any) -> Callable[[Stage], Any]:
    def cause(stage: Stage) -> None:
        pem = certificate(stage.folder, **how)
        if trusted:
            stage.environment.setenv("REQUESTS_CA_BUNDLE", str(pem))
        stage.serve(lambda request: data(KEYS[request.offset :]), certificate=pem)

    return cause


def a_proxy_that_refuses(stage: Stage) -> None:
    proxy = stage.serve(lambda request: error(500))
    stage.environment.setenv("HTTPS_PROXY", f"http://{proxy.host}")  # it knows no CONNECT
    stage.connect(host=NOWHERE)


def has_proxy(proxy: str) -> Callable[[Stage], Any]:
    def cause(stage: Stage) -> None:
        stage.environment.setenv("HTTPS_PROXY", proxy)
        stage.connect(host=NOWHERE)

    return cause


def a_socks_proxy_that_refuses(stage: Stage) -> None:
    proxy = stage.start(Proxy("127.0.0.1:9", refusal=2))
    has_proxy(f"socks5h://{proxy.host}")(stage)


def a_socks_proxy_without_pysocks(stage: Stage) -> None:
    def missing(*args: Any, **options: Any) -> None:  # as requests.adapters has it where PySocks is not installed
        raise requests.exceptions.InvalidSchema

    stage.environment.setattr(requests.adapters, "SOCKSProxyManager", missing)
    has_proxy("socks5h://proxy.invalid:1080")(stage)


def a_proxy_with_an_unknown_certificate(stage: Stage) -> None:
    proxy = stage.start(Proxy("127.0.0.1:9", certificate=certificate(stage.folder)))
    has_proxy(f"https://{proxy.host}")(stage)


def trusts_a_file_without_certificates(stage: Stage) -> None:
    serves_tls(trusted=False)(stage)
    path = stage.folder / "empty.pem"
    path.touch()
    stage.environment.setenv("REQUESTS_CA_BUNDLE", str(path))


def trusts_a_file_that_is_missing(stage: Stage) -> None:
    serves_tls(trusted=False)(stage)
    stage.environment.setenv("REQUESTS_CA_BUNDLE", str(stage.folder / "missing.pem"))


def connects(**fields: Any) -> Callable[[Stage], Any]:
    def cause(stage: Stage) -> None:
        server = stage.serve(lambda request: data([]))
        stage.connect(**{"host": server.base_url} | fields)

    return cause


def has_a_field_that_is_not_used(stage: Stage) -> None:
    server = stage.serve(lambda request: data(KEYS[request.offset :]))
    stage.connect(host=server.base_url, login="finance", extra={"note": "of the finance team"})


def refuses_changes(answer: Answer) -> Callable[[Stage], Any]:
    """Respond to reading with a key, and to each change with an answer."""

    def cause(stage: Stage) -> None:
        stage.allow_updates = True
        stage.serve(lambda request: answer if request.method == "PATCH" else data(KEYS[0]))

    return cause


def has_no_connection(stage: Stage) -> None:
    stage.environment.delenv("AIRFLOW_CONN_OPENROUTER_DEFAULT", raising=False)


# -- tasks


def waits_for_a_nonsense_threshold(stage: Stage) -> Any:
    return OpenRouterKeyLimitSensor(task_id="wait", threshold="150%")


def waits_for_no_key(stage: Stage) -> Any:
    sensor = OpenRouterKeyLimitSensor(task_id="wait", threshold=5, key_hashes="gone", fail_if_unwatched=True)
    return sensor.execute(Context())


def lists_keys_of_an_unknown_workspace(stage: Stage) -> Any:
    return OpenRouterListKeysOperator(task_id="list_keys", workspace_id="Sales", xcom_format="records").execute(
        Context()
    )


def lists_the_keys_of_all_workspaces(stage: Stage) -> Any:
    return OpenRouterListKeysOperator(task_id="list_keys", workspace_id="*", xcom_format="records").execute(
        Context()
    )


def lists_keys_of_a_deleted_workspace(stage: Stage) -> Any:
    return OpenRouterListKeysOperator(task_id="list_keys", workspace_id=DELETED, xcom_format="records").execute(
        Context()
    )


def writes_to_an_unknown_placeholder(stage: Stage) -> Any:
    return OpenRouterListKeysOperator(task_id="list_keys", output_path="/lake/{date}.parquet")


def writes_to_an_unknown_store(stage: Stage) -> Any:
    path = "nowhere://bucket/keys.parquet"
    return OpenRouterListKeysOperator(task_id="list_keys", output_path=path).execute(Context())


def writes_to_an_unknown_database(stage: Stage) -> Any:
    stage.connection("warehouse", conn_type="nowhere")
    return writes_a_table(stage)


def writes_to_a_warehouse(stage: Stage) -> Any:
    stage.connection("warehouse", conn_type="snowflake")
    return writes_a_table(stage)


def writes_with_settings_for_sqlalchemy(stage: Stage) -> Any:
    extra = {"sqlalchemy_query": {"sslmode": "require"}}
    stage.connection("warehouse", conn_type="postgres", host="127.0.0.1", extra=extra)
    return writes_a_table(stage)


def writes_below_a_file(stage: Stage) -> Any:
    blocked = stage.folder / "file"
    blocked.touch()
    path = str(blocked / "folder" / "keys.parquet")
    return OpenRouterListKeysOperator(task_id="list_keys", output_path=path).execute(Context())


def writes_to_no_bucket(stage: Stage) -> Any:
    with running_s3() as url:
        extra = {"endpoint_url": url, "region_name": "eu-west-1"}
        stage.connection("lake", conn_type="aws", login="a", password="not-checked", extra=extra)
        path = "s3://lake@no-such-bucket/keys.parquet"
        return OpenRouterListKeysOperator(task_id="list_keys", output_path=path).execute(Context())


def writes_a_table(stage: Stage, table: str = "keys") -> Any:
    return OpenRouterKeysToSqlOperator(task_id="write", sql_conn_id="warehouse", table=table).execute(Context())


def writes_to_a_closed_database(stage: Stage) -> Any:
    stage.connection("warehouse", conn_type="postgres", host="127.0.0.1", port=stage.closed_port(), schema="x")
    return writes_a_table(stage)


def writes_what_a_constraint_forbids(stage: Stage) -> Any:
    path = stage.folder / "warehouse.db"
    with sqlite3.connect(path) as database:
        database.execute("CREATE TABLE keys (name TEXT CHECK (name <> 'name-1'))")
    stage.connection("warehouse", conn_type="sqlite", host=str(path))
    return writes_a_table(stage)


def reads_the_credits(stage: Stage) -> Any:
    return OpenRouterHook().get_credits()


def changes_a_key(stage: Stage | None = None, **arguments: Any) -> Any:
    changes = {"key_hash": "hash-0", "limit": 50} | arguments
    return OpenRouterUpdateKeyOperator(task_id="update", **changes).execute(Context())


# -- the table

FAULTS = [
    Fault(
        name="the key is wrong, or OpenRouter has an outage (401)",
        cause=serves(error(401, "User not found.")),
        error=OpenRouterAuthError,
        says="… answered 401 (User not found.). The key must be an active management key; … Create one at …. An "
        "outage can look the same: see https://status.openrouter.ai. The management key is the password of …",
        requests=1,
    ),
    Fault(
        name="the key is an inference key (403)",
        cause=serves(error(403, "Only management keys can perform this operation")),
        error=OpenRouterAuthError,
        says="… answered 403 (Only management keys can perform this operation). …; an inference key is not "
        "enough. Create one at …",
        requests=1,
    ),
    Fault(
        name="the credits are read with an inference key, and both totals are 0",
        cause=serves(data({"total_credits": 0, "total_usage": 0, "is_management_key": False})),
        error=OpenRouterAuthError,
        says="The key is an inference key, to which the API shows credits of 0. Create a management key at …",
        requests=2,
        task=reads_the_credits,
    ),
    Fault(
        name="a limit, a budget or a data region forbids it (403)",
        cause=serves(error(403, "Key limit exceeded (daily limit)")),
        error=OpenRouterAuthError,
        says="… answered 403 (Key limit exceeded (daily limit)). A limit, a budget or a data region may forbid "
        "it. …",
        requests=1,
    ),
    Fault(
        name="there is no key",
        cause=connects(password=" "),
        error=OpenRouterAuthError,
        says="There is no management key. Create one at …",
        requests=0,
    ),
    Fault(
        name="the key has a line break, or a letter outside ASCII",
        cause=connects(password=f"{TOKEN}\n é"),
        error=OpenRouterAuthError,
        says="The management key has a character that cannot be sent in an HTTP header. Copy the key again, …",
        requests=0,
    ),
    Fault(
        name="a key is in another field of the connection",
        cause=connects(login=TOKEN),
        error=OpenRouterAuthError,
        says="There is a key in the login of connection …, where it is not used. The management key belongs in "
        "the password; remove it from everywhere else.",
        requests=0,
    ),
    Fault(
        name="there is no password, but a login, or an extra such as `api_key` or `token`",
        cause=connects(password="", extra={"api_key": "a-key-of-another-form"}),
        error=OpenRouterAuthError,
        says="Connection … has no password, but has its extra api_key set. The management key belongs in the "
        "password.",
        requests=0,
    ),
    Fault(
        name="the credits are used up (402)",
        cause=serves(error(402, "Insufficient credits")),
        error=OpenRouterRequestError,
        says="… answered 402 (Insufficient credits). Credits are missing, or too few. Add some at …",
        requests=1,
    ),
    Fault(
        name="the base URL's path is wrong, or the default workspace was deleted (404)",
        cause=serves(error(404, "Not found")),
        error=OpenRouterRequestError,
        says="… answered 404 (Not found). Check the base URL. If it is right, the account's default workspace "
        "may have been deleted: set workspace_id. The base URL is the host of …",
        requests=1,
    ),
    Fault(
        name="there is no workspace of that id (404)",
        cause=serves(error(404, "Workspace not found")),
        error=OpenRouterRequestError,
        says="… answered 404 (Workspace not found). Check workspace_id and the base URL. …",
        requests=1,
        task=lists_keys_of_a_deleted_workspace,
    ),
    Fault(
        name="the proxy wants a user and a password (407)",
        cause=serves(error(407, "Proxy authentication required")),
        error=OpenRouterRequestError,
        says="… answered 407 (Proxy authentication required). The proxy says so, not OpenRouter. Put what it "
        "asks for into HTTPS_PROXY, …",
        requests=1,
    ),
    Fault(
        name="another request is refused (other 4xx)",
        cause=serves(error(422, "Invalid offset")),
        error=OpenRouterRequestError,
        says="… answered 422 (Invalid offset). Check the base URL.",
        requests=1,
    ),
    Fault(
        name="the server does not know `include_expired` (a 400 that names it)",
        cause=a_server_without_include_expired,
        says="Expired keys may be missing: listing again without include_expired. …",
        requests=3,
    ),
    Fault(
        name="too many requests (429), for a while",
        cause=serves_after(error(429, headers=RETRY_AT_ONCE)),
        says="… answered 429, too many requests …. Trying again in … s (attempt 2).",
        requests=3,
        repeated=True,
    ),
    Fault(
        name="too many requests, until the `Retry-After` or `X-RateLimit-Reset` within 60 s",
        cause=limits_the_rate(for_seconds=1.5),
        says="… answered 429, too many requests …. It asks to wait 1.5 s. … Trying again in 1.5 s (attempt 2).",
        requests=3,
        repeated=True,
    ),
    Fault(
        name="too many requests, with a `Retry-After` or `X-RateLimit-Reset` of more than 60 s",
        cause=limits_the_rate(for_seconds=36_000),
        error=OpenRouterRateLimitError,
        says="… answered 429, too many requests …. It asks to wait 10 h. Ask less often, or lower …",
        requests=1,
        transient=True,
    ),
    Fault(
        name="too many requests, throughout",
        cause=serves(error(429, "Rate limit exceeded", headers=RETRY_AT_ONCE)),
        error=OpenRouterRateLimitError,
        says="… answered 429, too many requests (Rate limit exceeded). Ask less often, or lower max_concurrency.",
        requests=2,
        transient=True,
        repeated=True,
    ),
    Fault(
        name="the server fails (500, 502, 503, 504 …), for a while",
        cause=fails_in_every_way(passes=True),
        says="… answered 503 …. Trying again in … s (attempt 4).",
        requests=6,
        repeated=True,
    ),
    Fault(
        name="the server fails, throughout",
        cause=fails_in_every_way(passes=False),
        error=OpenRouterServerError,
        says="… answered 504 (upstream). The fault is the server's; try again later.",
        requests=4,
        transient=True,
        repeated=True,
    ),
    Fault(
        name="the server fails, with a `Retry-After` of more than 60 s",
        cause=serves(error(503, "Maintenance", headers={"Retry-After": "5400"})),
        error=OpenRouterServerError,
        says="… answered 503 (Maintenance). It asks to wait 1.5 h. The fault is the server's; try again later.",
        requests=1,
        transient=True,
    ),
    Fault(
        name="the server ran out of time (408), for a while",
        cause=serves_after(error(408, "Operation timed out. Please try again later.", headers=RETRY_AT_ONCE)),
        says="… answered 408 (Operation timed out. Please try again later.). …. Trying again in … s (attempt 2).",
        requests=3,
        repeated=True,
    ),
    Fault(
        name="the server ran out of time, or says it is too early (408, 425), throughout",
        cause=serves(error(425, "Too early", headers=RETRY_AT_ONCE)),
        error=OpenRouterServerError,
        says="… answered 425 (Too early). The fault is the server's; try again later.",
        requests=2,
        transient=True,
        repeated=True,
    ),
    Fault(
        name="an `error` in a 200, with a status as its `code`, for a while",
        cause=serves_after(Answer(200, error(429, "Rate limit exceeded").body, RETRY_AT_ONCE)),
        says="… answered 429 in a 200, too many requests (Rate limit exceeded). … Trying again in … s …",
        requests=3,
        repeated=True,
    ),
    Fault(
        name="an `error` in a 200, with a status as its `code`, throughout: as if it were that status",
        cause=serves(Answer(200, error(500, "Internal Server Error").body, RETRY_AT_ONCE)),
        error=OpenRouterServerError,
        says="… answered 500 in a 200 (Internal Server Error). The fault is the server's; try again later.",
        requests=2,
        transient=True,
        repeated=True,
    ),
    Fault(
        name="an `error` in a 200, without a status; retried twice at most",
        cause=serves_to_many_retries(Answer(body={"error": "It went wrong."})),
        error=OpenRouterResponseError,
        says="… answered 200 with an error (It went wrong.). Try again later; if it lasts, check …",
        requests=3,
        transient=True,
        repeated=True,
    ),
    Fault(
        name="a page of HTML with any status (401, 403 …), for a while",
        cause=serves_after(replace(HTML, status=401)),
        says="… answered 401 with a page of HTML, not with the API's JSON. …. Trying again in … s (attempt 2).",
        requests=3,
        repeated=True,
    ),
    Fault(
        name="a page of HTML with any status (401, 403 …), throughout",
        cause=serves(replace(HTML, status=403)),
        error=OpenRouterServerError,
        says="… answered 403 with a page of HTML, not with the API's JSON. It comes from a proxy, a login page "
        "or the edge in front of the API, and says nothing about the key. Try again later; …",
        requests=2,
        transient=True,
        repeated=True,
    ),
    Fault(
        name="the host is not known",
        cause=lambda stage: stage.connect(host=NOWHERE),
        error=OpenRouterConnectionError,
        says="Could not reach …: …. Check the network, the proxy and the base URL.",
        requests=0,
        transient=True,
        repeated=True,
    ),
    Fault(
        name="the connection is refused",
        cause=lambda stage: stage.connect(host=f"http://127.0.0.1:{stage.closed_port()}"),
        error=OpenRouterConnectionError,
        says="Could not reach …: connection refused. Check the network, the proxy and the base URL.",
        requests=0,
        transient=True,
        repeated=True,
    ),
    Fault(
        name="the connection breaks in the middle of an answer",
        cause=serves(Answer(body={"data": KEYS}, cut=20)),
        error=OpenRouterConnectionError,
        says="… sent a broken answer: IncompleteRead. Check the network, the proxy and the base URL.",
        requests=2,
        transient=True,
        repeated=True,
    ),
    Fault(
        name="no answer within the `timeout`",
        cause=serves_too_late(HANGS),
        error=OpenRouterConnectionError,
        says="… gave no complete answer within … s. Check the network, or raise the timeout.",
        requests=2,
        transient=True,
        repeated=True,
    ),
    Fault(
        name="an answer that trickles on beyond the `timeout`",
        cause=serves_too_late(Answer(body={"data": KEYS}, trickle="body")),
        error=OpenRouterConnectionError,
        says="… gave no complete answer within … s. Check the network, or raise the timeout.",
        requests=2,
        transient=True,
        repeated=True,
    ),
    Fault(
        name="the proxy refuses",
        cause=a_proxy_that_refuses,
        error=OpenRouterConnectionError,
        says="Could not reach …: tunnel connection failed: …. Check the network, the proxy and the base URL.",
        requests=0,
        transient=True,
        repeated=True,
    ),
    Fault(
        name="the SOCKS proxy refuses",
        cause=a_socks_proxy_that_refuses,
        error=OpenRouterConnectionError,
        says="Could not reach …: 0x02: Connection not allowed by ruleset. Check the network, the proxy and the "
        "base URL.",
        requests=0,
        transient=True,
        repeated=True,
    ),
    Fault(
        name="a SOCKS proxy, but PySocks is not installed",
        cause=a_socks_proxy_without_pysocks,
        error=OpenRouterConnectionError,
        says="The SOCKS proxy in HTTPS_PROXY needs the package PySocks. Run pip install 'requests[socks]'.",
        requests=0,
    ),
    Fault(
        name="the proxy is written wrongly",
        cause=has_proxy("ftp://me:secret@proxy.invalid"),
        error=OpenRouterConnectionError,
        says="The proxy in HTTPS_PROXY is malformed or of an unknown kind. Write it as …",
        requests=0,
    ),
    Fault(
        name="the certificate of an `https://` proxy is not known",
        cause=a_proxy_with_an_unknown_certificate,
        error=OpenRouterConnectionError,
        says="Could not verify the certificate of the proxy: self…signed certificate. …",
        requests=0,
    ),
    Fault(
        name="`REQUESTS_CA_BUNDLE` names a file that is missing",
        cause=trusts_a_file_that_is_missing,
        error=OpenRouterConnectionError,
        says="Could not find a suitable TLS CA certificate bundle, invalid path: …. Check REQUESTS_CA_BUNDLE and "
        "CURL_CA_BUNDLE.",
        requests=0,
    ),
    Fault(
        name="`REQUESTS_CA_BUNDLE` names a file without certificates",
        cause=trusts_a_file_without_certificates,
        error=OpenRouterConnectionError,
        says="The file of REQUESTS_CA_BUNDLE or CURL_CA_BUNDLE holds no certificates. Name a file in PEM.",
        requests=0,
    ),
    Fault(
        name="the certificate is self-signed, or of an authority that is not known",
        cause=serves_tls(trusted=False),
        error=OpenRouterConnectionError,
        says="Could not verify the certificate of …: self…signed certificate. If your own proxy signs it, set "
        "REQUESTS_CA_BUNDLE to the proxy's certificate.",
        requests=0,
    ),
    Fault(
        name="the certificate is another host's",
        cause=serves_tls(trusted=True, host="openrouter.example"),
        error=OpenRouterConnectionError,
        says="Could not verify the certificate of …: … mismatch, certificate is not valid for …",
        requests=0,
    ),
    Fault(
        name="the certificate has expired",
        cause=serves_tls(trusted=True, days=-1),
        error=OpenRouterConnectionError,
        says="Could not verify the certificate of …: certificate has expired. …",
        requests=0,
    ),
    Fault(
        name="the certificate is one that `REQUESTS_CA_BUNDLE` names",
        cause=serves_tls(trusted=True),
        says="Listed 3 keys (workspace: default only): …",
        requests=2,
    ),
    Fault(
        name="a redirect",
        cause=serves(Answer(302, headers={"Location": "https://elsewhere.example/api/v1/keys"})),
        error=OpenRouterResponseError,
        says="… answered 302, a redirect to elsewhere.example. It is not followed, …. Set the base URL to the "
        "API's own address.",
        requests=1,
    ),
    Fault(
        name="a login page, or other HTML, in a 200; retried twice at most",
        cause=serves_to_many_retries(Answer(body="<html>Log in</html>", headers={"Content-Type": "text/html"})),
        error=OpenRouterResponseError,
        says="… answered 200 with something that is not JSON. Check that the base URL is the API's, and that no "
        "proxy or login page answers instead.",
        requests=3,
        transient=True,
        repeated=True,
    ),
    Fault(
        name="JSON that ends too early, for a while",
        cause=serves_after(Answer(body='{"data": [{"hash": "a"')),
        says="… answered 200 with something that is not JSON. …. Trying again in … s (attempt 2).",
        requests=3,
        repeated=True,
    ),
    Fault(
        name="JSON that ends too early, throughout; retried twice at most",
        cause=serves_to_many_retries(Answer(body='{"data": [{"hash": "a"')),
        error=OpenRouterResponseError,
        says="… answered 200 with something that is not JSON. …",
        requests=3,
        transient=True,
        repeated=True,
    ),
    Fault(
        name="JSON of another form",
        cause=serves(Answer(body={"keys": []})),
        error=OpenRouterResponseError,
        says="… answered 200 with JSON that has no 'data'. Check that the base URL is the API's.",
        requests=1,
    ),
    Fault(
        name="`data` that is no list",
        cause=serves(data({})),
        error=OpenRouterResponseError,
        says="/keys answered no list under 'data'. Check that the base URL is the API's.",
        requests=1,
    ),
    Fault(
        name="a record without `hash`",
        cause=serves(data([*KEYS, {"name": "nameless"}])),
        error=OpenRouterResponseError,
        says="/keys answered a record without 'hash', which identifies it. Nothing was listed, …. Report it to …",
        requests=1,
    ),
    Fault(
        name="a packed body that cannot be unpacked",
        cause=serves(Answer(body=b"\x1f\x8bnonsense", headers={"Content-Encoding": "gzip"})),
        error=OpenRouterConnectionError,
        says="… sent a body that cannot be unpacked. Check the network, the proxy and the base URL.",
        requests=2,
        transient=True,
        repeated=True,
    ),
    Fault(
        name="credits without `total_credits` or `total_usage`, or with one that is no amount",
        cause=serves(data({"total_credits": 100, "total_usage": None})),
        error=OpenRouterResponseError,
        says="/credits answered no amount under 'total_usage'. So the balance is not known, and nothing is "
        "reported. Check that the base URL is the API's; if it is, report it to OpenRouter. …",
        requests=1,
        task=reads_the_credits,
    ),
    Fault(
        name="an answer of more than 100 MB, unpacked",
        cause=a_packed_body_of_nothing,
        error=OpenRouterResponseError,
        says="… answered with more than 100,000,000 bytes. Check that the base URL is the API's.",
        requests=1,
    ),
    Fault(
        name="a server that ignores `offset`",
        cause=serves(data(KEYS)),
        error=OpenRouterResponseError,
        says="The server ignores 'offset': every page is the same. Set the base URL to OpenRouter's own API, …",
        requests=None,
    ),
    Fault(
        name="keys are created or deleted meanwhile",
        cause=keys_that_come_and_go,
        says="Listed … keys (workspace: default only): …",
        requests=None,
    ),
    Fault(
        name="keys are created faster than they are listed",
        cause=keys_that_come_faster_than_they_are_listed,
        error=OpenRouterResponseError,
        says="The listing changes faster than it can be read: …. Run it again when fewer keys are being …",
        requests=None,
    ),
    Fault(
        name="a workspace is deleted while all are listed",
        cause=a_workspace_that_is_deleted,
        says="A workspace was deleted meanwhile: listing again those that are left.",
        requests=None,
        task=lists_the_keys_of_all_workspaces,
    ),
    Fault(
        name="workspaces are deleted faster than they are listed",
        cause=workspaces_that_are_deleted_without_end,
        error=OpenRouterResponseError,
        transient=True,
        says="Workspaces are deleted faster than they can be listed: 5 listings met one that was …",
        requests=None,
        task=lists_the_keys_of_all_workspaces,
    ),
    Fault(
        name="there is no such connection",
        cause=has_no_connection,
        error=AirflowNotFoundException,
        says="The conn_id `openrouter_default` isn't defined",
        requests=0,
    ),
    Fault(
        name="the connection's host is no URL",
        cause=connects(host="https://open router.ai"),
        error=OpenRouterRequestError,
        says="The base URL must look like https://host[:port]/path. …. The base URL is the host of connection …",
        requests=0,
    ),
    Fault(
        name="the connection's host is plain `http`, and another machine",
        cause=connects(host=f"http://{NOWHERE}"),
        error=OpenRouterRequestError,
        says="… would carry the management key unencrypted. Use https, or set allow_http …. The setting is …",
        requests=0,
    ),
    Fault(
        name="an extra makes no sense",
        cause=connects(extra={"timeout": "soon"}),
        error=OpenRouterRequestError,
        says="timeout must be a number of seconds …. The setting is the extra timeout of connection …",
        requests=0,
    ),
    Fault(
        name="an extra has an old prefix, or a misspelt name",
        cause=connects(extra={"extra__openrouter__timeout": 60}),
        error=OpenRouterRequestError,
        says="There is no extra extra__openrouter__timeout. Call it timeout in connection …",
        requests=0,
    ),
    Fault(
        name="another field of the connection has no meaning",
        cause=has_a_field_that_is_not_used,
        says="Connection … has fields that are not used: extra note, login.",
        requests=2,
    ),
    Fault(
        name="an argument makes no sense",
        cause=serves_after(),
        error=OpenRouterRequestError,
        says='threshold must be USD such as 5, "10%" or "3 days", not …',
        requests=0,
        task=waits_for_a_nonsense_threshold,
    ),
    Fault(
        name="a workspace's name is not known",
        cause=lambda stage: stage.serve(lambda request: data(WORKSPACES[request.offset :])),
        error=OpenRouterRequestError,
        says="No workspace is called 'Sales'. There are: 'Marketing'.",
        requests=2,
        task=lists_keys_of_an_unknown_workspace,
    ),
    Fault(
        name="no key is watched, with `fail_if_unwatched`; a warning at each poll without it",
        cause=serves_after(),
        error=OpenRouterRequestError,
        says="key_hashes names keys that are not listed: …. They may be deleted, disabled, expired, or in …",
        requests=2,
        task=waits_for_no_key,
    ),
    Fault(
        name="a key is to be changed, but the connection does not allow it",
        cause=serves_after(),
        error=OpenRouterRequestError,
        says="Keys may not be changed: allow_updates is not set. The setting is the extra allow_updates of …",
        requests=0,
        task=changes_a_key,
    ),
    Fault(
        name="a limit is above `max_limit`",
        cause=serves_after(),
        error=OpenRouterRequestError,
        says="A limit of $50.00 is above max_limit, $20.00. Nothing was changed. Raise max_limit to allow it.",
        requests=0,
        task=partial(changes_a_key, max_limit=20),
    ),
    Fault(
        name="there is no key of that hash (404)",
        cause=refuses_changes(error(404, "API key not found")),
        error=OpenRouterRequestError,
        says="… answered 404 (API key not found). No key has this hash, or it was deleted. Check key_hash and …",
        requests=2,
        task=changes_a_key,
    ),
    Fault(
        name="a change is in conflict with another one (409)",
        cause=refuses_changes(error(409, "Conflict")),
        error=OpenRouterRequestError,
        says="… answered 409 (Conflict). It is in conflict with another change. Look at what is there now, …",
        requests=2,
        task=changes_a_key,
    ),
    Fault(
        name="another change is refused (400)",
        cause=refuses_changes(error(400, "Invalid limit")),
        error=OpenRouterRequestError,
        says="… answered 400 (Invalid limit). Check the values that were sent.",
        requests=2,
        task=changes_a_key,
    ),
    Fault(
        name="`output_path` has a placeholder that does not exist, or `%Y`",
        cause=serves_after(),
        error=OpenRouterRequestError,
        says="output_path has an unknown placeholder: {date}. There are {snapshot}, {granularity}, …",
        requests=0,
        task=writes_to_an_unknown_placeholder,
    ),
    Fault(
        name="the store's filesystem is not installed",
        cause=serves_after(),
        error=AirflowFailException,
        says="Cannot write to nowhere://: no filesystem of that scheme is installed. Install …",
        requests=0,
        task=writes_to_an_unknown_store,
    ),
    Fault(
        name="the file cannot be written",
        cause=serves_after(),
        error=NotADirectoryError,
        says="[Errno …] …",
        requests=2,
        task=writes_below_a_file,
    ),
    Fault(
        name="the bucket is missing",
        cause=serves_after(),
        error=FileNotFoundError,
        says="The specified bucket does not exist",
        requests=2,
        task=writes_to_no_bucket,
    ),
    Fault(
        name="the database's provider is not installed",
        cause=serves_after(),
        error=AirflowFailException,
        says="Connection 'warehouse' is of type 'nowhere', whose provider is not installed. Install …",
        requests=0,
        task=writes_to_an_unknown_database,
    ),
    Fault(
        name="the database is one that cannot be written to",
        cause=serves_after(),
        error=AirflowFailException,
        says="Connection 'warehouse' is of type 'snowflake', which is not supported: write a file with "
        "OpenRouterListKeysOperator and load it, as docs/warehouses.md shows.",
        requests=0,
        task=writes_to_a_warehouse,
    ),
    Fault(
        name="the connection to PostgreSQL has settings for SQLAlchemy alone",
        cause=serves_after(),
        error=AirflowFailException,
        says="Connection 'warehouse' has settings in sqlalchemy_query, which Airflow's hook does not connect "
        "with. Move them into the extra itself.",
        requests=0,
        task=writes_with_settings_for_sqlalchemy,
    ),
    Fault(
        name="`table` has more than one dot",
        cause=serves_after(),
        error=OpenRouterRequestError,
        says="table must be a name or schema.name, not 'a.b.c'. Give other names as table and schema, …",
        requests=0,
        task=partial(writes_a_table, table="a.b.c"),
    ),
    Fault(
        name="the database cannot be reached, or refuses to be connected to",
        cause=serves_after(),
        error=AirflowException,
        says="Could not connect to the database of 'warehouse': …",
        requests=0,
        task=writes_to_a_closed_database,
    ),
    Fault(
        name="the database refuses a row",
        cause=serves_after(),
        error=AirflowException,
        says="Could not write to table keys; nothing was changed. Database error: CHECK constraint failed: …",
        requests=2,
        task=writes_what_a_constraint_forbids,
    ),
]
TABLE = "\n".join(
    [
        "| What happens | What you read | Error | Retried | A waiting sensor | Task retries |",
        "|---|---|---|---|---|---|",
        *(fault.row for fault in FAULTS),
    ]
)
LASTING = [fault for fault in FAULTS if fault.error and fault.task is list_keys]


def by_name(faults: list[Fault]) -> list[Any]:
    return [pytest.param(fault, id=fault.name) for fault in faults]


@pytest.fixture
def stage(monkeypatch, tmp_path):
    with ExitStack() as stack:
        yield Stage(stack, monkeypatch, tmp_path)


def says(fault: Fault) -> str:
    """Return the pattern of what a user reads."""
    return ".*".join(map(re.escape, fault.says.split("…")))


def assert_asked(stage: Stage, expected: int | None) -> None:
    """Count the requests, of which a server may read one only after its client has given up."""
    deadline = time.monotonic() + 60
    while (asked := sum(len(server.requests) for server in stage.servers)) < (expected or 0):
        assert time.monotonic() < deadline, asked
        time.sleep(0.01)
    assert expected in (None, asked)


@pytest.mark.parametrize("fault", by_name([fault for fault in FAULTS if fault.error]))
def test_a_task_raises_what_the_table_says(fault, stage, log):
    fault.cause(stage)
    with pytest.raises(fault.error, match=f"(?s){says(fault)}") as caught:
        fault.task(stage)
    assert type(caught.value) is fault.error
    assert getattr(caught.value, "transient", False) is fault.transient
    logged = log()
    assert_asked(stage, fault.requests)
    assert ("Trying again" in logged) is fault.repeated
    assert TOKEN not in f"{caught.value} {logged}"


@pytest.mark.parametrize("fault", by_name([fault for fault in FAULTS if not fault.error]))
def test_a_task_outlasts_what_passes(fault, stage, log):
    fault.cause(stage)
    listed = fault.task(stage)
    assert [key for key in listed if key in KEYS] == KEYS
    logged = log()
    assert re.search(f"(?s){says(fault)}", logged)
    assert_asked(stage, fault.requests)
    assert ("Trying again" in logged) is fault.repeated


@pytest.mark.parametrize("fault", by_name(LASTING))
def test_a_sensor_does_as_the_table_says(fault, stage, log):
    stage.max_retries = 0
    fault.cause(stage)
    sensor = OpenRouterKeyLimitSensor(task_id="wait", threshold=5, poke_interval=0.01, timeout=0)
    with pytest.raises(AirflowSensorTimeout if fault.transient else OpenRouterError) as caught:
        sensor.execute(Context())
    assert ("The wait goes on." in log()) is fault.transient
    if not fault.transient:
        assert isinstance(caught.value, AirflowFailException) is (fault.error not in REFUSED)
        assert re.search(f"(?s){says(fault)}", str(caught.value))


@pytest.mark.parametrize("fault", by_name(LASTING))
def test_a_trigger_does_as_the_table_says(fault, stage, caplog):
    stage.max_retries = 0
    fault.cause(stage)
    event = asyncio.run(first_event(caplog))
    assert (event is None) is fault.transient
    if fault.error in REFUSED:
        assert asyncio.run(first_event(caplog, has_listed=True)) is None
    if event:
        with pytest.raises(OpenRouterError, match=f"(?s){says(fault)}") as caught:
            read_keys(event)
        assert isinstance(caught.value, AirflowFailException) is (fault.error not in REFUSED)


async def first_event(caplog, *, has_listed: bool = False) -> dict[str, Any] | None:
    """Return the first event of a trigger, None if it says instead that it waits on."""
    kind = logging_kind(OpenRouterKeyLimitTrigger)
    trigger = kind(threshold=5, poll_interval=0.01, has_listed=has_listed)
    async with asyncio.timeout(20), aclosing(trigger.run()) as events:
        first = asyncio.ensure_future(anext(events))
        while not first.done() and "The wait goes on" not in caplog.text:
            await asyncio.sleep(0.01)
        if first.done():
            return first.result().payload
        first.cancel()
        await asyncio.gather(first, return_exceptions=True)
        return None


LOW_KEY = KEYS[0] | {"limit": 5.0, "limit_remaining": 0.0}
ANSWER = {"chosen_options": ["Raise"], "params_input": {"limit": 50}, "responded_at": datetime.now(UTC)}
WAYS_TO_CHANGE: dict[str, Callable[[], Any]] = {
    "hook": lambda: OpenRouterHook().update_key("hash-0", limit=50),
    "operator": changes_a_key,
    "asking": lambda: OpenRouterRaiseLimitOperator(task_id="ask", key=LOW_KEY, max_limit=99).execute(Context()),
    "answered": lambda: OpenRouterRaiseLimitOperator(task_id="ask", key=LOW_KEY, max_limit=99).execute_complete(
        Context(), ANSWER | {"responded_by_user": {"id": "1", "name": "Ada"}}
    ),
}


@pytest.mark.parametrize("fault", by_name([fault for fault in FAULTS if fault.task is list_keys]))
def test_nothing_is_sent_without_allow_updates_whatever_fails(fault, stage, log):
    fault.cause(stage)
    for change in WAYS_TO_CHANGE.values():
        with pytest.raises(AirflowException) as caught:
            change()
        assert TOKEN not in str(caught.value)
    assert_asked(stage, 0)
    assert TOKEN not in log()


@pytest.mark.parametrize("fault", by_name([fault for fault in FAULTS if fault.task is list_keys]))
def test_with_allow_updates_one_change_is_sent_whatever_fails(fault, stage, log):
    stage.allow_updates = True
    fault.cause(stage)
    with pytest.raises(AirflowException) as caught:  # what these servers send is never a changed key
        WAYS_TO_CHANGE["hook"]()
    sent = {
        (request.method, request.path, request.body) for server in stage.servers for request in server.requests
    }
    assert sent == ({("PATCH", "/keys/hash-0", b'{"limit": 50.0}')} if fault.requests != 0 else set())
    assert TOKEN not in f"{caught.value} {log()}"


def test_the_table_of_the_page_is_this_one():
    section = PAGE.read_text().partition(f"\n{HEADING}\n")[2].partition("\n## ")[0]
    assert [line for line in section.splitlines() if line.startswith("|")] == TABLE.splitlines()
