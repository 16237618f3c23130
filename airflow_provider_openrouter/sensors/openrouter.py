"""Sensors that wait for OpenRouter's keys."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import BaseSensorOperator, PokeReturnValue, conf

from airflow_provider_openrouter.arguments import is_literal, read_interval
from airflow_provider_openrouter.exceptions import OpenRouterError, without_task_retries
from airflow_provider_openrouter.hooks.openrouter import OpenRouterHook
from airflow_provider_openrouter.keys import Key
from airflow_provider_openrouter.scope import WorkspaceScope
from airflow_provider_openrouter.text import count
from airflow_provider_openrouter.triggers.openrouter import OpenRouterKeyLimitTrigger
from airflow_provider_openrouter.watch.events import read_event
from airflow_provider_openrouter.watch.polling import get_client
from airflow_provider_openrouter.watch.rule import LimitRule

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context


class OpenRouterKeyLimitSensor(BaseSensorOperator):
    """
    Waits until less remains of any watched key than the threshold, and returns the low keys, the lowest first.

    Watched are the active keys (neither disabled nor expired) with a limit that the other arguments select. What
    remains is ``limit_remaining``, as the API sends it. A low key is the API's own dict, with ``observed_at``
    (ISO 8601, UTC) added, and with ``workspace_name`` where that was read.

    After a temporary error the wait goes on, with a warning; any other ends the task without task retries. That,
    the result, ``timeout``, ``soft_fail`` and ``retries`` are the same in all modes. Airflow itself treats two
    things differently: after a timeout ``never_fail`` skips only a deferred task, and ``exponential_backoff`` and
    ``max_wait`` serve ``poke`` and ``reschedule`` only.

    :param threshold: USD such as ``5``, or a percentage of the key's own limit such as ``"10%"``; what remains
        must be strictly below it. (templated)
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
    :raises OpenRouterRequestError: if an argument makes no sense: a literal one when the DAG is parsed.
    :raises OpenRouterError: if an error ends the wait; it fails without task retries.
    """

    template_fields: Sequence[str] = (
        "threshold",
        "openrouter_conn_id",
        "key_hashes",
        "name_pattern",
        "include_disabled",
        "workspace_id",
        "fail_if_unwatched",
    )
    ui_color = "#e4e7fb"

    def __init__(
        self,
        *,
        threshold: float | str,
        openrouter_conn_id: str = OpenRouterHook.default_conn_name,
        key_hashes: Sequence[str] | str | None = None,
        name_pattern: str | None = None,
        include_disabled: bool | str = False,
        workspace_id: str | None = None,
        fail_if_unwatched: bool | str = False,
        deferrable: bool = conf.getboolean("operators", "default_deferrable", fallback=False),
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.threshold = threshold
        self.openrouter_conn_id = openrouter_conn_id
        self.key_hashes = key_hashes
        self.name_pattern = name_pattern
        self.include_disabled = include_disabled
        self.workspace_id = workspace_id
        self.fail_if_unwatched = fail_if_unwatched
        self.deferrable = deferrable
        LimitRule(**{"threshold": 0} | {name: value for name, value in self._rule.items() if is_literal(value)})
        if is_literal(workspace_id):
            WorkspaceScope.read(workspace_id)
        if deferrable:
            read_interval("poke_interval", self.poke_interval)

    def poke(self, context: Context) -> PokeReturnValue:
        """
        List the keys and compare them with the rule.

        If none is low, a deferrable sensor defers from here, so that its first poke, and how Airflow treats an
        error in it, are the same as in the other modes.
        """
        rule = LimitRule(**self._rule)
        low = self._find_low_keys(rule)
        if not low and self.deferrable:
            self._defer(rule)
        return PokeReturnValue(bool(low), low)

    def execute_complete(self, context: Context, event: Any = None) -> list[Key]:
        """
        Return the low keys that the trigger found, or raise the error that ended its wait.

        :raises OpenRouterError: if an error ends the wait; it fails without task retries.
        """
        keys = read_event(event)
        self.log.info("The trigger found %s", count(len(keys), "low key"))
        return keys

    @property
    def _rule(self) -> dict[str, Any]:
        return {
            name: getattr(self, name)
            for name in ("threshold", "key_hashes", "name_pattern", "include_disabled", "fail_if_unwatched")
        }

    def _find_low_keys(self, rule: LimitRule) -> list[Key]:
        scope = WorkspaceScope.read(self.workspace_id)
        try:
            listing = get_client(self.openrouter_conn_id).get_key_listing(
                include_disabled=rule.include_disabled, workspace_id=scope
            )
        except OpenRouterError as error:
            if not error.transient:
                raise without_task_retries(error) from None
            self.log.warning("%s The wait goes on.", error)
            return []
        check = rule.check(listing)
        check.report(self.log)
        return check.records

    def _defer(self, rule: LimitRule) -> None:
        if self.exponential_backoff or self.max_wait:
            self.log.warning(
                "exponential_backoff and max_wait are ignored: a deferred sensor polls every poke_interval."
            )
        self.defer(
            trigger=OpenRouterKeyLimitTrigger(
                **rule.arguments,
                openrouter_conn_id=self.openrouter_conn_id,
                poll_interval=self.poke_interval,
                workspace_id=self.workspace_id,
            ),
            method_name="execute_complete",
            timeout=timedelta(seconds=self.timeout),
        )
