"""The sandbox answers as OpenRouter's API reference says, and needs nothing but Python."""

import json
import re
import signal
import subprocess
import sys
import time
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest

from airflow_provider_openrouter.sandbox import INFERENCE_TOKEN, TOKEN, Sandbox

PROGRAM = [sys.executable, "-m", "airflow_provider_openrouter.sandbox"]


def ask(base_url, path, token=TOKEN):
    """Answer the status and the body of a GET."""
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    try:
        with urlopen(Request(base_url + path, headers=headers), timeout=10) as response:
            return response.status, json.load(response)
    except HTTPError as error:
        with error:
            return error.code, json.load(error)


def data(sandbox, path, **options):
    status, body = ask(sandbox.base_url, path, **options)
    assert status == 200
    return body["data"]


def hashes(sandbox, path):
    return [key["hash"] for key in data(sandbox, path)]


EVERYTHING = "/keys?include_disabled=true&include_expired=true"


def test_keys_come_in_pages_of_100_newest_first():
    with Sandbox(keys=250) as sandbox:
        pages = [data(sandbox, f"{EVERYTHING}&offset={offset}") for offset in (0, 100, 200, 300)]
    assert [len(page) for page in pages] == [100, 100, 50, 0]
    created = [key["created_at"] for page in pages for key in page]
    assert created == sorted(created, reverse=True)
    assert len({key["hash"] for page in pages for key in page}) == 250


def test_a_key_has_the_fields_of_the_api(sandbox):
    from airflow_provider_openrouter.snapshots.frame import FIELDS

    assert all(key.keys() == FIELDS.keys() for key in data(sandbox, EVERYTHING))


def test_the_account_is_the_same_at_every_start():
    with Sandbox() as one, Sandbox() as other:
        assert data(one, EVERYTHING) == data(other, EVERYTHING)


def test_disabled_and_expired_keys_are_hidden_unless_asked_for():
    with Sandbox(keys=0) as sandbox:
        plain = sandbox.create_key()
        disabled = sandbox.create_key(disabled=True)
        expired = sandbox.create_key(expires_at="2026-01-01T00:00:00Z")
        sandbox.create_key(disabled=True, expires_at="2026-01-01T00:00:00Z")
        assert hashes(sandbox, "/keys") == [plain]
        assert hashes(sandbox, "/keys?include_disabled=false&include_expired=false") == [plain]
        assert hashes(sandbox, "/keys?include_disabled=true") == [disabled, plain]
        assert hashes(sandbox, "/keys?include_expired=true") == [expired, plain]
        assert len(hashes(sandbox, EVERYTHING)) == 4


def test_without_workspace_id_only_the_default_workspace_is_listed():
    with Sandbox(keys=9, workspaces=3) as sandbox:
        ids = [workspace["id"] for workspace in data(sandbox, "/workspaces")]
        listings = [hashes(sandbox, f"{EVERYTHING}&workspace_id={id_}") for id_ in ids]
        assert [len(listing) for listing in listings] == [3, 3, 3]
        assert len(set().union(*listings)) == 9
        assert hashes(sandbox, EVERYTHING) == listings[0]


def test_one_key_is_found_by_its_hash(sandbox):
    for key in data(sandbox, EVERYTHING):
        assert data(sandbox, f"/keys/{key['hash']}") == key


@pytest.mark.parametrize(("token", "is_management_key"), [(TOKEN, True), (INFERENCE_TOKEN, False)])
def test_the_asking_key_is_told_what_it_is(sandbox, token, is_management_key):
    key = data(sandbox, "/key", token=token)
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
    with Sandbox(workspaces=3) as sandbox:
        status, body = ask(sandbox.base_url, f"/workspaces{query}")
    assert (status, body["total_count"]) == (200, 3)
    assert [workspace["slug"] for workspace in body["data"]] == slugs


def test_a_page_of_workspaces_is_100_at_most():
    with Sandbox(workspaces=101) as sandbox:
        assert len(data(sandbox, "/workspaces?limit=1000")) == 100


@pytest.mark.parametrize(
    ("path", "token", "status"),
    [
        ("/keys", None, 401),
        ("/keys", "wrong", 401),
        ("/key", "wrong", 401),
        ("/nowhere", "wrong", 401),
        ("/keys", INFERENCE_TOKEN, 403),
        ("/workspaces", INFERENCE_TOKEN, 403),
        ("/keys/f01d", TOKEN, 404),
        ("/nowhere", TOKEN, 404),
        ("/keys?offset=-1", TOKEN, 400),
        ("/keys?offset=ten", TOKEN, 400),
        ("/keys?offset=", TOKEN, 400),
        ("/keys?include_disabled=True", TOKEN, 400),
        ("/keys?include_disabled=1", TOKEN, 400),
        ("/keys?include_expired=", TOKEN, 400),
        ("/keys?workspace_id=*", TOKEN, 400),
        ("/workspaces?limit=all", TOKEN, 400),
        ("/workspaces?offset=-1", TOKEN, 400),
    ],
)
def test_an_error_says_its_code_and_a_message(sandbox, path, token, status):
    answered, body = ask(sandbox.base_url, path, token=token)
    assert answered == body["error"]["code"] == status
    assert body["error"]["message"]


def test_a_token_of_ones_own_takes_the_place_of_the_usual_one():
    with Sandbox(token="mine") as sandbox:
        assert json.loads(sandbox.connection)["password"] == "mine"
        assert ask(sandbox.base_url, "/keys", token="mine")[0] == 200
        assert ask(sandbox.base_url, "/keys", token=TOKEN)[0] == 401


def test_requests_are_remembered(sandbox):
    data(sandbox, "/keys?offset=7")
    data(sandbox, "/key")
    assert sandbox.requests == ["/api/v1/keys?offset=7", "/api/v1/key"]


def test_keys_in_force_spend_as_time_goes_by_until_nothing_is_left():
    with Sandbox(keys=0, drain=600) as sandbox:
        limited = sandbox.create_key(limit=1e6, limit_remaining=1e6, usage=1.0)
        unlimited = sandbox.create_key(limit=None, limit_remaining=None, usage=1.0)
        nearly_dry = sandbox.create_key(limit=1.0, limit_remaining=0.01)
        in_debt = sandbox.create_key(limit=1.0, limit_remaining=-0.5)
        disabled = sandbox.create_key(disabled=True, limit_remaining=5.0)
        time.sleep(0.05)
        before = {key["hash"]: key for key in data(sandbox, EVERYTHING)}
        time.sleep(0.05)
        after = {key["hash"]: key for key in data(sandbox, EVERYTHING)}

    assert after[limited]["limit_remaining"] < before[limited]["limit_remaining"] < 1e6
    for hash_ in (limited, unlimited):
        for window in ("usage", "usage_daily", "usage_weekly", "usage_monthly"):
            assert after[hash_][window] > before[hash_][window]
    assert after[unlimited]["limit_remaining"] is None
    assert after[nearly_dry]["limit_remaining"] == 0.0
    assert after[in_debt]["limit_remaining"] == -0.5
    assert after[disabled] == before[disabled]


def test_keys_are_created_updated_and_deleted_while_it_serves(sandbox):
    before = hashes(sandbox, "/keys")
    new = sandbox.create_key(name="new", disabled=False, expires_at=None)
    assert hashes(sandbox, "/keys") == [new, *before]
    sandbox.update_key(new, limit_remaining=0.5)
    assert data(sandbox, f"/keys/{new}")["limit_remaining"] == 0.5
    sandbox.delete_key(new)
    assert hashes(sandbox, "/keys") == before
    assert ask(sandbox.base_url, f"/keys/{new}")[0] == 404


@pytest.mark.parametrize("nonsense", [{"keys": -1}, {"workspaces": 0}, {"drain": -0.5}])
def test_an_account_that_cannot_be_is_refused(nonsense):
    with pytest.raises(ValueError, match="There must be"):
        Sandbox(**nonsense)


def heed_interrupts():
    """As in a shell's foreground: tests that run in its background would hand on that they heed none."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def test_as_a_program_it_prints_its_connection_serves_and_ends_when_interrupted():
    options = ["--keys", "30", "--workspaces", "2", "--token", "mine"]
    with subprocess.Popen(
        [*PROGRAM, *options], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        preexec_fn=heed_interrupts,
    ) as program:  # fmt: skip
        try:
            line = program.stdout.readline()
            found = re.fullmatch(r"export AIRFLOW_CONN_OPENROUTER_DEFAULT='(.+)'\n", line)
            connection = json.loads(found[1])
            status, body = ask(
                connection["host"],
                "/keys?include_disabled=true&include_expired=true",
                token=connection["password"],
            )
            program.send_signal(signal.SIGINT)
            out, err = program.communicate(timeout=10)
        finally:
            program.kill()
    assert (status, len(body["data"])) == (200, 15)
    assert (program.returncode, out, err) == (0, "Stopped.\n", "")


@pytest.mark.parametrize(
    "options", [["--keys", "-1"], ["--port", "99999"], ["--host", "256.0.0.1"], ["--drain", "much"]]
)
def test_as_a_program_it_says_what_is_wrong_with_its_options(options):
    program = subprocess.run([*PROGRAM, *options], capture_output=True, text=True, timeout=30)
    assert program.returncode == 2
    assert "error: " in program.stderr
    assert "Traceback" not in program.stderr


def test_importing_it_brings_in_neither_airflow_nor_pandas_nor_requests():
    code = (
        "import sys, airflow_provider_openrouter.sandbox\n"
        "print(*sorted({'airflow', 'pandas', 'requests', 'pyarrow', 'tenacity'} & sys.modules.keys()))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.split() == []
