"""OpenRouter provider for Apache Airflow: lists every API key and its spend, and alerts before one runs dry."""

__version__ = "0.1.0"
