"""The services that tests need beside Airflow."""

from __future__ import annotations

import os
import shutil
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


def program(*names: str) -> str:
    """Answer where a program is that has one of these names; where there is none, it is as with a service."""
    if found := next(filter(None, map(shutil.which, names)), None):
        return found
    if os.environ.get("CI"):
        raise FileNotFoundError(f"There is no {names[0]} on the PATH.")
    pytest.skip(f"needs {names[0]}: install the package of your system")
