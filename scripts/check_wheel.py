"""Fail unless a wheel contains the package, its SQL, py.typed and its metadata, and nothing else."""

import sys
from pathlib import Path
from zipfile import ZipFile

PACKAGE = "airflow_provider_openrouter"


def main(wheel: str) -> None:
    shipped = {name for name in ZipFile(wheel).namelist() if ".dist-info/" not in name}
    root = Path(__file__).parent.parent
    kinds = ("*.py", "*.sql", "py.typed")
    sources = {str(path.relative_to(root)) for kind in kinds for path in (root / PACKAGE).rglob(kind)}
    if shipped != sources:
        sys.exit(
            f"The wheel lacks {sorted(sources - shipped)}, and should not contain {sorted(shipped - sources)}."
        )
    print(f"{Path(wheel).name} contains the package's {len(shipped)} files and nothing else.")


if __name__ == "__main__":
    main(sys.argv[1])
