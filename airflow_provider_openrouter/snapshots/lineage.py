"""
What OpenLineage records: the API that was read, and what was written.

OpenLineage's classes are imported only when it calls. Datasets are named by its naming conventions
(https://openlineage.io/docs/spec/naming).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlsplit

from airflow_provider_openrouter.snapshots.kinds import KEYS, Kind

if TYPE_CHECKING:
    from airflow.providers.common.compat.openlineage.facet import Dataset
    from airflow.providers.openlineage.extractors import OperatorLineage
    from sqlalchemy.engine import URL

NAMESPACES = {"postgresql": "postgres"}
PORTS = {"postgresql": 5432, "mysql": 3306}


class Target(NamedTuple):
    """A file or a table, as OpenLineage names it."""

    namespace: str
    name: str


def file_target(path: str) -> Target:
    """Return a file's name; the connection in ``s3://connection@bucket/key`` is not part of it."""
    scheme, separator, rest = path.partition("://")
    if not separator or scheme == "file":
        return Target("file", rest or path)
    bucket, _, name = rest.partition("/")
    return Target(f"{scheme}://{bucket.rpartition('@')[2]}", name.lstrip("/"))


def table_target(url: URL, *, schema: str | None, table: str) -> Target:
    """
    Return a table's name.

    :param url: where the database is; only its backend, host, port and database become part of the name.
    :param schema: the schema that the table is in, or the database's default.
    :param table: the name of the table. A name with a dot is quoted.
    """
    backend = url.get_backend_name()
    scheme = NAMESPACES.get(backend, backend)
    host = f"{url.host}:{url.port or PORTS[backend]}" if url.host else ""
    names = (f'"{name}"' if "." in name else name for name in (schema, table) if name)
    return Target(f"{scheme}://{host}", ".".join(filter(None, (url.database, *names))))


def lineage(
    kind: Kind, base_url: str, target: Target | None, *, rows: int, size: int | None
) -> OperatorLineage[Any, Any]:
    """
    Return the lineage of what was read from an API and, with a target, written to it.

    :param kind: what was read.
    :param base_url: the base URL of the API.
    :param target: the file or table that was written, or None.
    :param rows: how many rows there were.
    :param size: the size of the file in bytes, or None.
    """
    from airflow.providers.common.compat.openlineage.facet import (
        OutputDataset,
        OutputStatisticsOutputDatasetFacet,
    )
    from airflow.providers.openlineage.extractors import OperatorLineage

    api = _dataset(kind, base_url)
    if target is None:
        return OperatorLineage(inputs=[api])
    statistics = OutputStatisticsOutputDatasetFacet(rowCount=rows, size=size)
    written = OutputDataset(
        namespace=target.namespace,
        name=target.name,
        facets=_schema(kind.columns),
        outputFacets={"outputStatistics": statistics},
    )
    return OperatorLineage(inputs=[api], outputs=[written])


def lineage_of_change(base_url: str, *, changed: bool) -> OperatorLineage[Any, Any]:
    """
    Return the lineage of a key that was read from an API and, if it was changed, written to it.

    :param base_url: the base URL of the API.
    :param changed: whether it was changed.
    """
    from airflow.providers.openlineage.extractors import OperatorLineage

    keys = _dataset(KEYS, base_url)
    return OperatorLineage(inputs=[keys], outputs=[keys] if changed else [])


def _dataset(kind: Kind, base_url: str) -> Dataset:
    """Return what an API has of a kind."""
    from airflow.providers.common.compat.openlineage.facet import Dataset

    url = urlsplit(base_url)
    return Dataset(
        namespace=f"{url.scheme}://{url.netloc}",
        name=f"{url.path.strip('/')}/{kind.endpoint}",
        facets=_schema(kind.fields),
    )


def _schema(fields: dict[str, str]) -> dict[str, Any]:
    from airflow.providers.common.compat.openlineage.facet import SchemaDatasetFacet, SchemaDatasetFacetFields

    return {"schema": SchemaDatasetFacet(fields=[SchemaDatasetFacetFields(*field) for field in fields.items()])}
