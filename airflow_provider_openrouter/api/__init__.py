"""OpenRouter's management API over HTTP. It knows Airflow only by the base classes of its errors."""

from airflow_provider_openrouter.api.client import OpenRouterClient

__all__ = ["OpenRouterClient"]
