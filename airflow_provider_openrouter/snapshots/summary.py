"""A listing in a few lines that a person can read."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pandas as pd

from airflow_provider_openrouter.watch.rule import MOST

LOWEST = 5


def summarize(frame: pd.DataFrame, *, observed_at: datetime, workspace: str) -> dict[str, Any]:
    """
    Count the keys, add up their spend (USD, in the API's calendar windows of UTC), and name the lowest.

    A key is never used if it has neither spend nor a ``last_used_at``. Among the lowest are only keys in
    force, that is neither disabled nor expired, with a limit.

    :param frame: the known columns of :func:`~airflow_provider_openrouter.snapshots.frame.keys_frame`.
    :param observed_at: when the keys were listed.
    :param workspace: whose keys they are, in words.
    """
    disabled = frame["disabled"].fillna(False).astype(bool)
    expired = frame["expires_at"] <= pd.Timestamp(observed_at)
    spend = frame["usage"].fillna(0) + frame["byok_usage"].fillna(0)
    limited = frame["limit_remaining"].notna()
    lowest = frame[limited & ~disabled & ~expired].nsmallest(LOWEST, "limit_remaining")
    return {
        "observed_at": observed_at.isoformat(),
        "workspace": workspace,
        "keys": len(frame),
        "disabled": int(disabled.sum()),
        "expired": int(expired.sum()),
        "unlimited": int(frame["limit"].isna().sum()),
        "never_used": int(((spend == 0) & frame["last_used_at"].isna()).sum()),
        **{
            window: round(float(frame[window][frame[window].abs() < MOST].sum()), 6)
            for window in ("usage", "usage_daily", "usage_weekly", "usage_monthly")
        },
        "lowest": [
            {name: None if pd.isna(value) else value for name, value in row.items()}
            for row in lowest[["name", "label", "limit_remaining", "limit"]].to_dict("records")
        ],
    }
