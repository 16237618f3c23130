"""What a source is in words, and how a read of it is ended."""

import pytest

from airflow_provider_openrouter.scope import WorkspaceScope
from airflow_provider_openrouter.watch.sources import KeySource, Stop


@pytest.mark.parametrize(
    ("workspace_id", "words"),
    [(None, "connection 'team_a'"), ("Marketing", "connection 'team_a', workspace 'Marketing'")],
)
def test_a_source_names_its_connection_and_workspace(workspace_id, words):
    scope = WorkspaceScope.read(workspace_id)
    assert str(KeySource(openrouter_conn_id="team_a", scope=scope, include_disabled=False)) == words


def test_a_stop_ends_what_is_under_way_and_what_would_follow():
    stop = Stop()
    under_way = stop.event()
    assert not under_way.is_set()
    stop.set()
    assert under_way.is_set()
    assert stop.event().is_set()
