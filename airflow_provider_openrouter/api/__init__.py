"""OpenRouter's management API over HTTP. Of Airflow it knows only the base classes of the errors."""

from airflow_provider_openrouter.api.client import OpenRouterClient

__all__ = ["OpenRouterClient"]
