"""What is deprecated is an error where the package or an example DAG uses it, and a warning elsewhere."""

import subprocess
import sys
import warnings
from pathlib import Path

import pandas as pd
import pytest
import sqlalchemy as sa
from airflow.exceptions import AirflowProviderDeprecationWarning, RemovedInAirflow4Warning
from support.lines import AIRFLOW_3_0

DAGS = Path(__file__).parent.parent / "dags"
OURS = [
    "airflow_provider_openrouter.snapshots.tables",
    "airflow_provider_openrouter.hooks.openrouter",
    *(path.stem for path in DAGS.glob("*.py")),
    *(f"unusual_prefix_0123abcd_{path.stem}" for path in DAGS.glob("*.py")),  # as DagBag imports them
]
KINDS = (DeprecationWarning, PendingDeprecationWarning, FutureWarning)
DEPRECATIONS = [
    *KINDS,
    RemovedInAirflow4Warning,
    AirflowProviderDeprecationWarning,
    sa.exc.SADeprecationWarning,
    sa.exc.RemovedIn20Warning if sa.__version__ < "2" else sa.exc.MovedIn20Warning,
    *(kind for kind in vars(pd.errors).values() if isinstance(kind, type) and issubclass(kind, KINDS)),
]
DEPRECATED_IMPORT = "from airflow.operators.python import PythonOperator"


def in_module(name, program, **names):
    exec(compile(program, name, "exec"), {"__name__": name} | names)


@pytest.mark.parametrize("category", DEPRECATIONS)
@pytest.mark.parametrize("module", OURS)
def test_a_deprecation_of_any_kind_is_an_error_in_our_code(module, category):
    with pytest.raises(category, match="it goes"):
        in_module(module, "warn('it goes', category)", warn=warnings.warn, category=category)


@pytest.mark.parametrize("module", OURS)
def test_a_deprecated_import_of_airflow_is_an_error_in_our_code(module):
    with pytest.raises(Warning, match=r"airflow\.operators\.python\.PythonOperator"):
        in_module(module, DEPRECATED_IMPORT)


@pytest.mark.parametrize("module", ["airflow.providers.somebody", "somebodys_dag"])
def test_elsewhere_it_is_a_warning(module):
    with pytest.warns(Warning, match=r"airflow\.operators\.python\.PythonOperator"):
        in_module(module, DEPRECATED_IMPORT)


def test_every_module_is_imported_without_a_deprecation():
    program = """
import importlib, pkgutil, warnings
import airflow.settings  # which sets filters of its own for whatever is named airflow…
import airflow_provider_openrouter as ours
for category in (DeprecationWarning, PendingDeprecationWarning, FutureWarning):
    warnings.filterwarnings("error", category=category, module=ours.__name__)
for module in pkgutil.walk_packages(ours.__path__, f"{ours.__name__}."):
    if AIRFLOW_3_0 and ".page." in module.name:  # nothing imports the page there
        continue
    print(importlib.import_module(module.name).__name__)
"""
    program = program.replace("AIRFLOW_3_0", str(AIRFLOW_3_0))
    imported = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120)
    assert imported.returncode == 0, imported.stderr
    assert "airflow_provider_openrouter.transfers.openrouter_to_sql" in imported.stdout.splitlines()
