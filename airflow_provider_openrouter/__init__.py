"""OpenRouter provider for Apache Airflow: every API key, its spend, and a word before one runs dry."""

__version__ = "0.1.0"
