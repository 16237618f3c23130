"""What the API responds: a status and a body for each method and path."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from contextlib import suppress
from datetime import date, timedelta
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qsl

from airflow_provider_openrouter.sandbox.account import INFERENCE_TOKEN, Account
from airflow_provider_openrouter.sandbox.made_up import HISTORY, Record, stamp
from airflow_provider_openrouter.sandbox.records import show_current_key

PAGE_SIZE = 100
DATE = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)
READING = ("GET", "HEAD")

Response = tuple[int, Record]
Query = dict[str, str]


def respond(
    account: Account, target: str, authorization: str | None, method: str = "GET", body: bytes = b""
) -> Response:
    """Return the status and the body of the response to a request."""
    token = (authorization or "").removeprefix("Bearer ")
    if token not in (account.token, INFERENCE_TOKEN):
        return error(HTTPStatus.UNAUTHORIZED, "No cookie auth credentials found")
    if not (methods := allowed(target)):
        return error(HTTPStatus.NOT_FOUND, "Not found")
    if method not in methods:
        return error(HTTPStatus.METHOD_NOT_ALLOWED, f"Method {method} is not allowed here")
    path, query = _split(target)
    if path == ["key"]:
        return HTTPStatus.OK, {"data": _current_key(account, is_management_key=token == account.token)}
    if token != account.token:
        return error(HTTPStatus.FORBIDDEN, "Only management keys can perform this operation")
    try:
        if len(path) == 2 and path[0] == "keys":
            return HTTPStatus.OK, {"data": _one_key(account, path[1], method, body)}
        return HTTPStatus.OK, LISTS["/".join(path)](account, query)
    except _NotFoundError:
        return error(HTTPStatus.NOT_FOUND, "Not found")
    except ValueError as refusal:
        return error(HTTPStatus.BAD_REQUEST, str(refusal))


class _NotFoundError(Exception):
    pass


def error(status: HTTPStatus, message: str) -> Response:
    """Return an error in the form of the API's."""
    return status, {"error": {"code": status.value, "message": message}}


def allowed(target: str) -> tuple[str, ...]:
    """Return the methods that a path takes; none if there is no such path."""
    path, _ = _split(target)
    if path == ["key"] or "/".join(path) in LISTS:
        return READING
    return (*READING, "PATCH") if len(path) == 2 and path[0] == "keys" and path[1] else ()


def _split(target: str) -> tuple[list[str], Query]:
    path, _, query = target.partition("?")
    path = path.removeprefix("/api/v1").removeprefix("/")
    return path.split("/"), dict(parse_qsl(query, keep_blank_values=True))


def _current_key(account: Account, *, is_management_key: bool) -> Record:
    return show_current_key(
        is_management_key=is_management_key,
        creator_user_id=account.members[0]["id"],
        workspace_id=account.workspaces[0]["id"],
    )


def _one_key(account: Account, hash_: str, method: str, body: bytes) -> Record:
    if method == "PATCH":
        changes = _changes(account, body)
        with suppress(KeyError):
            account.update_key(hash_, **changes, updated_at=stamp(account.now()))
    key = account.get_key(hash_)
    if key is None:
        raise _NotFoundError
    return key


CHANGEABLE: dict[str, Callable[[Any], bool]] = {
    "name": lambda value: isinstance(value, str) and value != "",
    "disabled": lambda value: isinstance(value, bool),
    "limit": lambda value: value is None or _is_limit(value),
    "limit_reset": lambda value: value in (None, "daily", "weekly", "monthly"),
    "include_byok_in_limit": lambda value: isinstance(value, bool),
    "workspace_id": lambda value: isinstance(value, str),
}


def _changes(account: Account, body: bytes) -> Record:
    try:
        sent = json.loads(body)
    except (ValueError, RecursionError):
        raise ValueError("The body is not valid JSON") from None
    if not isinstance(sent, dict):
        raise ValueError("The body must be an object")
    changes = {name: value for name, value in sent.items() if name in CHANGEABLE}
    if not changes:
        raise ValueError("No update fields provided")
    for name, value in changes.items():
        if not CHANGEABLE[name](value):
            raise ValueError(f"Invalid {name}")
    _workspace_id(account, changes)
    return changes


def _is_limit(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < math.inf


def _list_keys(account: Account, query: Query) -> Record:
    keys = account.list_keys(
        _workspace_id(account, query) or account.workspaces[0]["id"],
        include_disabled=_flag(query, "include_disabled"),
        include_expired=_flag(query, "include_expired"),
        offset=_number(query, "offset", 0),
        limit=PAGE_SIZE,
    )
    return {"data": keys}


def _list_workspaces(account: Account, query: Query) -> Record:
    return _page(account.workspaces, query)


def _list_members(account: Account, query: Query) -> Record:
    return _page(account.members, query)


def _get_credits(account: Account, _: Query) -> Record:
    return {"data": account.get_credits()}


def _list_activity(account: Account, query: Query) -> Record:
    if query.get("group_by", "workspace") != "workspace":
        raise ValueError("Invalid group_by: expected workspace")
    key_hash, user_id = query.get("api_key_hash"), query.get("user_id")
    if key_hash is not None and account.get_key(key_hash) is None:
        raise _NotFoundError
    if user_id is not None and user_id not in [member["id"] for member in account.members]:
        raise _NotFoundError
    rows = account.list_activity(
        days=_days(account, query.get("date")),
        key_hash=key_hash,
        user_id=user_id,
        workspace_id=_workspace_id(account, query),
        by_workspace="group_by" in query,
    )
    return {"data": rows}


LISTS: dict[str, Callable[[Account, Query], Record]] = {
    "keys": _list_keys,
    "workspaces": _list_workspaces,
    "organization/members": _list_members,
    "credits": _get_credits,
    "activity": _list_activity,
}


def _days(account: Account, wanted: str | None) -> list[date]:
    """Return the days that are asked for, newest first: one, or all of those that are known."""
    today = account.now().date()
    days = [today - timedelta(days=ago) for ago in range(1, HISTORY.days + 1)]
    if wanted is None:
        return days
    if not DATE.fullmatch(wanted):
        raise ValueError("Invalid date: expected YYYY-MM-DD")
    chosen = [day for day in days if day.isoformat() == wanted]
    if not chosen:
        raise ValueError("Date must be within the last 30 (completed) UTC days")
    return chosen


def _page(records: list[Record], query: Query) -> Record:
    offset, limit = _number(query, "offset", 0), _number(query, "limit", 50)
    if not 1 <= limit <= PAGE_SIZE:
        raise ValueError(f"Invalid limit: expected a number from 1 to {PAGE_SIZE}")
    return {"data": records[offset : offset + limit], "total_count": len(records)}


def _workspace_id(account: Account, query: Query) -> str | None:
    id_ = query.get("workspace_id")
    if id_ is not None and id_ not in [workspace["id"] for workspace in account.workspaces]:
        raise ValueError("Invalid workspace_id")
    return id_


def _number(query: Query, name: str, default: int) -> int:
    value = query.get(name, str(default))
    if not (value.isascii() and value.isdecimal()):
        raise ValueError(f"Invalid {name}: expected a number of 0 or more")
    return int(value)


def _flag(query: Query, name: str) -> bool:
    value = query.get(name, "false")
    if value not in ("true", "false"):
        raise ValueError(f"Invalid {name}: expected true or false")
    return value == "true"
