"""How the API shows what the account is made of."""

from __future__ import annotations

import uuid
from datetime import UTC, date, datetime, timedelta
from typing import NamedTuple

from airflow_provider_openrouter.sandbox.made_up import Key, Record, used_key
from airflow_provider_openrouter.sandbox.spend import first_day, is_amount, nano, usd

WINDOWS = {"": None, "_daily": "daily", "_weekly": "weekly", "_monthly": "monthly"}
RECORDED_SINCE = datetime(2026, 1, 1, tzinfo=UTC)
"""The API knows no last use before this."""


class Model(NamedTuple):
    """A model at a provider; prices are billionths of a dollar for a token, the rest percentages."""

    slug: str
    permaslug: str
    provider: str
    prompt_price: int
    completion_price: int
    reasoning: int
    cached: int

    @property
    def endpoint_id(self) -> str:
        """Return the id of the endpoint."""
        return str(uuid.uuid5(uuid.NAMESPACE_URL, f"openrouter-sandbox/{self.permaslug}/{self.provider}"))


MODELS = (
    Model("openai/gpt-4.1", "openai/gpt-4.1-2025-04-14", "OpenAI", 2_000, 8_000, 0, 40),
    Model("openai/gpt-4.1", "openai/gpt-4.1-2025-04-14", "Azure", 2_000, 8_000, 0, 0),
    Model(
        "anthropic/claude-sonnet-4.5", "anthropic/claude-4.5-sonnet-20250929", "Anthropic", 3_000, 15_000, 20, 105
    ),
    Model("google/gemini-2.5-flash", "google/gemini-2.5-flash", "Google", 300, 2_500, 35, 25),
    Model("openai/gpt-5-mini", "openai/gpt-5-mini-2025-08-07", "OpenAI", 250, 2_000, 55, 30),
    Model("deepseek/deepseek-r1", "deepseek/deepseek-r1", "DeepInfra", 550, 2_190, 70, 0),
)


def remaining(key: Key, today: date) -> int | None:
    """Return what is left of a key's limit, None if it has none."""
    limit = key.fields["limit"]
    if not is_amount(limit):
        return None
    usage, byok = key.spend.since(first_day(key.fields["limit_reset"], today))
    return nano(limit) - usage - (byok if key.fields["include_byok_in_limit"] else 0)


def show_key(key: Key, today: date) -> Record:
    """Return a key as it is on a day; what was set by hand is shown as it was set."""
    left = remaining(key, today)
    used_at = key.spend.last_used_at
    record: Record = {
        "limit_remaining": None if left is None else usd(left),
        "last_used_at": used_at.isoformat() if used_at and used_at >= RECORDED_SINCE else None,
    }
    for suffix, window in WINDOWS.items():
        usage, byok = key.spend.since(first_day(window, today))
        record |= {f"usage{suffix}": usd(usage), f"byok_usage{suffix}": usd(byok)}
    # The key's own fields come first, and what was set by hand counts.
    return key.fields | record | key.fields


def make_key(number: int, workspace_id: str) -> Record:
    """Return a key of an account at a moment that is always the same."""
    now = datetime(2026, 10, 28, 12, tzinfo=UTC)
    created_at = now - timedelta(days=500) + timedelta(minutes=5 * number)
    return show_key(used_key(number, workspace_id, created_at, now), now.date())


def show_current_key(*, is_management_key: bool, creator_user_id: str, workspace_id: str) -> Record:
    """Return the key that asks. It has no limit and has spent nothing."""
    return {
        "label": "sk-or-v1-san...key",
        "limit": None,
        "limit_remaining": None,
        "limit_reset": None,
        "include_byok_in_limit": False,
        **{f"{kind}{suffix}": 0 for kind in ("usage", "byok_usage") for suffix in WINDOWS},
        "is_free_tier": False,
        "is_management_key": is_management_key,
        "is_provisioning_key": is_management_key,
        "creator_user_id": creator_user_id,
        "organization_id": "org_sandbox",
        "workspace_id": workspace_id,
        "expires_at": None,
        "allowed_data_regions": ["global"],
        "free_model_daily_requests": {"limit": 1000, "used": 0, "remaining": 1000},
        "rate_limit": {"requests": -1, "interval": "10s", "note": "This field is deprecated and safe to ignore."},
        "budgets": [],
        "effective_budget": None,
    }


def show_activity(
    keys: list[Key], days: list[date], *, workspace_id: str | None, by_workspace: bool
) -> list[Record]:
    """Return what keys spent on each of these days, by model, provider and endpoint."""
    rows: dict[tuple[date, int, str | None], list[int]] = {}
    for day in days:
        for key in keys:
            usage, byok = key.spend.on(day)
            workspace = key.workspace_on(day)
            if usage + byok <= 0 or (workspace_id and workspace != workspace_id):
                continue
            first, second = key.number % len(MODELS), (key.number * 5 + 2) % len(MODELS)
            most, most_byok = usage * 7 // 10, byok * 7 // 10
            for model, parts in ((first, (most, most_byok)), (second, (usage - most, byok - most_byok))):
                row = rows.setdefault((day, model, workspace if by_workspace else None), [0] * 7)
                row[:] = map(sum, zip(row, _counts(MODELS[model], *parts), strict=True))
    return [_activity_row(*group, *counts) for group, counts in rows.items()]


def _counts(model: Model, usage: int, byok: int) -> tuple[int, ...]:
    """Return amounts, requests and tokens: three fifths of the costs are the prompt's."""
    prompt = (usage + byok) * 3 // 5 // model.prompt_price
    completion = (usage + byok) * 2 // 5 // model.completion_price
    reasoning, cached = completion * model.reasoning // 100, prompt * model.cached // 100
    return usage, byok, 1 + prompt // 2_000, prompt, completion, reasoning, cached


def _activity_row(
    day: date, number: int, workspace_id: str | None, usage: int, byok: int, *counts: int
) -> Record:
    model = MODELS[number]
    row: Record = {
        "date": day.isoformat(),
        "model": model.slug,
        "model_permaslug": model.permaslug,
        "endpoint_id": model.endpoint_id,
        "provider_name": model.provider,
        "usage": usd(usage),
        "byok_usage_inference": usd(byok),
    }
    names = ("requests", "prompt_tokens", "completion_tokens", "reasoning_tokens", "cached_tokens")
    row |= dict(zip(names, counts, strict=True))
    return row | {"workspace_id": workspace_id} if workspace_id else row
