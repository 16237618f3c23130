"""The fields of a connection, as arguments of the client; what is in the wrong one is refused or reported."""

from __future__ import annotations

import difflib
import logging
import re
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from airflow_provider_openrouter import connection
from airflow_provider_openrouter.exceptions import OpenRouterAuthError, OpenRouterRequestError
from airflow_provider_openrouter.keys import read_flag
from airflow_provider_openrouter.text import plain

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Connection

log = logging.getLogger(__name__)

OLD_PREFIX = re.compile("extra__[a-z_]+?__")
"""What Airflow's forms once put before the names of extras."""
KEY = re.compile(r"sk-or-(?!\S*(\.\.\.|…))\S", re.IGNORECASE)
"""A key, and not the label of one, such as sk-or-v1-0e6...1c96."""
NAMES_OF_A_KEY = {"apikey", "bearer", "key", "managementkey", "password", "provisioningkey", "secret", "token"}
"""Extras that seem to be the place of the key."""
SIMILAR = 0.75
"""How similar a misspelt name must be to that of an extra, from 0 to 1."""


def base_url(conn: Connection) -> str:
    """Build the base URL: a form has all of it in ``host``, a URI splits it (``host``, ``port``, ``schema``)."""
    default = urlsplit(connection.DEFAULT_BASE_URL)
    host = (conn.host or "").strip() or default.netloc
    if "://" not in host:
        host = f"https://[{host}]" if host.count(":") > 1 and "[" not in host else f"https://{host}"
    try:
        url = urlsplit(host)
        if conn.port and not url.port:
            url = url._replace(netloc=f"{url.netloc.rstrip(':')}:{conn.port}")
    except ValueError:
        return host
    path = url.path.strip("/") or (conn.schema or "").strip("/") or default.path.strip("/")
    return url._replace(path=f"/{path}").geturl()


def extras(conn: Connection) -> dict[str, Any]:
    """
    Return the extras that are set, typed: a form leaves numbers and flags, a URI leaves text.

    :raises OpenRouterRequestError: if one makes no sense, or has a name that only resembles that of an extra.
    """
    read_extras: dict[str, Any] = {}
    for name, value in _extras_set(conn).items():
        extra = connection.EXTRAS.get(name)
        if extra is None:
            _refuse_misspelt(name, conn)
            continue
        read = read_flag if extra.kind is bool else extra.kind
        try:
            read_extras[name] = read(str(value).strip())
        except ValueError:
            read_extras[name] = None
        if read_extras[name] is None:
            # The wrong value is not shown: it might be the key, in the wrong field of the form.
            raise OpenRouterRequestError(f"{name} must be {extra.rule}.", about=name)
    return read_extras


def management_key(conn: Connection) -> str:
    """
    Return the management key, and warn of fields that are not used.

    :raises OpenRouterAuthError: if a key is in another field, or seems to be there because there is no password.
    """
    names = [name for name in _extras_set(conn) if name not in connection.EXTRAS]
    values = {f"extra {_shown(name)}": f"{name} {conn.extra_dejson[name]}" for name in names}
    values |= {"login": conn.login or "", "schema": conn.schema or ""}
    for field, value in values.items():
        if KEY.search(value):
            raise OpenRouterAuthError(
                f"There is a key in the {field} of connection {conn.conn_id!r}, where it is not used. "
                "The management key belongs in the password; remove it from everywhere else."
            )
    password = (conn.password or "").strip()
    unused = [field for field, value in values.items() if value and field != "schema"]  # which is the path
    for field in unused:
        if not password and (field == "login" or _letters(field.removeprefix("extra ")) in NAMES_OF_A_KEY):
            raise OpenRouterAuthError(
                f"Connection {conn.conn_id!r} has no password, but has its {field} set. "
                "The management key belongs in the password."
            )
    if unused:
        log.warning("Connection %r has fields that are not used: %s.", conn.conn_id, ", ".join(unused))
    return password


def _extras_set(conn: Connection) -> dict[str, Any]:
    sent = conn.extra_dejson
    if not isinstance(sent, dict):
        raise OpenRouterRequestError(
            f'The extras of connection {conn.conn_id!r} must be a JSON object, such as {{"timeout": 60}}.'
        )
    return {str(name): value for name, value in sent.items() if value not in (None, "")}


def _refuse_misspelt(name: str, conn: Connection) -> None:
    known = {_letters(extra): extra for extra in connection.EXTRAS}
    for letters in difflib.get_close_matches(_letters(name), known, n=1, cutoff=SIMILAR):
        raise OpenRouterRequestError(
            f"There is no extra {_shown(name)}. Call it {known[letters]} in connection {conn.conn_id!r}."
        )


def _letters(name: str) -> str:
    """Return what distinguishes the name of an extra from others."""
    return re.sub("[^a-z]", "", OLD_PREFIX.sub("", name.lower()))


def _shown(name: str) -> str:
    return "with a key as its name" if KEY.search(name) else plain(name)
