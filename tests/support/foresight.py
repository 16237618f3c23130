"""How a rule foresees that the simulated keys run dry, at each poll of a year, and how right it is."""

from collections import Counter
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta

import numpy as np
from support.spenders import (
    A_DAY,
    BEGIN,
    DAY_OF,
    FIRST,
    STEP,
    TIMES,
    WINDOWS,
    WRITTEN,
    Era,
    Spender,
    spenders,
)

from airflow_provider_openrouter.keys import LimitedKey
from airflow_provider_openrouter.watch.pace import Forecast, forecast

HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
THRESHOLDS = {
    "daily": (6 * HOUR, 12 * HOUR),
    "weekly": (12 * HOUR, DAY, 3 * DAY),
    "monthly": (DAY, 3 * DAY, 7 * DAY),
    None: (DAY, 3 * DAY, 7 * DAY),
}
REARM_MARGIN = 0.5
"""Of the threshold."""

Rule = Callable[[LimitedKey, datetime], Forecast]


def naive(key: LimitedKey, at: datetime) -> Forecast:
    """Divide what remains by today's usage."""
    today = key.key["usage_daily"]
    if key.remaining <= 0:
        return Forecast(today, None, at)
    days = key.remaining / today if today else 1e9
    return Forecast(today, None, at + timedelta(days=days) if days < 1e5 else None)


def observe(spender: Spender, every: int) -> Iterator[tuple[int, LimitedKey]]:
    """Yield what the API shows at each poll, the same dict again and again."""
    created_at = (BEGIN + spender.born * STEP).isoformat()
    key = {"limit": spender.limit, "limit_reset": spender.limit_reset, "created_at": created_at}
    shown = np.maximum(np.arange(spender.end + 1) - spender.kind.lag, max(spender.born, 0))
    windows = {
        f"usage_{name}": (spender.spent[shown] - spender.spent[began[shown]]).tolist()
        for name, began in WINDOWS.items()
    }
    usage = (spender.before + spender.spent[shown]).tolist()
    remaining = (spender.limit - spender.spent[shown] + spender.spent[spender.begins[shown]]).tolist()
    last_used = spender.last_used[shown].tolist()
    for step in range(max(FIRST, spender.born + 1), spender.end + 1, every):
        for name, amounts in windows.items():
            key[name] = amounts[step]
        key["usage"] = usage[step]
        if spender.kind.tells_last_use:
            key["last_used_at"] = WRITTEN[last_used[step]] if last_used[step] else None
        key["limit_remaining"] = remaining[step]
        yield step, LimitedKey(key, remaining[step], spender.limit)


def reports(spender: Spender, every: int, rule: Rule) -> dict[timedelta, list[tuple[int, int]]]:
    """Return for each threshold when the key is reported and when that ends: one step after the other."""
    thresholds = [(threshold, threshold * (1 + REARM_MARGIN)) for threshold in THRESHOLDS[spender.limit_reset]]
    found: dict[timedelta, list[tuple[int, int]]] = {threshold: [] for threshold, _ in thresholds}
    since = dict.fromkeys(found, -1)
    before = spender.limit
    for step, key in observe(spender, every):
        at = TIMES[step]
        said = rule(key, at)
        dry = said.runs_dry_at
        for threshold, clear in thresholds:
            if said.runs_dry_within(threshold, at):
                if since[threshold] < 0:
                    since[threshold] = step
            elif since[threshold] >= 0 and (key.remaining > before or dry is None or dry - at > clear):
                found[threshold].append((since[threshold], step))
                since[threshold] = -1
        before = key.remaining
    for threshold, begun in since.items():
        if begun >= 0:
            found[threshold].append((begun, spender.end + 1))
    return found


def implied(spender: Spender, era: Era, threshold: timedelta, every: int) -> int | None:
    """Return the first poll at which today's spend, over at least six hours, would drain the key in time."""
    polls = np.arange(max(FIRST, spender.born + 1), era.dry, every)
    polls = polls[polls > era.begin]
    pace = (spender.spent[polls] - spender.spent[DAY_OF[polls]]) / np.maximum(polls - DAY_OF[polls], A_DAY // 4)
    left = spender.limit - spender.spent[polls] + spender.spent[era.begin]
    until = np.full(len(polls), threshold / STEP)
    if spender.limit_reset is not None:
        until = np.minimum(until, era.end - polls)
    return next(iter(polls[left < pace * until].tolist()), None)


def judge(spender: Spender, threshold: timedelta, reported: list[tuple[int, int]], every: int) -> Counter:
    """
    Count the drains of the year and the reports.

    A report says that the key runs dry within the threshold and before its next reset. It is false if the key,
    neither reset nor topped up, would have lasted longer than that by more than half of the threshold. The lead
    of a drain counts from its report, or from the last reset; it is judged where half of the threshold lies
    between that reset and the drain.
    """
    half = threshold / STEP / 2
    resets = {era.begin: era.end for era in spender.eras if spender.limit_reset is not None}
    counts: Counter = Counter()
    for era in spender.eras:
        if era.dry is None or era.dry <= FIRST or (era.begin < FIRST and spender.born < 0):
            continue
        counts["drains"] += 1
        standing = next((max(begun, era.begin) for begun, end in reported if begun < era.dry <= end), None)
        counts["reported"] += standing is not None
        if era.dry - era.begin >= half:
            counts["judged"] += 1
            counts["in time"] += standing is not None and era.dry - standing >= half
        if (step := implied(spender, era, threshold, every)) is not None:
            counts["implied"] += 1
            counts["at once"] += any(begun <= step < end for begun, end in reported)
    for begun, _ in reported:
        if spender.left(begun) <= 0:
            continue
        reset = resets.get(int(spender.begins[begun]), np.inf)
        last = min(begun + 2 * half, reset)
        dry = spender.would_run_dry(begun)
        counts["reports"] += 1
        counts["false"] += dry > last + half and last + half <= spender.end
        counts["reset first"] += dry > reset
    return counts


def measure(
    kind: str, limit_reset: str | None, keys: int, every: int, rule: Rule = forecast
) -> dict[timedelta, Counter]:
    """
    Return the counts of a class for each threshold.

    :param keys: how many keys.
    :param every: how many steps lie between two polls.
    """
    counts = {threshold: Counter() for threshold in THRESHOLDS[limit_reset]}
    for number in range(keys):
        for spender in spenders(kind, limit_reset, number):
            for threshold, reported in reports(spender, every, rule).items():
                counts[threshold] += judge(spender, threshold, reported, every)
    return counts
