"""Which workspaces are meant by what was typed."""

import pytest

from airflow_provider_openrouter.exceptions import OpenRouterRequestError
from airflow_provider_openrouter.scope import RESERVED, WorkspaceScope

ID = "6f9619ff-8b86-4d01-b42d-00cf4fc964ff"
NAMES = {"w1": "Team", "w2": "Other", ID: "Third"}


@pytest.mark.parametrize(
    ("value", "typed"),
    [
        (None, None),
        ("", None),
        (" \n", None),
        ("*", "*"),
        (" * ", "*"),
        (f" {ID} ", ID),
        ("Default", "Default"),
        ("My Team", "My Team"),
        (WorkspaceScope("w1"), "w1"),
    ],
)
def test_a_scope_keeps_what_was_typed(value, typed):
    assert WorkspaceScope.read(value) == WorkspaceScope(typed)


@pytest.mark.parametrize("value", [1, True, ["w1"], {}, b"w1"], ids=repr)
def test_what_is_not_text_is_refused_as_a_workspace(value):
    with pytest.raises(OpenRouterRequestError) as refusal:
        WorkspaceScope.read(value)
    assert str(refusal.value) == (
        f'workspace_id must be the id or name of a workspace, "*", or None, not {value!r}.'
    )


@pytest.mark.parametrize("word", sorted(RESERVED))
def test_how_a_scope_is_stored_cannot_be_typed(word):
    with pytest.raises(OpenRouterRequestError, match=rf"^workspace_id must not be '{word}'\. Use None"):
        WorkspaceScope.read(f" {word} ")


def test_whatever_is_not_one_workspace_is_stored_as_reserved():
    for scope in (WorkspaceScope(), WorkspaceScope("*")):
        assert not scope.is_one
        assert scope.path_part in RESERVED
        assert scope.column in RESERVED | {"*"}


@pytest.mark.parametrize(
    ("typed", "column", "path_part", "words"),
    [
        (None, "default", "default", "default only"),
        ("*", "*", "all", "all workspaces"),
        (ID, ID, ID, ID),
        ("My Team", "My Team", "My Team", "My Team"),
        ("a\x1b[2J\nb", "a\x1b[2J\nb", "a\x1b[2J\nb", "a [2J b"),
        ("\x1b", "\x1b", "\x1b", ""),
    ],
)
def test_a_scope_is_stored_as_typed_and_shown_in_words(typed, column, path_part, words):
    scope = WorkspaceScope(typed)
    assert (scope.column, scope.path_part, str(scope)) == (column, path_part, words)


@pytest.mark.parametrize(
    ("typed", "needed"),
    [
        (None, False),
        (ID, False),
        (ID.upper(), False),
        ("*", True),
        ("w1", True),
        ("Team", True),
        (ID[:-1], True),
    ],
)
def test_workspaces_are_needed_for_all_and_for_names(typed, needed):
    assert WorkspaceScope(typed).needs_workspaces is needed


@pytest.mark.parametrize(
    ("typed", "ids"),
    [
        (None, [None]),
        ("*", ["w1", "w2", ID]),
        ("Team", ["w1"]),
        ("w2", ["w2"]),
        (ID, [ID]),
        (ID.upper(), [ID.upper()]),
    ],
)
def test_a_scope_is_resolved_to_ids(typed, ids):
    assert WorkspaceScope(typed).resolve(NAMES) == ids


def test_without_any_workspace_all_of_them_are_the_default_one():
    assert WorkspaceScope("*").resolve({}) == [None]


def test_an_id_goes_before_a_name():
    assert WorkspaceScope("w1").resolve({"w1": "Team", "w2": "w1"}) == ["w1"]


def test_space_around_a_name_does_not_matter():
    assert WorkspaceScope("Team").resolve({"w1": " Team\n", "w2": "Tea m"}) == ["w1"]


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (NAMES, "No workspace is called 'team'. There are: 'Team', 'Other', 'Third'."),
        ({}, "No workspace is called 'team'. No workspace has a name; use an id."),
        ({"w1": ""}, "No workspace is called 'team'. No workspace has a name; use an id."),
        ({"w1": "team", "w2": "team"}, "2 workspaces are called 'team'. Use the id of one: 'w1', 'w2'."),
    ],
)
def test_what_is_not_exactly_one_workspace_is_refused(names, said):
    with pytest.raises(OpenRouterRequestError) as refusal:
        WorkspaceScope("team").resolve(names)
    assert str(refusal.value) == said


@pytest.mark.parametrize(
    ("count", "end"), [(20, "'n19'."), (21, "'n19' and 1 more."), (2_020, "and 2,000 more.")]
)
def test_a_refusal_names_twenty_workspaces_at_most(count, end):
    with pytest.raises(OpenRouterRequestError) as refusal:
        WorkspaceScope("team").resolve({str(number): f"n{number}" for number in range(count)})
    assert str(refusal.value).endswith(end)


def test_a_refusal_is_one_line_whatever_was_typed():
    with pytest.raises(OpenRouterRequestError) as refusal:
        WorkspaceScope("a\r\n\x1b[2J\u202e").resolve({"w1": "b\nERROR\x00", "w2": "c" * 1_000})
    assert str(refusal.value).isprintable()
    assert len(str(refusal.value)) < 200
