"""The services that tests need beside Airflow."""

from __future__ import annotations

import os
from importlib import import_module
from types import ModuleType

import pytest


def service(module: str) -> ModuleType:
    """Import what a service runs by; a developer who has not installed it is told so, and CI fails."""
    try:
        return import_module(module)
    except ImportError:
        if os.environ.get("CI"):
            raise
        pytest.skip(f"needs {module}: make test installs it")
