"""Sensors that wait for OpenRouter's keys, or for the account's credits, to be low."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow_provider_openrouter.arguments import is_literal
from airflow_provider_openrouter.exceptions import OpenRouterError
from airflow_provider_openrouter.hooks.openrouter import OpenRouterHook
from airflow_provider_openrouter.keys import Key
from airflow_provider_openrouter.scope import WorkspaceScope
from airflow_provider_openrouter.sensors.base import DEFERRABLE, WaitSensor
from airflow_provider_openrouter.text import count
from airflow_provider_openrouter.triggers.openrouter import OpenRouterCreditsTrigger, OpenRouterKeyLimitTrigger
from airflow_provider_openrouter.watch.account_rule import AccountRule
from airflow_provider_openrouter.watch.account_source import AccountSource
from airflow_provider_openrouter.watch.check import Check
from airflow_provider_openrouter.watch.events import read_account, read_keys
from airflow_provider_openrouter.watch.rule import LimitRule
from airflow_provider_openrouter.watch.sources import KeySource, Stop, get_client

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context


class OpenRouterKeyLimitSensor(WaitSensor):
    """
    Waits until less than the threshold remains of any watched key, and returns the low keys, the lowest first.

    It watches the active keys (neither disabled nor expired) with a limit that the other arguments select. What
    remains is ``limit_remaining``, as the API sends it. A low key is the API's own dict, with ``observed_at``
    (ISO 8601, UTC), ``reason`` (``limit``, ``runway`` or ``expiry``), ``threshold``, ``next_reset_at`` and, for a
    threshold in time, ``pace_usd_per_day`` and ``runs_dry_at`` added, and with ``workspace_name`` where that was
    read. A key that is low and expires is returned once for each reason.

    After a temporary error the wait goes on, with a warning; if the server asks to wait, there is no poll before
    that. A permanent error ends the task without task retries.

    A refused key (401, 403), or a missing connection, ends the try at the first poke, and task retries apply.
    Once the wait has listed, it goes on for an hour of this, with pauses that grow to ten minutes: OpenRouter may
    have an outage, or the key may be about to be replaced. In ``reschedule`` mode each poke is a process of its
    own, and ends the try: set ``retries`` and ``retry_delay`` to more than an hour together.

    All else, such as the result, ``timeout`` and ``retries``, is the same in all modes; ``execution_timeout``
    ends a deferred wait too. Airflow itself treats some things differently: after a timeout ``never_fail`` skips
    only a deferred task, ``exponential_backoff`` and ``max_wait`` serve ``poke`` and ``reschedule`` only, and
    with ``silent_fail`` a refused key ends only a deferred wait.

    :param threshold: USD such as ``5``, or a percentage of the key's own limit such as ``"10%"``: what remains
        must be strictly below it. Or a time such as ``"3 days"`` (or a ``timedelta``): the key must run dry
        within it, at its pace and before its next reset. (templated)
    :param openrouter_conn_id: the connection to OpenRouter. (templated)
    :param key_hashes: the hashes of the keys to watch, a list, or text with commas or white space between; None
        for every key. (templated)
    :param name_pattern: a shell-style pattern (``*``, ``?``, ``[…]``), case-sensitive, that the name must match.
        (templated)
    :param include_disabled: whether to watch disabled keys too. (templated)
    :param workspace_id: None for the account's default workspace, the id or the name of one, ``"*"`` for all of
        them. (templated)
    :param fail_if_unwatched: whether it is an error, and not a warning at each poke, that no key is watched or a
        hash is not listed. (templated)
    :param deferrable: whether to wait in the triggerer, which costs no worker slot.
    :param expires_within: a time such as ``"7 days"`` (or a ``timedelta``): keys that expire within it are low,
        too, with a limit or without. None for no such keys. (templated)
    :raises OpenRouterRequestError: if an argument makes no sense: a literal one when the DAG is parsed.
    :raises OpenRouterError: if an error ends the wait; unless it is an ``OpenRouterAuthError``, it fails without
        task retries.
    """

    template_fields: Sequence[str] = (
        "threshold",
        "openrouter_conn_id",
        "key_hashes",
        "name_pattern",
        "include_disabled",
        "workspace_id",
        "fail_if_unwatched",
        "expires_within",
    )
    trigger_class = OpenRouterKeyLimitTrigger

    def __init__(
        self,
        *,
        threshold: float | str | timedelta,
        openrouter_conn_id: str = OpenRouterHook.default_conn_name,
        key_hashes: Sequence[str] | str | None = None,
        name_pattern: str | None = None,
        include_disabled: bool | str = False,
        workspace_id: str | None = None,
        fail_if_unwatched: bool | str = False,
        deferrable: bool = DEFERRABLE,
        expires_within: str | timedelta | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(deferrable=deferrable, **kwargs)
        self.threshold = threshold
        self.openrouter_conn_id = openrouter_conn_id
        self.key_hashes = key_hashes
        self.name_pattern = name_pattern
        self.include_disabled = include_disabled
        self.workspace_id = workspace_id
        self.fail_if_unwatched = fail_if_unwatched
        self.expires_within = expires_within
        LimitRule(**{"threshold": 0} | {name: value for name, value in self._rule.items() if is_literal(value)})
        if is_literal(workspace_id):
            WorkspaceScope.read(workspace_id)

    def execute_complete(self, context: Context, event: Any = None) -> list[Key]:
        """
        Return the low keys that the trigger found, or raise the error that ended its wait.

        An event carries a hundred keys. If there are more, they are listed again, and those that are low now are
        returned; if that fails, with a warning, or none is low any more, those of the event.

        :raises OpenRouterError: if an error ends the wait; without task retries, unless the key was refused.
        """
        keys = read_keys(event)
        total = event.get("total", len(keys))
        self.log.info("The trigger found %s", count(total, "low key"))
        if total > len(keys):
            keys = self._list_again() or keys
        self._push_words(context, event, keys)
        return keys

    def _list_again(self) -> list[Key]:
        rule = self._make_rule()
        source = self._make_source(rule)
        try:
            check = rule.check(source.reader().read(get_client(source), Stop()))
        except OpenRouterError as error:
            self.log.warning("%s Only the keys of the trigger's event are returned.", error)
            return []
        return check.records

    def _make_rule(self) -> LimitRule:
        return LimitRule(**self._rule)

    def _make_source(self, rule: LimitRule) -> KeySource:
        return KeySource(
            openrouter_conn_id=self.openrouter_conn_id,
            scope=WorkspaceScope.read(self.workspace_id),
            include_disabled=rule.include_disabled,
        )

    def _result(self, check: Check[Any] | None) -> list[Key]:
        return [] if check is None else check.records

    @property
    def _rule(self) -> dict[str, Any]:
        return {
            name: getattr(self, name)
            for name in (
                "threshold",
                "key_hashes",
                "name_pattern",
                "include_disabled",
                "fail_if_unwatched",
                "expires_within",
            )
        }


class OpenRouterCreditsSensor(WaitSensor):
    """
    Waits until an account's credits are low, and returns what is left of them.

    The credits are low if the balance (``total_credits`` minus ``total_usage``) is strictly below an amount of
    USD, or will be gone within a time at the account's pace (see
    :mod:`airflow_provider_openrouter.watch.account_pace`). The result is a dict: ``total_credits`` and
    ``total_usage`` as the API sent them, ``balance`` (USD), ``observed_at`` (ISO 8601, UTC), ``reason``
    (``limit`` or ``runway``), ``threshold``, ``pace_usd_per_day`` and ``runs_dry_at`` (ISO 8601, UTC). The last
    two are null if the threshold is an amount.

    It waits, in each mode and through each error, as :class:`OpenRouterKeyLimitSensor` does. In ``reschedule``
    mode each poke is a process of its own and knows no earlier one, so today's spend does not count.

    :param threshold: USD such as ``25``, or a time such as ``"3 days"`` or a ``timedelta``; what is left must be
        strictly below an amount. (templated)
    :param openrouter_conn_id: the connection to OpenRouter. (templated)
    :param deferrable: whether to wait in the triggerer, which costs no worker slot.
    :raises OpenRouterRequestError: if an argument makes no sense: a literal one when the DAG is parsed.
    :raises OpenRouterError: if an error ends the wait; unless it is an ``OpenRouterAuthError``, it fails without
        task retries.
    """

    template_fields: Sequence[str] = ("threshold", "openrouter_conn_id")
    trigger_class = OpenRouterCreditsTrigger

    def __init__(
        self,
        *,
        threshold: float | str | timedelta,
        openrouter_conn_id: str = OpenRouterHook.default_conn_name,
        deferrable: bool = DEFERRABLE,
        **kwargs: Any,
    ) -> None:
        super().__init__(deferrable=deferrable, **kwargs)
        self.threshold = threshold
        self.openrouter_conn_id = openrouter_conn_id
        if is_literal(threshold):
            AccountRule(threshold=threshold)

    def execute_complete(self, context: Context, event: Any = None) -> dict[str, Any]:
        """
        Return the account that the trigger found, or raise the error that ended its wait.

        :raises OpenRouterError: if an error ends the wait; without task retries, unless the key was refused.
        """
        account = read_account(event)
        self.log.info("The trigger found low credits")
        self._push_words(context, event, account)
        return account

    def _make_rule(self) -> AccountRule:
        return AccountRule(threshold=self.threshold)

    def _make_source(self, rule: AccountRule) -> AccountSource:
        return rule.source(self.openrouter_conn_id)

    def _result(self, check: Check[Any] | None) -> dict[str, Any] | None:
        return check.records[0] if check and check.low else None
