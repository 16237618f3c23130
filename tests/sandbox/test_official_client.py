"""OpenRouter's own Python client understands all that the sandbox sends."""

from datetime import datetime

import pytest
from openrouter import OpenRouter, errors
from openrouter.types import UNSET
from openrouter.utils import BackoffStrategy, RetryConfig

from airflow_provider_openrouter.sandbox import INFERENCE_TOKEN, TOKEN, Sandbox

NO_RETRIES = RetryConfig("none", BackoffStrategy(1, 1, 1, 1), retry_connection_errors=False)


@pytest.fixture(scope="module")
def sandbox():
    with Sandbox(keys=130, workspaces=3) as sandbox:
        yield sandbox


@pytest.fixture
def connect(sandbox):
    def client(token=TOKEN):
        return OpenRouter(api_key=token, server_url=sandbox.base_url, retry_config=NO_RETRIES)

    return client


def sent(sandbox, path):
    status, body = sandbox.answer(f"/api/v1{path}", TOKEN)
    assert status == 200
    return body["data"]


def shown(model):
    """Return what the client understood, as the API writes it."""
    return model.model_dump(mode="json", by_alias=True)


def assert_understood(models, records):
    """Assert that the client found every field that it requires, and took each value for what it is."""
    assert len(models) == len(records) > 0
    for model, record in zip(models, records, strict=True):
        required = {
            field.alias or name for name, field in type(model).model_fields.items() if field.is_required()
        }
        assert required <= record.keys()
        for name, value in shown(model).items():
            assert as_time(value) == as_time(record[name]), name


def as_time(value):
    try:
        return datetime.fromisoformat(value)
    except (TypeError, ValueError):
        return value


def test_it_lists_keys(connect, sandbox):
    everything = {"include_disabled": True, "include_expired": True}
    for workspace in sandbox.workspaces:
        keys = connect().api_keys.list(**everything, workspace_id=workspace["id"], offset=10).data
        query = f"include_disabled=true&include_expired=true&offset=10&workspace_id={workspace['id']}"
        assert_understood(keys, sent(sandbox, f"/keys?{query}"))


def test_it_gets_and_changes_a_key(connect, sandbox):
    key = connect().api_keys.list().data[0]
    assert_understood([connect().api_keys.get(hash=key.hash).data], [sent(sandbox, f"/keys/{key.hash}")])
    for changes in (
        {"limit": 12.5, "limit_reset": "weekly", "name": "renamed"},
        {"limit": None, "limit_reset": None, "disabled": True, "include_byok_in_limit": True},
        {"workspace_id": sandbox.workspaces[1]["id"]},
    ):
        changed = connect().api_keys.update(hash=key.hash, **changes).data
        assert_understood([changed], [sent(sandbox, f"/keys/{key.hash}")])
        assert shown(changed) | changes == shown(changed)


def test_it_gets_the_key_that_asks(connect, sandbox):
    assert_understood([connect().api_keys.get_current_key_metadata().data], [sent(sandbox, "/key")])
    assert not connect(INFERENCE_TOKEN).api_keys.get_current_key_metadata().data.is_management_key


def test_it_lists_workspaces_page_by_page(connect, sandbox):
    page, found = connect().workspaces.list(limit=2), []
    while page:
        found += page.result.data
        assert page.result.total_count == 3
        page = page.next()
    assert_understood(found, sent(sandbox, "/workspaces"))


def test_it_lists_members_page_by_page(connect, sandbox):
    page, found = connect().organization.list_members(limit=2), []
    while page:
        found += page.result.data
        page = page.next()
    assert_understood(found, sent(sandbox, "/organization/members"))


def test_it_gets_credits(connect, sandbox):
    assert_understood([connect().credits.get_credits().data], [sent(sandbox, "/credits")])


@pytest.mark.parametrize("group_by", [None, "workspace"])
def test_it_lists_activity(connect, sandbox, group_by):
    rows = connect().analytics.get_user_activity(request={"group_by": group_by} if group_by else {}).data
    assert_understood(rows, sent(sandbox, "/activity" + (f"?group_by={group_by}" if group_by else "")))


@pytest.mark.parametrize(
    ("token", "ask", "error", "status"),
    [
        ("wrong", lambda client: client.api_keys.list(), errors.UnauthorizedResponseError, 401),
        (INFERENCE_TOKEN, lambda client: client.credits.get_credits(), errors.ForbiddenResponseError, 403),
        (TOKEN, lambda client: client.api_keys.get(hash="f01d"), errors.NotFoundResponseError, 404),
        (TOKEN, lambda client: client.api_keys.update(hash="f01d"), errors.BadRequestResponseError, 400),
        (
            TOKEN,
            lambda client: client.api_keys.update(hash="f01d", name="any"),
            errors.NotFoundResponseError,
            404,
        ),
        (
            TOKEN,
            lambda client: client.analytics.get_user_activity(request={"date": "2999-01-01"}),
            errors.BadRequestResponseError,
            400,
        ),
        (TOKEN, lambda client: client.workspaces.list(limit=101), errors.OpenRouterDefaultError, 400),
        (TOKEN, lambda client: client.api_keys.create(name="new"), errors.OpenRouterDefaultError, 405),
        (TOKEN, lambda client: client.api_keys.delete(hash="f01d"), errors.OpenRouterDefaultError, 405),
        (TOKEN, lambda client: client.guardrails.list(), errors.OpenRouterDefaultError, 404),
    ],
)
def test_it_understands_errors(connect, token, ask, error, status):
    with pytest.raises(error) as raised:
        ask(connect(token))
    assert raised.value.status_code == status
    if error is not errors.OpenRouterDefaultError:
        assert (raised.value.data.error.code, raised.value.data.user_id) == (status, UNSET)
