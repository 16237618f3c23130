"""
A local stand-in for OpenRouter's key API, so that DAGs run without an account.

``python -m airflow_provider_openrouter.sandbox`` serves it; in tests, ``with Sandbox() as sandbox`` does. It
responds to ``/keys``, ``/keys/{hash}``, ``/key``, ``/workspaces``, ``/organization/members``, ``/credits`` and
``/activity`` as OpenRouter's API reference says. Its keys spend money as time goes by, and all that it shows is
derived from what they spent. It needs the standard library alone, not even Airflow. docs/sandbox.md says more.
"""

from airflow_provider_openrouter.sandbox.account import INFERENCE_TOKEN, TOKEN
from airflow_provider_openrouter.sandbox.api import PAGE_SIZE
from airflow_provider_openrouter.sandbox.server import Sandbox

__all__ = ["INFERENCE_TOKEN", "PAGE_SIZE", "TOKEN", "Sandbox"]
