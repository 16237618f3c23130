"""Run the tests on every supported line of Airflow, and print the table of docs/compatibility.md."""

import argparse
import os
import re
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

ROOT = Path(__file__).parents[1]
VERSIONS_OF = ("Airflow", "Python", "pandas", "SQLAlchemy", "psycopg")
COLUMNS = (*VERSIONS_OF, "Passed", "Deselected", "Failed", "Minutes", "Date")
VERSIONS = """
from importlib.metadata import distributions
from platform import python_version
of = {each.name.lower(): each.version for each in distributions()}
drivers = [of[name] for name in ("psycopg2-binary", "psycopg") if name in of]
for shown in (of["apache-airflow"], python_version(), of["pandas"], of["sqlalchemy"], ", ".join(drivers)):
    print(shown)
"""


class NotRunError(Exception):
    """The tests of a line did not run; the message says why."""


@dataclass(frozen=True)
class Line:
    """
    One set of versions to run the tests on, in its own virtual environment.

    :param name: its name.
    :param python: the version of Python.
    :param options: how ``uv pip install`` chooses versions.
    :param requirements: what is installed besides the project.
    :param driver: the driver with which tests use PostgreSQL, if they name none.
    """

    name: str
    python: str
    options: tuple[str, ...]
    requirements: tuple[str, ...] = ()
    driver: str = "psycopg2"

    @property
    def folder(self) -> Path:
        return ROOT / ".matrix" / self.name

    @property
    def binaries(self) -> Path:
        return self.folder / "venv" / "bin"

    @property
    def log(self) -> Path:
        return self.folder / "log.txt"

    @property
    def environment(self) -> dict[str, str]:
        path = f"{self.binaries}{os.pathsep}{os.environ['PATH']}"
        # CI: Hypothesis tries the same examples on every line.
        chosen = os.environ | {"CI": "1", "PATH": path, "UV_COMPILE_BYTECODE": "1"}
        chosen["TESTS_POSTGRESQL_DRIVER"] = self.driver
        chosen.pop("PYTHONDONTWRITEBYTECODE", None)
        return chosen

    def install(self) -> None:
        """Make the virtual environment, unless it exists and nothing that it was made from has changed."""
        uv = shutil.which("uv", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
        if not uv:
            raise NotRunError("uv is needed: pip install uv.")
        install = [*self.options, "-e", ".[dev]", *self.requirements]
        made_from = "\n".join([self.python, *install, *map(_read, ("pyproject.toml", "constraints.txt"))])
        stamp = self.folder / "made_from.txt"
        if stamp.exists() and stamp.read_text() == made_from:
            return
        stamp.unlink(missing_ok=True)
        self.folder.mkdir(parents=True, exist_ok=True)
        if self._run([uv, "venv", "--clear", "--python", self.python, self.binaries.parent]):
            raise NotRunError(
                f"Could not make a virtual environment with Python {self.python}; the log says why."
            )
        if self._run([uv, "pip", "install", "--python", self.binaries / "python", *install]):
            raise NotRunError("The installation failed.")
        stamp.write_text(made_from)

    def versions(self) -> list[str]:
        """Return the installed versions of what the table names."""
        python = self.binaries / "python"
        return subprocess.check_output([python, "-c", VERSIONS], text=True, env=self.environment).splitlines()

    def test(self, arguments: list[str]) -> tuple[dict[str, int], str]:
        """Run the tests, and return how many there were of each outcome, and of what tests were deselected."""
        status = self._run([self.binaries / "python", "-m", "pytest", *arguments])
        said = self.log.read_text(errors="replace")
        # It is not always the last line: Airflow may log while the interpreter ends.
        summaries = re.findall(r"^=* ?(\d+ \w+.* in \d.*?) ?=*$", said, re.MULTILINE)
        summary = summaries[-1] if summaries else "There is no summary."
        print(f"    {summary}", flush=True)
        counts = {outcome: int(count) for count, outcome in re.findall(r"(\d+) (\w+)", summary)}
        if status > 1 or "passed" not in counts:
            raise NotRunError(f"pytest ended with {status}.")
        absent = re.findall(r"^Absent: (.*)$", said, re.MULTILINE)
        return counts, absent[-1] if absent else ""

    def _run(self, command: list[str | Path]) -> int:
        with self.log.open("w") as log:
            return subprocess.run(command, cwd=ROOT, env=self.environment, stdout=log, stderr=log).returncode


def _read(name: str) -> str:
    return (ROOT / name).read_text()


def _as_of(day: str) -> tuple[str, ...]:
    """Choose packages as of a day: newer ones were never tried with an old Airflow."""
    return "--exclude-newer", day, *OFFICIAL_CLIENT


# The sandbox is compared with the newest one.
OFFICIAL_CLIENT = ("--exclude-newer-package", "openrouter=2026-11-01")
# The version that came with Airflow 3.0 had no module `sdk` yet.
NEWER_COMPAT = ("--exclude-newer-package", "apache-airflow-providers-common-compat=2026-09-18")
NEWEST = ("-c", "constraints.txt")

LINES = [
    Line("lowest", "3.11", (*_as_of("2025-08-30"), *NEWER_COMPAT, "--resolution", "lowest-direct")),
    Line("3.0", "3.11", (*_as_of("2025-08-30"), *NEWER_COMPAT), ("apache-airflow==3.0.6", "pandas<2.3")),
    Line("3.1", "3.12", _as_of("2026-03-12"), ("apache-airflow==3.1.8", "pandas<3")),
    # Before, there is no psycopg 3 unless it is asked for; later, there are both.
    Line(
        "3.2",
        "3.13",
        _as_of("2026-05-30"),
        ("apache-airflow==3.2.2", "pandas>=3", "psycopg[binary]"),
        driver="psycopg",
    ),
    Line("3.3-pandas2", "3.13", _as_of("2026-09-18"), ("apache-airflow==3.3.2", "pandas<3")),
    Line("3.3-py3.11", "3.11", NEWEST),
    Line("3.3-py3.12", "3.12", NEWEST, driver="psycopg"),
    Line("3.3-py3.13", "3.13", NEWEST),
]


def _row(line: Line, arguments: list[str]) -> tuple[list[str], bool]:
    """Return a line's row of the table, and whether all tests passed."""
    began = time.monotonic()
    counts, absent = line.test(arguments)
    minutes = (time.monotonic() - began) / 60
    failed = sum(counts.get(outcome, 0) for outcome in ("failed", "error", "errors", "skipped"))
    deselected = f"{counts.get('deselected', 0)}{absent and f': {absent}'}"
    cells = [*line.versions(), counts["passed"], deselected, failed]
    return [*map(str, cells), f"{minutes:.0f}", f"{datetime.now(UTC):%Y-%m-%d}"], not failed


def main() -> int:
    arguments = sys.argv[1:]
    end = arguments.index("--") if "--" in arguments else len(arguments)
    parser = argparse.ArgumentParser(
        description=__doc__, usage="%(prog)s [-h] [--list] [LINE ...] [-- ARGUMENTS OF PYTEST]"
    )
    parser.add_argument("lines", nargs="*", metavar="LINE", help="run only these")
    parser.add_argument("--list", action="store_true", help="list the lines and run nothing")
    asked = parser.parse_args(arguments[:end])
    if unknown := set(asked.lines) - {line.name for line in LINES}:
        parser.error(f"no such line: {', '.join(sorted(unknown))}; --list shows them")
    lines = [line for line in LINES if not asked.lines or line.name in asked.lines]
    if asked.list:
        for line in lines:
            print(f"{line.name:12} Python {line.python}  {' '.join([*line.options, *line.requirements])}")
        return 0

    rows, well = [], True
    for line in lines:
        print(f"=== {line.name}: {line.log}", flush=True)
        try:
            line.install()
            row, passed = _row(line, arguments[end + 1 :])
        except NotRunError as reason:
            print(f"    {reason}", flush=True)
            well = False
        else:
            rows.append(row)
            well = well and passed
    for cells in (COLUMNS, ["---"] * len(COLUMNS), *rows):
        print("|", " | ".join(cells), "|")
    return not well


if __name__ == "__main__":
    sys.exit(main())
