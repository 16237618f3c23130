"""What differs between the lines of Airflow that the tests run on."""

from importlib.metadata import version

import pytest
from packaging.specifiers import SpecifierSet

try:
    from airflow.dag_processing.dagbag import DagBag
except ImportError:  # before 3.2
    from airflow.models.dagbag import DagBag
try:
    from airflow.sdk.serde import deserialize
except ImportError:  # before 3.2
    from airflow.serialization.serde import deserialize
try:
    from airflow.sdk.exceptions import AirflowRescheduleException
except ImportError:  # before 3.2
    from airflow.exceptions import AirflowRescheduleException

__all__ = [
    "AIRFLOW_3_0",
    "BEFORE_AIRFLOW_3_3",
    "AirflowRescheduleException",
    "DagBag",
    "deserialize",
    "needs_dag_test",
    "needs_frames_in_xcom",
    "without_what_airflow_masks",
]

AIRFLOW_3_0 = version("apache-airflow").startswith("3.0.")
BEFORE_AIRFLOW_3_3 = version("apache-airflow") in SpecifierSet("<3.3")

needs_dag_test = pytest.mark.airflow(">=3.0.2")
needs_frames_in_xcom = pytest.mark.airflow(">=3.3", or_pandas="<3")


def without_what_airflow_masks(shown: str) -> str:
    """Drop the lines in which Airflow 3.0 logs what it should mask, which it does only in dag.test()."""
    return "\n".join(line for line in shown.splitlines() if not AIRFLOW_3_0 or "MaskSecret(value=" not in line)
