"""What Airflow is told about this provider. It reads it at every start, so that nothing is imported here."""

from __future__ import annotations

from typing import Any

from airflow_provider_openrouter import __version__

CONNECTION_FORM: dict[str, Any] = {
    "hidden-fields": ["login", "schema"],
    "relabeling": {"host": "Base URL", "password": "Management API key"},  # nosec B105  # a label
    "placeholders": {
        "host": "https://openrouter.ai/api/v1",
        "port": "443, unless the base URL names another",
        "password": "sk-or-v1-… from https://openrouter.ai/settings/management-keys",  # nosec B105
    },
}


def get_provider_info() -> dict[str, Any]:
    """Describe the provider in the form of ``airflow/provider_info.schema.json``."""
    return {
        "package-name": "airflow-provider-openrouter",
        "name": "OpenRouter",
        "description": "`OpenRouter <https://openrouter.ai/>`__: list every API key, keep its spend, "
        "and act before one runs dry.",
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
        "connection-types": [
            {
                "connection-type": "openrouter",
                "hook-class-name": "airflow_provider_openrouter.hooks.openrouter.OpenRouterHook",
                "hook-name": "OpenRouter",
                "ui-field-behaviour": CONNECTION_FORM,
                "conn-fields": {
                    "timeout": {
                        "label": "Timeout (seconds)",
                        "description": "For one request, its body included. At least 1, default: 30.",
                        "schema": {"type": ["number", "null"], "minimum": 1},
                    },
                    "max_retries": {
                        "label": "Retries",
                        "description": "How often a request is tried again. From 0 to 100, default: 5.",
                        "schema": {"type": ["integer", "null"], "minimum": 0, "maximum": 100},
                    },
                    "max_concurrency": {
                        "label": "Concurrency",
                        "description": "Pages of a listing under way at once. From 1 to 100, default: 8.",
                        "schema": {"type": ["integer", "null"], "minimum": 1, "maximum": 100},
                    },
                    "allow_http": {
                        "label": "Allow plain HTTP",
                        "description": "Send the key unencrypted to a host other than this machine. Default: no.",
                        "schema": {"type": ["boolean", "null"]},
                    },
                },
            }
        ],
    }
