"""Print what became of the mutants of each module; fail if one is alive that docs/mutants.md does not explain."""

from __future__ import annotations

import json
import re
import sys
from collections import Counter
from pathlib import Path

from mutmut.mutation.diff_apply import get_diff_for_mutant
from mutmut.stats import status_by_exit_code
from mutmut.utils.format_utils import orig_function_and_class_names_from_key

PACKAGE = Path("airflow_provider_openrouter")
SQL = re.compile(r"\b(ALTER|AND|AS|BEGIN|CREATE|DROP|FROM|INSERT|NOT NULL|ORDER BY|PRAGMA|SELECT|WHERE)\b")
EXPLAINED = re.compile(r"^- `(?P<function>[\w.]+)`: `(?P<codes>.+?)`\.", re.MULTILINE | re.DOTALL)
UNABLE = 255
"""
What mutmut takes for a timeout. Its worker ended with an error, for example because pytest did not find a test.

mutmut collects twice in one process, and pytest escapes a backslash in an id made by ``ids=`` each time: the
test then has another name.
"""


def main() -> int:
    explained = EXPLAINED.findall(Path("docs/mutants.md").read_text())
    reasons = [(function, code) for function, codes in explained for code in re.split("`,\\s+`", codes)]
    alive = []
    print("| module | mutants | killed | refused by mypy | with a reason | alive |\n|---|--:|--:|--:|--:|--:|")
    for path in sorted(PACKAGE.rglob("*.py")):
        mutants = results(path)
        fates = Counter()
        for mutant, exit_code in mutants.items():
            fate = fate_of(exit_code)
            if fate == "alive":
                name, before, code = described(path, mutant)
                if is_same_sql(before, code) or any(name == each and part in code for each, part in reasons):
                    fate = "explained"
                else:
                    alive.append(f"{name}: {code}  ({status_by_exit_code[exit_code]}, {mutant})")
            fates[fate] += 1
        if mutants:
            row = (len(mutants), *(fates[fate] for fate in ("killed", "refused", "explained", "alive")))
            print(f"| {module(path)} | {' | '.join(map(str, row))} |")
    print(*alive, sep="\n")
    return bool(alive)


def results(path: Path) -> dict[str, int]:
    """Return the exit codes of the mutants of a module that were tried."""
    file = Path("mutants", f"{path}.meta")
    codes = json.loads(file.read_text())["exit_code_by_key"] if file.exists() else {}
    return {mutant: code for mutant, code in codes.items() if code is not None}


def fate_of(exit_code: int) -> str:
    status = status_by_exit_code[exit_code]
    if status == "caught by type check":
        return "refused"
    return "killed" if status in ("killed", "timeout") and exit_code != UNABLE else "alive"


def described(path: Path, mutant: str) -> tuple[str, str, str]:
    """Return the function that a mutant changes, and its lines before and after the change."""
    function, class_name = orig_function_and_class_names_from_key(mutant)
    name = ".".join(filter(None, (module(path), class_name, function.rpartition(".")[2])))
    diff = get_diff_for_mutant(mutant, path=path).splitlines()[3:]
    before, after = (" ".join(line[1:].strip() for line in diff if line.startswith(sign)) for sign in "-+")
    return name, before, after


def is_same_sql(before: str, after: str) -> bool:
    """Return whether a change is only one of case in a line of SQL, which databases ignore."""
    return before.lower() == after.lower() and SQL.search(before) is not None


def module(path: Path) -> str:
    return ".".join(path.relative_to(PACKAGE).with_suffix("").parts)


if __name__ == "__main__":
    sys.exit(main())
