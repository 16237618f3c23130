"""What Airflow reads about this provider at every start, so it imports nothing heavy."""

from __future__ import annotations

from typing import Any

from airflow_provider_openrouter import __version__, connection


def get_provider_info() -> dict[str, Any]:
    """Return the description of the provider, as ``airflow/provider_info.schema.json`` defines it."""
    return {
        "package-name": "airflow-provider-openrouter",
        "name": "OpenRouter",
        "description": "Lists every API key of an `OpenRouter <https://openrouter.ai/>`__ account, keeps its "
        "spend, alerts before it stops working, and changes it if you allow that.",
        "versions": [__version__],
        "integrations": [
            {
                "integration-name": "OpenRouter",
                "external-doc-url": "https://openrouter.ai/docs/guides/overview/auth/management-api-keys",
                "tags": ["service"],
            }
        ],
        "hooks": [
            {
                "integration-name": "OpenRouter",
                "python-modules": ["airflow_provider_openrouter.hooks.openrouter"],
            }
        ],
        "operators": [
            {
                "integration-name": "OpenRouter",
                "python-modules": ["airflow_provider_openrouter.operators.openrouter"],
            }
        ],
        "sensors": [
            {
                "integration-name": "OpenRouter",
                "python-modules": ["airflow_provider_openrouter.sensors.openrouter"],
            }
        ],
        "triggers": [
            {
                "integration-name": "OpenRouter",
                "python-modules": ["airflow_provider_openrouter.triggers.openrouter"],
            }
        ],
        "transfers": [
            {
                "source-integration-name": "OpenRouter",
                "target-integration-name": "SQL",
                "python-module": "airflow_provider_openrouter.transfers.openrouter_to_sql",
            }
        ],
        "extra-links": ["airflow_provider_openrouter.links.OpenRouterKeysLink"],
        "connection-types": [
            {
                "connection-type": connection.CONN_TYPE,
                "hook-class-name": "airflow_provider_openrouter.hooks.openrouter.OpenRouterHook",
                "hook-name": "OpenRouter",
                "ui-field-behaviour": connection.FORM,
                "conn-fields": {name: extra.form_field for name, extra in connection.EXTRAS.items()},
            }
        ],
        # No plugins: the entry point airflow.plugins has ours, and one in both places is an import error.
        "config": {
            "openrouter": {
                "description": "The page of OpenRouter in Airflow's UI.",
                "options": {
                    "page_conn_id": _option(
                        "The connection to OpenRouter that the page reads with. Only users who may read this "
                        "connection see the page. If it is empty, there is no page.",
                        default=connection.DEFAULT_CONN_ID,
                    ),
                    "page_sql_conn_id": _option(
                        "The connection to the database that keeps the history. The page reads spend from its "
                        "views, and snapshots from the table in page_table.",
                        example="warehouse",
                    ),
                    "page_table": _option(
                        "The table of keys in that database. If OpenRouter cannot be reached, the page shows the "
                        "newest snapshot in it.",
                        example="openrouter_keys",
                    ),
                },
            }
        },
    }


def _option(description: str, *, default: str = "", example: str | None = None) -> dict[str, Any]:
    return {
        "description": f"{description}\n",
        "version_added": __version__,
        "type": "string",
        "example": example,
        "default": default,
    }
