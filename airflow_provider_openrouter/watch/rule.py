"""
Which keys a rule watches, and which of them are low. Pure: no clock, no network, no Airflow but its errors.

The facts about limits are from OpenRouter's API reference
(https://openrouter.ai/docs/api-reference/api-keys/list) and its guide to limits
(https://openrouter.ai/docs/api-reference/limits), both of 2026. What remains is taken as the API sends it:
``usage`` is lifetime, so ``limit - usage`` is not what remains.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator
from fnmatch import fnmatchcase
from typing import Any

from airflow_provider_openrouter.arguments import read_span, require_flag
from airflow_provider_openrouter.exceptions import OpenRouterRequestError
from airflow_provider_openrouter.keys import Key, KeyListing, read_text, refuse_key
from airflow_provider_openrouter.text import plain
from airflow_provider_openrouter.watch.check import Finding, Rule, find_low
from airflow_provider_openrouter.watch.expiry import Expiry
from airflow_provider_openrouter.watch.key_check import LimitCheck, name_hashes
from airflow_provider_openrouter.watch.left import KeyLeft, KeysLeft
from airflow_provider_openrouter.watch.threshold import Threshold, TimeThreshold, read_steps

_RENDERED = frozenset("[({'\"")
"""What is in text that a template has made of a list, but in no hash."""


class LimitRule(Rule[KeyListing]):
    """
    Says which keys are watched, and how little may remain of them before they are low.

    It watches active keys (with ``include_disabled`` disabled ones, too) that the rule selects and whose
    ``limit_remaining`` is a known amount; for a percentage their ``limit`` must be above 0. Below is strict. What
    remains may be negative, as requests in flight are charged when they finish: such a key is always low.

    :param threshold: an amount of USD, a percentage of the key's own limit such as ``"10%"``, or a time such as
        ``"3 days"`` within which the key runs dry at its pace and before its next reset.
    :param key_hashes: the hashes of the keys to watch, None for every key; text is split at commas and white
        space.
    :param name_pattern: a shell-style pattern (``*``, ``?``, ``[…]``), case-sensitive, that the name must match.
    :param include_disabled: whether to watch disabled keys too.
    :param fail_if_unwatched: whether it is an error, and not a warning, that no key is watched or a hash is not
        listed.
    :param expires_within: a time such as ``"7 days"``: keys that expire within it are low, too, with a limit or
        without. None for no such keys.
    :param has_steps: whether ``threshold`` may be a list.
    :raises OpenRouterRequestError: if one of them makes no sense.
    """

    def __init__(
        self,
        *,
        threshold: Any,
        key_hashes: Any = None,
        name_pattern: Any = None,
        include_disabled: Any = False,
        fail_if_unwatched: Any = False,
        expires_within: Any = None,
        has_steps: bool = False,
    ) -> None:
        self.thresholds = read_steps(threshold) if has_steps else (Threshold.read(threshold),)
        self.key_hashes = _read_hashes(key_hashes)
        self._hashes = None if self.key_hashes is None else frozenset(self.key_hashes)
        self.name_pattern = _read_pattern(name_pattern)
        self.include_disabled = require_flag("include_disabled", include_disabled)
        self.fail_if_unwatched = require_flag("fail_if_unwatched", fail_if_unwatched)
        self.expiry = None if expires_within is None else Expiry(read_span("expires_within", expires_within))

    @property
    def arguments(self) -> dict[str, Any]:
        """The arguments as JSON; equal rules have equal arguments."""
        steps = [step.argument for step in self.thresholds]
        return {
            "threshold": steps if len(steps) > 1 else steps[0],
            "key_hashes": self.key_hashes,
            "name_pattern": self.name_pattern,
            "include_disabled": self.include_disabled,
            "fail_if_unwatched": self.fail_if_unwatched,
            # Last, and only if there is one: it is part of what identifies event triggers and their state.
            **({"expires_within": self.expiry.argument} if self.expiry else {}),
        }

    @property
    def view(self) -> Hashable:
        """By what keys are sorted beside what remains."""
        by_expiry = self.expiry is not None
        return (self._by_runway, by_expiry) if self._by_runway or by_expiry else None

    def prepare(self, listing: KeyListing) -> None:
        """Sort the keys of a listing."""
        keys = KeysLeft.of(listing, include_disabled=self.include_disabled)
        len(keys.by_runway if self._by_runway else ())
        len(keys.by_expiry if self.expiry else ())

    def check(self, listing: KeyListing) -> LimitCheck:
        """
        Compare every key of a listing with the rule.

        :param listing: the keys.
        :raises OpenRouterRequestError: with ``fail_if_unwatched``, if no key is watched or a hash is not listed.
        """
        widest = self.thresholds[0]
        keys = KeysLeft.of(listing, include_disabled=self.include_disabled)
        limited = self._select(keys.by_runway if self._by_runway else keys.by_remaining)
        watched = [left for left in limited if widest.measures(left)]
        low: list[Finding[KeyLeft]] = find_low(self.thresholds, watched)
        if self.expiry:
            near = self.expiry.find_near(self._select(keys.by_expiry))
            low += [Finding(left, self.expiry) for left in near]
        check = LimitCheck(
            observed_at=listing.observed_at,
            thresholds=self.thresholds,
            expiry=self.expiry,
            selection=self._selection,
            listing=listing,
            watched=watched,
            low=low,
            not_measurable=len(limited) - len(watched) + len(self._select(keys.unlimited)),
            missing=[hash_ for hash_ in self.key_hashes or () if hash_ not in listing.hashes],
        )
        if self.fail_if_unwatched and check.is_unwatched:
            raise OpenRouterRequestError(check.warning)
        return check

    @property
    def _by_runway(self) -> bool:
        return isinstance(self.thresholds[0], TimeThreshold)

    @property
    def _selection(self) -> str:
        hashes = [] if self.key_hashes is None else [f"key_hashes {name_hashes(self.key_hashes) or '(empty)'}"]
        pattern = [] if self.name_pattern is None else [f"name_pattern {plain(self.name_pattern)!r}"]
        return " and ".join(hashes + pattern)

    def __str__(self) -> str:
        steps = f" in {len(self.thresholds)} steps" if len(self.thresholds) > 1 else ""
        expiring = f" or expiring within {self.expiry.argument}" if self.expiry else ""
        selection = f" with {self._selection}" if self._selection else ""
        return f"keys {self.thresholds[0].condition}{steps}{expiring}{selection}"

    def _select(self, lefts: list[KeyLeft]) -> list[KeyLeft]:
        if self._hashes is None and self.name_pattern is None:
            return lefts
        return [left for left in lefts if self._selects(left.key)]

    def _selects(self, key: Key) -> bool:
        if self._hashes is not None and key["hash"] not in self._hashes:
            return False
        return self.name_pattern is None or fnmatchcase(read_text(key.get("name")) or "", self.name_pattern)


def _read_hashes(value: Any) -> list[str] | None:
    if value is None:
        return None
    hashes = value.replace(",", " ").split() if isinstance(value, str) else value
    if not isinstance(hashes, Iterable) or isinstance(hashes, dict | Iterator):
        raise OpenRouterRequestError(f"key_hashes must be a list of the keys' hashes, not {value!r}.")
    hashes = list(hashes)
    for hash_ in hashes:
        refuse_key(hash_)
    if not all(isinstance(hash_, str) and hash_ and _RENDERED.isdisjoint(hash_) for hash_ in hashes):
        raise OpenRouterRequestError(
            f"key_hashes must be a list of the keys' hashes, not {value!r}. A template that makes a list needs "
            "render_template_as_native_obj=True on the DAG."
        )
    return sorted(set(hashes))


def _read_pattern(value: Any) -> str | None:
    if value is not None and not isinstance(value, str):
        raise OpenRouterRequestError(f"name_pattern must be text such as 'billing-*', not {value!r}.")
    return value or None
