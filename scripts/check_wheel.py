"""Fail unless a wheel contains the package, its SQL, page, py.typed and entry points, and nothing else."""

import sys
from pathlib import Path
from zipfile import ZipFile

PACKAGE = "airflow_provider_openrouter"
GROUPS = ("apache_airflow_provider", "airflow.plugins")
"""The entry points by which Airflow finds the provider and the page."""


def main(wheel: str) -> None:
    files = ZipFile(wheel)
    shipped = {name for name in files.namelist() if ".dist-info/" not in name}
    root = Path(__file__).parent.parent
    kinds = ("*.py", "*.sql", "py.typed", "static/*.*")
    sources = {str(path.relative_to(root)) for kind in kinds for path in (root / PACKAGE).rglob(kind)}
    if shipped != sources:
        sys.exit(
            f"The wheel lacks {sorted(sources - shipped)}, and should not contain {sorted(shipped - sources)}."
        )
    (entry_points,) = (name for name in files.namelist() if name.endswith(".dist-info/entry_points.txt"))
    if lacking := {group for group in GROUPS if f"[{group}]" not in files.read(entry_points).decode()}:
        sys.exit(f"The wheel has no entry points of {sorted(lacking)}.")
    print(f"{Path(wheel).name} contains the package's {len(shipped)} files and nothing else.")


if __name__ == "__main__":
    main(sys.argv[1])
