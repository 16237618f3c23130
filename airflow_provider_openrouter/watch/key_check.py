"""What a rule found in a listing of keys, as records and as lines that a person can read."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from airflow_provider_openrouter.keys import FIELDS, Key, KeyListing
from airflow_provider_openrouter.text import count, plain
from airflow_provider_openrouter.watch import words
from airflow_provider_openrouter.watch.check import Check, Finding
from airflow_provider_openrouter.watch.expiry import Expiry
from airflow_provider_openrouter.watch.left import KeyLeft
from airflow_provider_openrouter.watch.pace import next_reset

MOST = 100
"""How many keys an event carries at most. A triggerer logs each event before it goes on."""

LONGEST = 40_000
"""
Characters of JSON that each key of an event may have: a usual key has 700.

A triggerer reads the line that it logs 4 kB at a time, between its other work. On Airflow 3.3.2 two events of 50
MB kept it for 160 seconds; after 30 it counts as dead, and another one takes over.
"""

KEPT_FIRST = FIELDS.keys() | {
    "observed_at",
    "workspace_name",
    "reason",
    "threshold",
    "next_reset_at",
    "pace_usd_per_day",
    "runs_dry_at",
}

SHOWN = 20
"""How many low keys the log names."""

SHOWN_HASHES = 5
"""How many hashes a line names."""


@dataclass(frozen=True, kw_only=True)
class LimitCheck(Check[KeyLeft]):
    """
    What a rule found in a listing of keys.

    :param expiry: the time within which keys expire that are low, too, if there is one.
    :param selection: by what the rule selects keys, in words; nothing if it selects all.
    :param listing: the keys.
    :param not_measurable: how many selected keys have no limit to compare with.
    :param missing: the hashes that the rule names and the listing lacks.
    """

    expiry: Expiry | None
    selection: str
    listing: KeyListing
    not_measurable: int
    missing: list[str]

    def _sent(self, left: KeyLeft) -> Key:
        name = self.listing.workspace_name(left.key)
        reset = next_reset(left.key.get("limit_reset"), self.observed_at)
        return {
            **({} if name is None else {"workspace_name": name}),
            **left.key,
            "next_reset_at": reset and reset.isoformat(),
        }

    def event(self, found: Sequence[Finding[KeyLeft]]) -> dict[str, Any]:
        """Return the records of the lowest of some low keys, how many they are, and how many are low in all."""
        return {
            "keys": [shorten(self.record(finding)) for finding in found[:MOST]],
            "total": len(found),
            "low_count": len(self.low),
        }

    def count(self, found: Sequence[Finding[KeyLeft]]) -> str:
        """Return the number of keys."""
        return count(len(found), "key")

    @property
    def watched_count(self) -> int:
        """How many keys the rule watches: if it has an expiry, those without a limit as well."""
        return len(self.watched) + (self.not_measurable if self.expiry else 0)

    @property
    def is_unwatched(self) -> bool:
        """Whether the rule watches no key, or names one that is not listed."""
        return bool(self.missing) or self.is_blind

    @property
    def warning(self) -> str:
        """The warning about keys that cannot be watched, with the remedy."""
        if self.missing:
            return (
                f"key_hashes names keys that are not listed: {name_hashes(self.missing)}. They may be deleted, "
                "disabled, expired, or in another workspace."
            )
        limit = "" if self.expiry else " with a limit"
        return (
            f"No key is watched: no active key{limit} matches {self.selection or 'the rule'}. Check "
            "key_hashes, name_pattern, include_disabled and workspace_id."
        )

    def report(self, log: Any) -> None:
        """Log what was found, each low key in a line of its own, and warn if a key cannot be watched."""
        rest = f" ({self.not_measurable:,} more not measurable)" if self.not_measurable else ""
        expiring = sum(finding.criterion is self.expiry for finding in self.low)
        soon = f", {expiring:,} expiring within {self.expiry.argument}" if self.expiry else ""
        watched, low = count(len(self.watched), "key"), f"{len(self.low) - expiring:,}"
        log.info("%s watched%s, %s %s%s", watched, rest, low, self.thresholds[0].condition, soon)
        for finding in self.low[:SHOWN]:
            log.info("%s", self._describe(finding))
        if len(self.low) > SHOWN:
            log.info("and %s more", f"{len(self.low) - SHOWN:,}")
        if self.watched and not self.low:
            log.info("Lowest: %s", self._describe(Finding(self.watched[0], self.thresholds[0])))
        if self.is_unwatched:
            log.warning(self.warning)

    def _describe(self, finding: Finding[KeyLeft]) -> str:
        return words.describe(self.whole(finding))


def name_hashes(hashes: list[str]) -> str:
    """Return hashes as part of a line: the first few, and how many more there are."""
    more = len(hashes) - SHOWN_HASHES
    return ", ".join(map(plain, hashes[:SHOWN_HASHES])) + (f" and {more:,} more" if more > 0 else "")


def shorten(key: Key) -> Key:
    """Return the fields of a key that an event has room for, known and short ones first; count those left out."""
    if len(json.dumps(key)) <= LONGEST:
        return key
    sizes = {name: len(json.dumps({name: value})) for name, value in key.items()}
    kept, room = set(), LONGEST
    for name in sorted(sizes, key=lambda name: (name not in KEPT_FIRST, sizes[name])):
        if sizes[name] <= room:
            kept.add(name)
            room -= sizes[name]
    return {name: key[name] for name in key if name in kept} | {"fields_left_out": len(key) - len(kept)}
