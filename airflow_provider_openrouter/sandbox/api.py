"""What the API responds to each path: a status and a body."""

from __future__ import annotations

from http import HTTPStatus
from urllib.parse import parse_qsl, urlsplit

from airflow_provider_openrouter.sandbox.account import INFERENCE_TOKEN, Account
from airflow_provider_openrouter.sandbox.records import Record

PAGE_SIZE = 100


def respond(account: Account, target: str, authorization: str | None) -> tuple[int, Record]:
    """Return the status and the body of the response to ``GET target``."""
    token = (authorization or "").removeprefix("Bearer ")
    if token not in (account.token, INFERENCE_TOKEN):
        return _error(HTTPStatus.UNAUTHORIZED, "No cookie auth credentials found")
    url = urlsplit(target)
    path = url.path.removeprefix("/api/v1")
    if path == "/key":
        return HTTPStatus.OK, {"data": _current_key(is_management_key=token == account.token)}
    if token != account.token:
        return _error(HTTPStatus.FORBIDDEN, "Only management keys can perform this operation")
    query = dict(parse_qsl(url.query, keep_blank_values=True))
    try:
        match path.split("/"):
            case ["", "keys"]:
                return HTTPStatus.OK, {"data": _list_keys(account, query)}
            case ["", "keys", hash_] if key := account.get_key(hash_):
                return HTTPStatus.OK, {"data": key}
            case ["", "workspaces"]:
                return HTTPStatus.OK, _list_workspaces(account, query)
    except ValueError as error:
        return _error(HTTPStatus.BAD_REQUEST, str(error))
    return _error(HTTPStatus.NOT_FOUND, "Not found")


def _error(status: HTTPStatus, message: str) -> tuple[int, Record]:
    return status, {"error": {"code": status.value, "message": message}}


def _current_key(*, is_management_key: bool) -> Record:
    return {
        "label": "sk-or-v1-san...key",
        "is_management_key": is_management_key,
        "is_provisioning_key": is_management_key,
        "is_free_tier": False,
        "limit": None,
        "limit_remaining": None,
        "usage": 0,
    }


def _list_keys(account: Account, query: dict[str, str]) -> list[Record]:
    ids = [workspace["id"] for workspace in account.workspaces]
    workspace_id = query.get("workspace_id", ids[0])
    if workspace_id not in ids:
        raise ValueError("Invalid workspace_id")
    return account.list_keys(
        workspace_id,
        include_disabled=_flag(query, "include_disabled"),
        include_expired=_flag(query, "include_expired"),
        offset=_number(query, "offset", 0),
        limit=PAGE_SIZE,
    )


def _list_workspaces(account: Account, query: dict[str, str]) -> Record:
    offset = _number(query, "offset", 0)
    limit = min(_number(query, "limit", PAGE_SIZE), PAGE_SIZE)
    return {"data": account.workspaces[offset : offset + limit], "total_count": len(account.workspaces)}


def _number(query: dict[str, str], name: str, default: int) -> int:
    value = query.get(name, str(default))
    if not value.isdecimal():
        raise ValueError(f"Invalid {name}: expected a number of 0 or more")
    return int(value)


def _flag(query: dict[str, str], name: str) -> bool:
    value = query.get(name, "false")
    if value not in ("true", "false"):
        raise ValueError(f"Invalid {name}: expected true or false")
    return value == "true"
