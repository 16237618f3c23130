"""OpenRouter provider for Apache Airflow: lists API keys and their spend, and alerts before one stops working."""

__version__ = "0.1.0"
