"""The files of the history."""

import re
from datetime import datetime

import pytest
from support.histories import HISTORY, KINDS, activity_views, text_of, views

from airflow_provider_openrouter.history import QUESTIONS
from airflow_provider_openrouter.snapshots import kinds

FILE_COLUMNS = kinds.KEYS.columns

DATABASES = ("postgresql", "sqlite", "mysql", "duckdb")


def test_the_columns_are_those_that_the_provider_writes():
    kinds = {str: "string", bool: "boolean", float: "number", datetime: "timestamp"}
    assert {name: kinds[kind] for name, kind in KINDS.items()} == FILE_COLUMNS


@pytest.mark.parametrize("view", ["observations", "activity"])
def test_databases_differ_only_in_how_they_count_days(view):
    texts = [text_of(f"{view}_{dialect}") for dialect in DATABASES]
    columns = {tuple(re.findall(r"^(?!    FROM ).* AS (\w+),?$", text, re.MULTILINE)) for text in texts}
    assert len(columns) == 1


def test_every_file_says_what_it_answers_and_runs_as_it_is():
    names = {path.name.removesuffix(".sql") for path in HISTORY.iterdir() if path.name.endswith(".sql")}
    of_views = {view for dialect in DATABASES for view in (*views(dialect), *activity_views(dialect), "no_names")}
    assert names == {*QUESTIONS} | of_views
    for name in names:
        text = text_of(name)
        assert text.startswith("-- ")
        assert not re.search(r"\{\{|\{%|%|(?<![\w:]):\w", text), "it would be taken for a template or a parameter"
        assert ";" not in "".join(re.findall(r"--.*", text)), "it would be split there"
        assert ("WITH settings AS (SELECT 30 AS days" in text) == (name in QUESTIONS)
        assert max(map(len, text.splitlines())) <= 114
