"""What Airflow reads about the provider is what Airflow expects, and it is true."""

import json
import subprocess
import sys
from importlib import import_module
from importlib.metadata import entry_points
from importlib.util import find_spec
from pathlib import Path

import jsonschema
import pytest

from airflow_provider_openrouter import __version__
from airflow_provider_openrouter.get_provider_info import get_provider_info

AIRFLOW = Path(find_spec("airflow").origin).parent
INFO = get_provider_info()
(CONNECTION_TYPE,) = INFO["connection-types"]
MODULES = [
    module
    for part in ("hooks", "operators", "sensors", "triggers", "transfers")
    for entry in INFO.get(part, [])
    for module in entry.get("python-modules", [entry.get("python-module")])
]


def schema(name):
    return json.loads((AIRFLOW / name).read_text())


def test_it_is_what_airflows_schema_asks_for():
    jsonschema.validate(INFO, schema("provider_info.schema.json"))


def test_the_connection_form_fits_the_schema_of_forms():
    connection_types = schema("provider.yaml.schema.json")["properties"]["connection-types"]
    form = json.dumps(connection_types).replace('"additionalProperties": true', '"additionalProperties": false')
    jsonschema.validate(INFO["connection-types"], json.loads(form))


@pytest.mark.parametrize("field", CONNECTION_TYPE["conn-fields"])
def test_a_field_of_the_form_may_be_empty_and_has_a_schema(field):
    field_schema = CONNECTION_TYPE["conn-fields"][field]["schema"]
    jsonschema.Draft202012Validator.check_schema(field_schema)
    jsonschema.validate(None, field_schema)


@pytest.mark.parametrize("module", MODULES)
def test_a_named_module_can_be_imported(module):
    assert import_module(module).__doc__


def test_every_module_that_a_dag_may_import_is_named():
    package = Path(import_module("airflow_provider_openrouter").__file__).parent
    parts = ("hooks", "operators", "sensors", "triggers", "transfers")
    written = {
        f"airflow_provider_openrouter.{file.parent.name}.{file.stem}"
        for part in parts
        for file in (package / part).glob("openrouter*.py")
    }
    assert set(MODULES) == written


def test_the_hook_it_names_is_of_that_connection_type():
    module, name = CONNECTION_TYPE["hook-class-name"].rsplit(".", 1)
    hook = getattr(import_module(module), name)
    assert hook.conn_type == CONNECTION_TYPE["connection-type"] == "openrouter"
    assert hook.hook_name == CONNECTION_TYPE["hook-name"]
    assert hook.conn_name_attr == "openrouter_conn_id"
    assert hook(**{hook.conn_name_attr: "x"}).openrouter_conn_id == "x"
    assert hook().openrouter_conn_id == hook.default_conn_name == "openrouter_default"


def test_every_integration_that_is_named_is_described():
    described = {integration["integration-name"] for integration in INFO["integrations"]}
    named = {
        entry["integration-name"]
        for part in ("hooks", "operators", "sensors", "triggers")
        for entry in INFO.get(part, [])
    }
    assert named <= described


def test_its_version_is_the_packages():
    assert INFO["versions"] == [__version__]


def test_airflow_finds_it_by_its_entry_point():
    (found,) = (
        entry
        for entry in entry_points(group="apache_airflow_provider")
        if entry.dist.name == INFO["package-name"]
    )
    assert found.load() is get_provider_info


def test_it_is_json_and_another_object_each_time():
    assert json.loads(json.dumps(INFO)) == get_provider_info()
    assert get_provider_info() is not INFO


def test_importing_it_brings_in_neither_airflow_nor_pandas():
    code = (
        "import sys\n"
        "from airflow_provider_openrouter.get_provider_info import get_provider_info\n"
        "get_provider_info()\n"
        "print(*sorted({'airflow', 'pandas', 'requests', 'pyarrow', 'tenacity'} & sys.modules.keys()))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.split() == []
