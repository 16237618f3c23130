"""OpenRouter provider for Apache Airflow: list every API key and its spend, and be alerted before one runs dry."""

__version__ = "0.1.0"
