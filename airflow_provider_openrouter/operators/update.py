"""What the operators that change a key have in common: one change, within a cap, and its audit log."""

from __future__ import annotations

import json
import logging
from collections.abc import Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import Asset

from airflow_provider_openrouter.changes import changes_of
from airflow_provider_openrouter.exceptions import OpenRouterRequestError
from airflow_provider_openrouter.hooks.openrouter import OpenRouterHook
from airflow_provider_openrouter.keys import Key, read_text
from airflow_provider_openrouter.links import OpenRouterKeysLink
from airflow_provider_openrouter.payload import fit
from airflow_provider_openrouter.snapshots.lineage import lineage_of_change
from airflow_provider_openrouter.text import plain, sentence, usd
from airflow_provider_openrouter.watch import words

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import BaseOperatorLink, Context
    from airflow.providers.openlineage.extractors import OperatorLineage

    from airflow_provider_openrouter.api import OpenRouterClient

log = logging.getLogger(__name__)
audit_log = logging.getLogger("airflow_provider_openrouter.audit")
"""Gets two lines of JSON for each change: before it is sent, and when its outcome is known."""


class UpdatingOperator:
    """Mixin of the operators that change a key."""

    operator_extra_links: Collection[BaseOperatorLink] = (OpenRouterKeysLink(),)
    ui_color = "#e4e7fb"
    openrouter_conn_id: str
    outlets: list[Any]
    _lineage: dict[str, Any] | None = None

    def get_openlineage_facets_on_complete(self, task_instance: Any) -> OperatorLineage[Any, Any] | None:
        """Return what was read and changed, for OpenLineage."""
        return lineage_of_change(**self._lineage) if self._lineage else None

    def _connect(self) -> OpenRouterClient:
        """Return the client, if the connection allows updates."""
        client = OpenRouterHook(self.openrouter_conn_id).get_conn()
        client.require_updates()
        return client

    def _report(self, context: Context, client: OpenRouterClient, done: dict[str, Any]) -> dict[str, Any]:
        """Report what was done to the outlet assets and OpenLineage, and return it fit for XCom."""
        done = fit(done)
        for outlet in self.outlets:
            if isinstance(outlet, Asset):
                context["outlet_events"][outlet].extra = done
        self._lineage = {"base_url": client.base_url, "changed": done["changed"]}
        return done


def check_cap(changes: dict[str, Any], max_limit: float | None) -> None:
    """
    Refuse a limit above the cap.

    :param changes: what is to be changed; a limit of None is no limit, and above any cap.
    :param max_limit: the cap in USD, or None for none.
    :raises OpenRouterRequestError: if the limit is above it.
    """
    if max_limit is None or "limit" not in changes:
        return
    limit = changes["limit"]
    if limit is None or limit > max_limit:
        wanted, remedy = (
            ("A key without a limit", "Leave out max_limit")
            if limit is None
            else (f"A limit of {usd(limit)}", "Raise max_limit")
        )
        raise OpenRouterRequestError(
            f"{wanted} is above max_limit, {usd(max_limit)}. Nothing was changed. {remedy} to allow it."
        )


@dataclass(frozen=True, kw_only=True)
class KeyUpdate:
    """
    A change of one key.

    :param client: the client of a connection that allows updates.
    :param key: the key as it is now, as the API sent it.
    :param changes: the fields to set, and their new values.
    :param answered_by: the person who approved it, or None if nobody was asked.
    """

    client: OpenRouterClient
    key: Key
    changes: dict[str, Any]
    answered_by: str | None = None

    def run(self, context: Context) -> dict[str, Any]:
        """
        Send what differs, if anything does.

        :return: ``hash``, ``name``, ``before`` and ``after`` (the fields that can be changed, and
            ``limit_remaining``), and ``changed``, whether anything was.
        :raises OpenRouterError: if that fails.
        """
        before = changes_of(self.key)
        changes = {name: value for name, value in self.changes.items() if before[name] != value}
        if not changes:
            log.info("Nothing to change: key %s is as it should be.", words.name(self.key, with_label=True))
            return result(self.key)
        self._audit(context, "sending", before=before, changes=changes)
        try:
            updated = self.client.update_key(self.key["hash"], **changes)
        except Exception as error:
            self._audit(context, "failed", before=before, changes=changes, error=sentence(error))
            raise
        after = changes_of(updated)
        self._audit(context, "changed", before=before, changes=changes, after=after)
        changed = ", ".join(f"{name} {_shown(name, before)} → {_shown(name, after)}" for name in changes)
        log.info("Changed key %s: %s", words.name(self.key, with_label=True), changed)
        return result(self.key, updated)

    def _audit(self, context: Context, outcome: str, **facts: Any) -> None:
        ti = context["ti"]
        line = {
            "outcome": outcome,
            "dag_id": ti.dag_id,
            "run_id": ti.run_id,
            "task_id": ti.task_id,
            "map_index": ti.map_index,
            "answered_by": self.answered_by,
            "key_hash": self.key["hash"],
        }
        audit_log.info("Key update: %s", json.dumps(line | facts))


def result(key: Key, updated: Key | None = None) -> dict[str, Any]:
    """
    Return what an operator returns.

    :param key: the key as it was.
    :param updated: the key after a change, or None if nothing was changed.
    """
    after = updated or key
    return {
        "hash": key["hash"],
        "name": read_text(after.get("name")),
        "before": changes_of(key),
        "after": changes_of(after),
        "changed": updated is not None,
    }


def _shown(name: str, fields: dict[str, Any]) -> str:
    value = fields[name]
    if name == "limit":
        return "none" if value is None else usd(value)
    return plain("never" if value is None else value)
