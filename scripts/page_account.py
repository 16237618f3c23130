"""A sandbox's account that is worth a look: a month of activity, and keys that are about to stop working."""

from __future__ import annotations

from datetime import timedelta

from airflow_provider_openrouter.keys import LimitedKey
from airflow_provider_openrouter.sandbox import Sandbox
from airflow_provider_openrouter.watch.pace import forecast

LIMIT = 200.0
WORKSPACES = ("Default", "Product", "Internal")
LASTS = {
    "support-dev-59": 0.0,
    "chatbot-prod-57": 0.6,
    "billing-dev-56": 1.9,
    "search-dev-44": 2.7,
    "chatbot-dev-29": 9.0,
}
"""For how many days keys last at their pace."""

EXPIRES = {"billing-staging-28": 2, "research-dev-53": 5}
"""In how many days keys expire."""


def interesting_account() -> Sandbox:
    """Return a sandbox with 60 keys in 3 workspaces, some of them low, out of limit, disabled or expiring."""
    sandbox = Sandbox(keys=60, workspaces=len(WORKSPACES), balance=1_500)
    for workspace, name in zip(sandbox.workspaces, WORKSPACES, strict=True):
        workspace["name"] = name
    everything = {"include_disabled": True, "include_expired": True, "offset": 0, "limit": 100}
    workspaces = [workspace["id"] for workspace in sandbox.workspaces]
    keys = {key["name"]: key for id_ in workspaces for key in sandbox.list_keys(id_, **everything)}
    now = sandbox.now()
    for name, days in LASTS.items():
        left = days * forecast(LimitedKey(keys[name], 0.0, LIMIT), now).pace
        sandbox.update_key(keys[name]["hash"], limit=LIMIT, limit_reset=None, usage=LIMIT - left)
    for name, days in EXPIRES.items():
        sandbox.update_key(keys[name]["hash"], expires_at=(now + timedelta(days=days)).isoformat())
    return sandbox
