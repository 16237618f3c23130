"""The link from a task in Airflow's UI to the account's keys."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit

from airflow.providers.common.compat.sdk import BaseHook, BaseOperatorLink

from airflow_provider_openrouter.connection import DEFAULT_BASE_URL, KEYS_PAGE
from airflow_provider_openrouter.hooks import fields

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import BaseOperator


class OpenRouterKeysLink(BaseOperatorLink):
    """
    Leads to OpenRouter's page of keys, or to the host of a connection that is not OpenRouter's own.

    Airflow asks for it on the worker, after each try, and stores the answer as an XCom.
    """

    name = "OpenRouter keys"

    def get_link(self, operator: BaseOperator, *, ti_key: Any) -> str:
        """
        Return the address: of another host its scheme, host and port, and never a user, password, path or query.

        :param operator: the task, its fields rendered.
        :param ti_key: not used.
        """
        try:
            conn = BaseHook.get_connection(operator.openrouter_conn_id)  # type: ignore[attr-defined]
            return keys_page(fields.base_url(conn))
        except Exception:  # on Airflow 3.0 an error here fails the task
            return KEYS_PAGE


def required_actions(task_instance: Any) -> str:
    """Return the address, below Airflow's, of the form of a task that asks a person."""
    mapped = f"/mapped/{task_instance.map_index}" if task_instance.map_index >= 0 else ""
    run = f"dags/{quote(task_instance.dag_id)}/runs/{quote(task_instance.run_id, safe=':+')}"
    return f"{run}/tasks/{quote(task_instance.task_id)}{mapped}/required_actions"


def keys_page(base_url: str) -> str:
    """Return where the keys of an API are shown: of another host its scheme, host and port alone."""
    url = urlsplit(base_url)
    host = url.hostname or ""
    is_sound = url.scheme in ("http", "https") and "@" not in url.path and re.fullmatch(r"[\w.:-]+", host)
    if not is_sound or fields.KEY.search(host) or host == urlsplit(DEFAULT_BASE_URL).hostname:
        return KEYS_PAGE
    shown = f"[{host}]" if ":" in host else host
    return f"{url.scheme}://{shown}" + (f":{url.port}" if url.port else "")
