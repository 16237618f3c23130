"""What all of this has left behind. Its tests come after all others."""

import hunt
import pytest
from redis import Redis
from scenes import EXAMPLES, FERNET_KEY, TOKEN, ends
from sqlalchemy import text

pytestmark = pytest.mark.timeout(900)

SCENARIOS = {
    "alerts_credits",
    "alerts_flaky",
    "alerts_steps",
    "alerts_stored",
    "asks",
    "changes",
    "keeps_flaky",
    "keeps_slow",
    "waits_flaky",
    "waits_stored",
}
"""The DAGs of the other tests that succeed."""


def test_no_failure_made_an_alert_come_twice(cluster):
    assert cluster.run_states("openrouter_key_low_event") == ["success"]


def test_the_management_key_is_written_only_encrypted(cluster):
    places = list(hunt.places(cluster))
    assert hunt.found(TOKEN, places) == {}
    encrypted = hunt.decrypted(FERNET_KEY, cluster.dump())
    assert [each for each in encrypted if TOKEN in each] == [TOKEN]

    ran = {dag_id for (dag_id,) in cluster.query("select dag_id from dag_run where state = 'success'")}
    assert ran >= SCENARIOS | {path.stem for path in EXAMPLES}, "The hunt must come after the other tests."


def test_the_hunt_finds_a_secret_that_leaks(cluster, warehouse):
    secret = "sk-or-v1-a/secret+that=leaks"
    cluster.trigger("leaks", secret=secret)
    ends(cluster, "leaks")
    Redis.from_url(cluster.redis).set("leaked", secret)
    with warehouse.begin() as database:
        database.execute(text("create table leaked as select :secret as secret"), {"secret": secret})

    found = hunt.found(secret, list(hunt.places(cluster)))
    assert found.keys() == hunt.disguises(secret).keys()
    [log] = (cluster.home / "logs").glob("dag_id=leaks/*/*/*.log")
    name = log.relative_to(cluster.home).as_posix()
    assert all(name in places for places in found.values())
    plain = found["plain"]
    assert {"metadata database", "warehouse", name} <= plain
    assert {name.partition("/")[0] for name in plain} >= {"logs", "redis", "xcoms"}
