"""A complete listing of the keys: of one workspace, or of all of them while some are deleted."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from datetime import UTC, datetime

from airflow_provider_openrouter.api.records import RecordReader
from airflow_provider_openrouter.exceptions import OpenRouterRequestError, OpenRouterResponseError
from airflow_provider_openrouter.keys import Extent, Key, KeyListing
from airflow_provider_openrouter.scope import WorkspaceScope
from airflow_provider_openrouter.text import count

log = logging.getLogger(__name__)

MOST_LISTINGS = 5
"""How often the workspaces are listed, if each time one of them is deleted meanwhile."""


def complete_listing(
    records: RecordReader, query: dict[str, str], scope: WorkspaceScope, previous: KeyListing | None
) -> KeyListing:
    """
    Return a complete listing of the keys, with its time and workspaces.

    If a workspace is deleted while all are listed, all that are left are listed again: its keys may have moved to
    any of them.

    :param query: which of the keys are listed, disabled and expired ones for example.
    :param previous: the last listing of the same keys, if there is one.
    :raises OpenRouterError: if that fails; ``transient`` says whether trying again may help.
    """
    observed_at = datetime.now(UTC)
    names: Mapping[str, str] = previous.workspace_names if previous else {}
    if scope.is_all or (scope.needs_workspaces and previous is None):
        names = records.workspace_names(expected=len(names) if previous else None)
    for _ in range(MOST_LISTINGS):
        try:
            listing = _list(records, query, scope, names, observed_at, previous)
        except OpenRouterRequestError as error:
            if not scope.is_all or error.status_code not in (400, 404):
                raise
            before, observed_at = names.keys(), datetime.now(UTC)
            names = records.workspace_names()
            if before <= names.keys():
                raise
            log.info("A workspace was deleted meanwhile: listing again those that are left.")
            continue
        every = f"in {count(len(names), 'workspace')}"
        where = every if scope.is_all else f"(workspace: {listing.workspace})"
        records.log_end(f"{count(len(listing.keys), 'key')} {where}")
        return listing
    raise OpenRouterResponseError(
        f"Workspaces are deleted faster than they can be listed: {MOST_LISTINGS} listings met one that was "
        "gone. Run it again when fewer are being deleted.",
        transient=True,
    )


def _list(
    records: RecordReader,
    query: dict[str, str],
    scope: WorkspaceScope,
    names: Mapping[str, str],
    observed_at: datetime,
    previous: KeyListing | None,
) -> KeyListing:
    by_hash: dict[str, Key] = {}
    extents: dict[str | None, Extent] = {}
    workspace_ids = scope.resolve(names)
    for id_ in workspace_ids:
        keys, extent = records.every_key(
            query if id_ is None else query | {"workspace_id": id_},
            expected=previous.extents.get(id_) if previous else None,
        )
        if extent:
            extents[id_] = extent
        by_hash |= {key["hash"]: key for key in keys if key["hash"] not in by_hash}
    return KeyListing(
        keys=list(by_hash.values()),
        observed_at=observed_at,
        scope=scope,
        workspace_names={id_: names[id_] for id_ in workspace_ids if id_ is not None and id_ in names},
        extents=extents,
    )
