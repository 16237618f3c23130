"""The sandbox responds as OpenRouter's API reference says."""

import json

import pytest
from support.sandboxes import make_account

from airflow_provider_openrouter.sandbox import INFERENCE_TOKEN, TOKEN
from airflow_provider_openrouter.sandbox.api import respond

EVERYTHING = "/keys?include_disabled=true&include_expired=true"


def account(keys=25, **arguments):
    return make_account(keys=keys, **arguments)


def get(account, path, token=TOKEN):
    return respond(account, f"/api/v1{path}", token and f"Bearer {token}")


def data(account, path, token=TOKEN):
    status, body = get(account, path, token)
    assert status == 200
    return body["data"]


def hashes(account, path):
    return [key["hash"] for key in data(account, path)]


def test_keys_come_in_pages_of_100_newest_first():
    made_up = account(keys=250)
    pages = [data(made_up, f"{EVERYTHING}&offset={offset}") for offset in (0, 100, 200, 300)]
    assert [len(page) for page in pages] == [100, 100, 50, 0]
    created = [key["created_at"] for page in pages for key in page]
    assert created == sorted(created, reverse=True)
    assert len({key["hash"] for page in pages for key in page}) == 250


def test_a_key_has_the_fields_of_the_api():
    from airflow_provider_openrouter.snapshots.frame import FIELDS

    assert all(key.keys() == FIELDS.keys() for key in data(account(), EVERYTHING))


def test_disabled_and_expired_keys_are_hidden_by_default():
    made_up = account(keys=0)
    plain = made_up.create_key()
    disabled = made_up.create_key(disabled=True)
    expired = made_up.create_key(expires_at="2026-01-01T00:00:00Z")
    made_up.create_key(disabled=True, expires_at="2026-01-01T00:00:00Z")
    assert hashes(made_up, "/keys") == [plain]
    assert hashes(made_up, "/keys?include_disabled=false&include_expired=false") == [plain]
    assert hashes(made_up, "/keys?include_disabled=true") == [disabled, plain]
    assert hashes(made_up, "/keys?include_expired=true") == [expired, plain]
    assert len(hashes(made_up, EVERYTHING)) == 4


def test_without_workspace_id_the_default_workspace_is_listed():
    made_up = account(keys=9, workspaces=3)
    ids = [workspace["id"] for workspace in data(made_up, "/workspaces")]
    listings = [hashes(made_up, f"{EVERYTHING}&workspace_id={id_}") for id_ in ids]
    assert [len(listing) for listing in listings] == [3, 3, 3]
    assert len(set().union(*listings)) == 9
    assert hashes(made_up, EVERYTHING) == listings[0]


def test_one_key_is_found_by_its_hash():
    made_up = account()
    for key in data(made_up, EVERYTHING):
        assert data(made_up, f"/keys/{key['hash']}") == key


def test_keys_are_created_updated_and_deleted():
    made_up = account()
    before = hashes(made_up, "/keys")
    new = made_up.create_key(name="new", disabled=False, expires_at=None)
    assert hashes(made_up, "/keys") == [new, *before]
    made_up.update_key(new, limit_remaining=0.5)
    assert data(made_up, f"/keys/{new}")["limit_remaining"] == 0.5
    made_up.delete_key(new)
    assert hashes(made_up, "/keys") == before
    assert get(made_up, f"/keys/{new}")[0] == 404


@pytest.mark.parametrize(("token", "is_management_key"), [(TOKEN, True), (INFERENCE_TOKEN, False)])
def test_the_asking_key_learns_what_it_is(token, is_management_key):
    key = data(account(), "/key", token)
    assert key["is_management_key"] is key["is_provisioning_key"] is is_management_key


@pytest.mark.parametrize(
    ("query", "slugs"),
    [
        ("", ["default", "workspace-1", "workspace-2"]),
        ("?limit=2", ["default", "workspace-1"]),
        ("?offset=1&limit=1", ["workspace-1"]),
        ("?offset=2", ["workspace-2"]),
        ("?offset=3", []),
    ],
)
def test_workspaces_come_by_offset_and_limit_with_their_total(query, slugs):
    status, body = get(account(workspaces=3), f"/workspaces{query}")
    assert (status, body["total_count"]) == (200, 3)
    assert [workspace["slug"] for workspace in body["data"]] == slugs


def test_a_page_of_workspaces_is_50_or_the_limit_up_to_100():
    made_up = account(keys=0, workspaces=101)
    pages = [data(made_up, f"/workspaces{query}") for query in ("", "?limit=100", "?limit=1", "?offset=60")]
    assert [len(page) for page in pages] == [50, 100, 1, 41]


def test_members_come_by_offset_and_limit_with_their_total():
    made_up = account()
    members = data(made_up, "/organization/members")
    assert [member["role"] for member in members] == ["org:admin", *["org:member"] * 4]
    status, body = get(made_up, "/organization/members?offset=1&limit=2")
    assert (status, body) == (200, {"data": members[1:3], "total_count": 5})


# -- what is changed


def patch(account, hash_, body):
    body = body if isinstance(body, bytes) else json.dumps(body).encode()
    return respond(account, f"/api/v1/keys/{hash_}", TOKEN, "PATCH", body)


@pytest.mark.parametrize(
    "changes",
    [
        {"name": "renamed"},
        {"disabled": True},
        {"limit": 40},
        {"limit": 0},
        {"limit": None},
        {"limit_reset": "daily"},
        {"limit_reset": None},
        {"include_byok_in_limit": True},
        {"name": "both", "limit": 12.5},
    ],
)
def test_a_key_is_changed_and_sent_back(changes):
    made_up = account()
    hash_ = made_up.create_key(limit=10.0, limit_remaining=4.0, limit_reset="weekly")
    made_up.now.set("2026-10-28 13:00")
    status, body = patch(made_up, hash_, changes | {"hash": "other", "usage": 7, "limit_remaining": 9, "new": []})
    assert status == 200
    assert body["data"] == data(made_up, f"/keys/{hash_}")
    assert body["data"] | changes == body["data"]
    assert (body["data"]["hash"], body["data"]["usage"]) == (hash_, 6.0)
    assert body["data"]["updated_at"] == "2026-10-28T13:00:00Z"


def test_a_raised_limit_leaves_more_of_it():
    made_up = account()
    hash_ = made_up.create_key(limit=10.0, limit_remaining=0.25)
    assert patch(made_up, hash_, {"limit": 15})[1]["data"]["limit_remaining"] == 5.25
    assert patch(made_up, hash_, {"limit": None})[1]["data"]["limit_remaining"] is None


def test_a_key_is_moved_to_another_workspace():
    made_up = account(keys=0, workspaces=2)
    hash_ = made_up.create_key()
    other = made_up.workspaces[1]["id"]
    assert patch(made_up, hash_, {"workspace_id": other})[1]["data"]["workspace_id"] == other
    assert hashes(made_up, EVERYTHING) == []
    assert hashes(made_up, f"{EVERYTHING}&workspace_id={other}") == [hash_]


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({}, "No update fields provided"),
        ({"usage": 1, "hash": "a"}, "No update fields provided"),
        (b"", "not valid JSON"),
        (b"{", "not valid JSON"),
        (b"\xff", "not valid JSON"),
        (b"[" * 100_000, "not valid JSON"),
        ([], "must be an object"),
        (None, "must be an object"),
        ({"name": None}, "Invalid name"),
        ({"name": ""}, "Invalid name"),
        ({"disabled": "true"}, "Invalid disabled"),
        ({"limit": "10"}, "Invalid limit"),
        ({"limit": True}, "Invalid limit"),
        ({"limit": -1}, "Invalid limit"),
        (b'{"limit": NaN}', "Invalid limit"),
        (b'{"limit": 1e999}', "Invalid limit"),
        ({"limit_reset": "yearly"}, "Invalid limit_reset"),
        ({"limit_reset": ["daily"]}, "Invalid limit_reset"),
        ({"include_byok_in_limit": 1}, "Invalid include_byok_in_limit"),
        ({"workspace_id": None}, "Invalid workspace_id"),
        ({"workspace_id": "00000000-0000-4000-8000-000000000000"}, "Invalid workspace_id"),
        ({"name": "good", "limit": "bad"}, "Invalid limit"),
    ],
)
def test_a_change_that_is_wrong_changes_nothing(body, said):
    made_up = account()
    hash_ = made_up.create_key()
    before = made_up.get_key(hash_)
    status, answered = patch(made_up, hash_, body)
    assert status == answered["error"]["code"] == 400
    assert said in answered["error"]["message"]
    assert made_up.get_key(hash_) == before


def test_a_key_that_is_not_there_cannot_be_changed():
    assert patch(account(), "f01d", {"name": "any"})[0] == 404


# -- what is refused


@pytest.mark.parametrize(
    "path", ["/keys", "/key", "/workspaces", "/credits", "/activity", "/organization/members"]
)
@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "OPTIONS"])
def test_a_method_that_a_path_does_not_take_is_refused(path, method):
    status, body = respond(account(keys=0), f"/api/v1{path}", TOKEN, method)
    assert status == body["error"]["code"] == 405


@pytest.mark.parametrize(
    ("path", "token", "status"),
    [
        ("/keys", None, 401),
        ("/keys", "wrong", 401),
        ("/key", "wrong", 401),
        ("/nowhere", "wrong", 401),
        ("/keys", INFERENCE_TOKEN, 403),
        ("/workspaces", INFERENCE_TOKEN, 403),
        ("/credits", INFERENCE_TOKEN, 403),
        ("/activity", INFERENCE_TOKEN, 403),
        ("/organization/members", INFERENCE_TOKEN, 403),
        ("/keys/f01d", TOKEN, 404),
        ("/keys/", TOKEN, 404),
        ("/nowhere", TOKEN, 404),
        ("/keys?offset=-1", TOKEN, 400),
        ("/keys?offset=ten", TOKEN, 400),
        ("/keys?offset=", TOKEN, 400),
        pytest.param(f"/keys?offset={'9' * 5000}", TOKEN, 400, id="an offset of 5000 digits"),
        ("/keys?include_disabled=True", TOKEN, 400),
        ("/keys?include_disabled=1", TOKEN, 400),
        ("/keys?include_expired=", TOKEN, 400),
        ("/keys?workspace_id=*", TOKEN, 400),
        ("/keys?offset=\u0661", TOKEN, 400),
        ("/workspaces?limit=all", TOKEN, 400),
        ("/workspaces?limit=0", TOKEN, 400),
        ("/workspaces?limit=101", TOKEN, 400),
        ("/organization/members?limit=0", TOKEN, 400),
        ("/organization/members?limit=101", TOKEN, 400),
        ("/organization/members?offset=one", TOKEN, 400),
        ("/workspaces?offset=-1", TOKEN, 400),
    ],
)
def test_an_error_has_its_code_and_a_message(path, token, status):
    returned, body = get(account(), path, token)
    assert returned == body["error"]["code"] == status
    assert body["error"]["message"]


def test_a_token_of_ones_own_replaces_the_usual_one():
    made_up = account(token="mine")
    assert get(made_up, "/keys", "mine")[0] == 200
    assert get(made_up, "/keys", TOKEN)[0] == 401
