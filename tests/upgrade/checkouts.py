"""Wheels of this checkout and of an earlier commit, and a virtual environment to install them in."""

from __future__ import annotations

import subprocess
import sys
import tarfile
from pathlib import Path

ROOT = Path(__file__).parents[2]
UV = Path(sys.executable).with_name("uv")
NAME = "airflow-provider-openrouter"


def check_out(commit: str, folder: Path) -> Path:
    """Write the files of a commit, which the clone must have, into a folder, and return that."""
    archive = folder.with_suffix(".tar")
    subprocess.run(["git", "archive", "--output", archive, commit], cwd=ROOT, check=True)
    with tarfile.open(archive) as files:
        files.extractall(folder, filter="data")
    return folder


def build_wheel(checkout: Path, folder: Path) -> Path:
    """Build the wheel of a checkout into an empty folder, and return its path."""
    subprocess.run([UV, "build", "--quiet", "--wheel", "--out-dir", folder, checkout], check=True)
    [wheel] = folder.glob("*.whl")
    return wheel


class Environment:
    """
    A virtual environment with the Python of this one.

    :param folder: where to make it.
    """

    def __init__(self, folder: Path) -> None:
        self.python = str(folder / "bin" / "python")
        subprocess.run([UV, "venv", "--quiet", "--python", sys.executable, folder], check=True)

    def install(self, wheel: Path) -> None:
        """Install a wheel of the package, in place of the one that is there, and what it needs here."""
        subprocess.run(
            [
                UV, "pip", "install", "--quiet", "--python", self.python, "-c", ROOT / "constraints.txt",
                "--reinstall-package", NAME,  # both may have the same version
                f"{NAME}[sql] @ {wheel.as_uri()}",
                "apache-airflow-providers-postgres", "apache-airflow-providers-sqlite", "psycopg2-binary",
            ],
            check=True,
        )  # fmt: skip
