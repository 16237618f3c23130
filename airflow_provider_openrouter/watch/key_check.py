"""What a rule found in a listing of keys, as records and as lines that a person can read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from airflow_provider_openrouter.keys import Key, KeyListing, LimitedKey, read_text
from airflow_provider_openrouter.text import count, plain, usd
from airflow_provider_openrouter.watch.check import Check
from airflow_provider_openrouter.watch.events import shorten
from airflow_provider_openrouter.watch.pace import next_reset

SHOWN = 20
"""How many low keys the log names."""

SHOWN_HASHES = 5
"""How many hashes a line names."""


@dataclass(frozen=True, kw_only=True)
class LimitCheck(Check[LimitedKey]):
    """
    What a rule found in a listing of keys.

    :param selection: by what the rule selects keys, in words; nothing if it selects all.
    :param listing: the keys.
    :param not_measurable: how many selected keys have no limit to compare with.
    :param missing: the hashes that the rule names and the listing lacks.
    """

    selection: str
    listing: KeyListing
    not_measurable: int
    missing: list[str]

    def _sent(self, left: LimitedKey) -> Key:
        name = self.listing.workspace_name(left.key)
        return ({} if name is None else {"workspace_name": name}) | left.key

    def event(self, found: Sequence[LimitedKey]) -> dict[str, Any]:
        """Return the records of some low keys."""
        return {"keys": shorten(list(map(self.record, found))), "low_count": len(self.low)}

    def count(self, found: Sequence[LimitedKey]) -> str:
        """Return the number of keys."""
        return count(len(found), "key")

    @property
    def is_unwatched(self) -> bool:
        """Whether the rule watches no key, or names one that is not listed."""
        return bool(self.missing) or not self.watched

    @property
    def warning(self) -> str:
        """The warning about keys that cannot be watched, with the remedy."""
        if self.missing:
            return (
                f"key_hashes names keys that are not listed: {name_hashes(self.missing)}. They may be deleted, "
                "disabled, expired, or in another workspace."
            )
        return (
            f"No key is watched: no active key with a limit matches {self.selection or 'the rule'}. Check "
            "key_hashes, name_pattern, include_disabled and workspace_id."
        )

    def report(self, log: Any) -> None:
        """Log what was found, each low key in a line of its own, and warn if a key cannot be watched."""
        rest = f" ({self.not_measurable:,} more not measurable)" if self.not_measurable else ""
        watched = count(len(self.watched), "key")
        log.info("%s watched%s, %s below %s", watched, rest, f"{len(self.low):,}", self.threshold)
        for key in self.low[:SHOWN]:
            log.info("%s", self._describe(key))
        if len(self.low) > SHOWN:
            log.info("and %s more below", f"{len(self.low) - SHOWN:,}")
        if self.watched and not self.low:
            log.info("Lowest: %s", self._describe(self.watched[0]))
        if self.is_unwatched:
            log.warning(self.warning)

    def _describe(self, limited: LimitedKey) -> str:
        key = limited.key
        names = (plain(read_text(key.get(field))) for field in ("name", "label", "hash"))
        name = next(filter(None, names), "A key without a name")
        workspace_name = plain(self.listing.workspace_name(key))
        workspace = f" ({workspace_name})" if workspace_name else ""
        digits = self.threshold.digits_of(limited)
        limit = "" if limited.limit is None else f" of {usd(limited.limit, digits=digits)}"
        reset = _describe_reset(read_text(key.get("limit_reset")), self.listing.observed_at)
        return f"{name}{workspace} has {usd(limited.remaining, digits=digits)}{limit} left, {reset}"


def name_hashes(hashes: list[str]) -> str:
    """Return hashes as part of a line: the first few, and how many more there are."""
    more = len(hashes) - SHOWN_HASHES
    return ", ".join(map(plain, hashes[:SHOWN_HASHES])) + (f" and {more:,} more" if more > 0 else "")


def _describe_reset(limit_reset: str | None, now: datetime) -> str:
    if limit_reset is None:
        return "never resets"
    after = next_reset(limit_reset, now)
    return f"resets {plain(limit_reset)}" + (f", next on {after.date()} at 00:00 UTC" if after else "")
