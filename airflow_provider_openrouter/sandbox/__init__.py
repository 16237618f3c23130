"""
A local stand-in for OpenRouter's key API, so that DAGs run without an account.

``python -m airflow_provider_openrouter.sandbox`` serves it; in tests, ``with Sandbox() as sandbox`` does. It
responds to ``/keys``, ``/keys/{hash}``, ``/key`` and ``/workspaces`` as OpenRouter's API reference says: pages of
100, newest first, ``include_disabled``, ``include_expired`` and ``workspace_id``, the bodies of errors. Its keys
spend money as time goes by. It needs the standard library alone, not even Airflow.
"""

from airflow_provider_openrouter.sandbox.account import INFERENCE_TOKEN, TOKEN
from airflow_provider_openrouter.sandbox.api import PAGE_SIZE
from airflow_provider_openrouter.sandbox.server import Sandbox

__all__ = ["INFERENCE_TOKEN", "PAGE_SIZE", "TOKEN", "Sandbox"]
