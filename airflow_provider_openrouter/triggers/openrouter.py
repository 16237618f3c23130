"""Triggers that watch what is left of keys, or of an account's credits: for a task that waits, or an asset."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from airflow_provider_openrouter.hooks.openrouter import OpenRouterHook
from airflow_provider_openrouter.scope import WorkspaceScope
from airflow_provider_openrouter.triggers.base import EventTrigger, WaitTrigger
from airflow_provider_openrouter.watch.account_rule import AccountRule, read_account_threshold
from airflow_provider_openrouter.watch.rule import LimitRule
from airflow_provider_openrouter.watch.sources import KeySource


class OpenRouterKeyLimitTrigger(WaitTrigger):
    """
    Waits until less than the threshold remains of any watched key, and yields one event.

    It polls at ``first_poll_at``, or at once, and then every ``poll_interval`` seconds. Triggers of the same
    connection, workspace and ``include_disabled`` share their polls. After a temporary error the wait goes on,
    with a warning; if the server asks to wait, there is no poll before that.

    A refused key (401, 403), or a connection that cannot be read, ends the wait if it has not listed before. If
    it has, OpenRouter may have an outage, or the key may be about to be replaced: the wait goes on for an hour of
    this, with pauses that grow to ten minutes, and reads the connection again at each poll. After a restart of
    the triggerer the hour begins again. Whatever ends the wait becomes an event (see
    :mod:`airflow_provider_openrouter.watch.events`).

    :param threshold: an amount of USD, a percentage of the key's own limit such as ``"10%"``, or a time such as
        ``"3 days"`` (or a ``timedelta``): the key runs dry within it, at its pace and before its next reset.
    :param openrouter_conn_id: the connection to OpenRouter.
    :param poll_interval: seconds from the beginning of a poll to that of the next.
    :param key_hashes: the hashes of the keys to watch, None for every key.
    :param name_pattern: a shell-style pattern (``*``, ``?``, ``[…]``), case-sensitive, that the name must match.
    :param include_disabled: whether to watch disabled keys too.
    :param workspace_id: None for the account's default workspace, the id or the name of one, ``"*"`` for all of
        them.
    :param fail_if_unwatched: whether it is an error, and not a warning, that no key is watched or a hash is not
        listed.
    :param has_listed: whether the wait has listed before with this connection, as a sensor has before it defers.
    :param first_poll_at: when to poll first (ISO 8601, with its time zone), None for at once.
    :param expires_within: a time such as ``"7 days"`` (or a ``timedelta``): keys that expire within it are low,
        too, with a limit or without. None for no such keys.
    :raises OpenRouterRequestError: if an argument makes no sense.
    """

    def __init__(
        self,
        *,
        threshold: float | str | timedelta,
        openrouter_conn_id: str = OpenRouterHook.default_conn_name,
        poll_interval: float = 60,
        key_hashes: list[str] | None = None,
        name_pattern: str | None = None,
        include_disabled: bool = False,
        workspace_id: str | None = None,
        fail_if_unwatched: bool = False,
        has_listed: bool = False,
        first_poll_at: str | None = None,
        expires_within: str | timedelta | None = None,
    ) -> None:
        rule = LimitRule(
            threshold=threshold,
            key_hashes=key_hashes,
            name_pattern=name_pattern,
            include_disabled=include_disabled,
            fail_if_unwatched=fail_if_unwatched,
            expires_within=expires_within,
        )
        super().__init__(
            source=_source(openrouter_conn_id, workspace_id, rule),
            rule=rule,
            poll_interval=poll_interval,
            has_listed=has_listed,
            first_poll_at=first_poll_at,
        )


class OpenRouterKeyLimitEventTrigger(EventTrigger):
    """
    Starts DAGs, by way of an asset, when keys run low: once for each key, until it has recovered.

    Each poll in which keys newly cross the threshold yields one event with those keys (see
    :mod:`airflow_provider_openrouter.watch.events`). A key is re-armed once it is back at or above the threshold
    and the margin, or is no longer watched: topped up, reset, without limit, disabled, expired or deleted. What
    was reported is kept in the state store of the asset, where Airflow has one (3.3), so that it is not reported
    again after a restart; without one, or if several assets share the trigger, it is kept in memory only.

    After a failure the watch goes on, with a warning and with pauses that grow to ten minutes; the connection is
    read again after each. Watchers of the same connection, workspace and ``include_disabled`` share their polls.

    :param threshold: an amount of USD, a percentage of the key's own limit such as ``"10%"``, or a time such as
        ``"3 days"`` (or a ``timedelta``): the key runs dry within it, at its pace and before its next reset.
        Several steps of one kind can be given as a list: a key is reported at each one that it newly crosses.
    :param openrouter_conn_id: the connection to OpenRouter.
    :param poll_interval: seconds from the beginning of a poll to that of the next.
    :param key_hashes: the hashes of the keys to watch, None for every key.
    :param name_pattern: a shell-style pattern (``*``, ``?``, ``[…]``), case-sensitive, that the name must match.
    :param include_disabled: whether to watch disabled keys too.
    :param workspace_id: None for the account's default workspace, the id or the name of one, ``"*"`` for all of
        them.
    :param rearm_margin: how much above the threshold a key must be before it is re-armed: an amount of USD, or a
        percentage of its limit; with a threshold in time, a time, by default half of it. It keeps a key that
        hovers around the threshold from being reported repeatedly.
    :param max_consecutive_failures: after how many failures in a row to raise, None for never. Airflow starts the
        trigger again then: use it to make failures visible; it does not stop the watch.
    :param expires_within: a time such as ``"7 days"`` (or a ``timedelta``): keys that expire within it are
        reported, too, with a limit or without, once for each key and expiry. None for no such keys.
    :param report_failures_after: after how many polls in a row that fail, or find no key to watch, to yield one
        event of the status ``error``, and when that is over one of the status ``recovered``; at most
        ``max_consecutive_failures``. None for never.
    :raises OpenRouterRequestError: if an argument makes no sense.
    """

    def __init__(
        self,
        *,
        threshold: float | str | timedelta | Sequence[float | str | timedelta],
        openrouter_conn_id: str = OpenRouterHook.default_conn_name,
        poll_interval: float = 60,
        key_hashes: list[str] | None = None,
        name_pattern: str | None = None,
        include_disabled: bool = False,
        workspace_id: str | None = None,
        rearm_margin: float | str | timedelta = 0,
        max_consecutive_failures: int | None = None,
        expires_within: str | timedelta | None = None,
        report_failures_after: int | None = None,
    ) -> None:
        rule = LimitRule(
            threshold=threshold,
            key_hashes=key_hashes,
            name_pattern=name_pattern,
            include_disabled=include_disabled,
            expires_within=expires_within,
            has_steps=True,
        )
        super().__init__(
            source=_source(openrouter_conn_id, workspace_id, rule),
            rule=rule,
            poll_interval=poll_interval,
            rearm_margin=rearm_margin,
            max_consecutive_failures=max_consecutive_failures,
            report_failures_after=report_failures_after,
        )


def _source(openrouter_conn_id: str, workspace_id: str | None, rule: LimitRule) -> KeySource:
    scope = WorkspaceScope.read(workspace_id)
    return KeySource(openrouter_conn_id=openrouter_conn_id, scope=scope, include_disabled=rule.include_disabled)


class OpenRouterCreditsTrigger(WaitTrigger):
    """
    Waits until an account's credits are low, and yields one event.

    The credits are low if the balance (``total_credits`` minus ``total_usage``) is strictly below an amount of
    USD, or will be gone within a time at the account's pace. It polls, waits and ends as
    :class:`OpenRouterKeyLimitTrigger` does. Triggers of the same connection share their polls; thresholds in USD
    and in time are polled separately.

    :param threshold: an amount of USD, or a time such as ``"3 days"`` or a ``timedelta``.
    :param openrouter_conn_id: the connection to OpenRouter.
    :param poll_interval: seconds from the beginning of a poll to that of the next.
    :param has_listed: whether the wait has polled before with this connection, as a sensor has before it defers.
    :param first_poll_at: when to poll first (ISO 8601, with its time zone), None for at once.
    :raises OpenRouterRequestError: if an argument makes no sense.
    """

    def __init__(
        self,
        *,
        threshold: float | str | timedelta,
        openrouter_conn_id: str = OpenRouterHook.default_conn_name,
        poll_interval: float = 60,
        has_listed: bool = False,
        first_poll_at: str | None = None,
    ) -> None:
        rule = AccountRule(threshold=threshold)
        super().__init__(
            source=rule.source(openrouter_conn_id),
            rule=rule,
            poll_interval=poll_interval,
            has_listed=has_listed,
            first_poll_at=first_poll_at,
        )


class OpenRouterCreditsEventTrigger(EventTrigger):
    """
    Starts DAGs, by way of an asset, when an account's credits are low: once, until they have recovered.

    Low means the same as for :class:`OpenRouterCreditsTrigger`. How it polls, what it remembers and what it does
    about failures is the same as for :class:`OpenRouterKeyLimitEventTrigger`. The account is re-armed once its
    balance is back at or above the threshold plus the margin. With a threshold in time it is also re-armed when
    credits are bought, unless it is still low.

    :param threshold: an amount of USD, or a time such as ``"3 days"`` or a ``timedelta``.
    :param openrouter_conn_id: the connection to OpenRouter.
    :param poll_interval: seconds from the beginning of a poll to that of the next.
    :param rearm_margin: how much above the threshold the balance must be before it is re-armed: USD, or a time if
        the threshold is one. With a threshold in time, 0 means half of it.
    :param max_consecutive_failures: after how many failures in a row to raise, None for never. Airflow starts the
        trigger again then: use it to make failures visible; it does not stop the watch.
    :param report_failures_after: after how many polls in a row that fail to yield one event of the status
        ``error``, and when that is over one of the status ``recovered``; at most ``max_consecutive_failures``.
        None for never.
    :raises OpenRouterRequestError: if an argument makes no sense.
    """

    def __init__(
        self,
        *,
        threshold: float | str | timedelta,
        openrouter_conn_id: str = OpenRouterHook.default_conn_name,
        poll_interval: float = 60,
        rearm_margin: float | str | timedelta = 0,
        max_consecutive_failures: int | None = None,
        report_failures_after: int | None = None,
    ) -> None:
        rule = AccountRule(threshold=threshold)
        read_account_threshold(rearm_margin, name="rearm_margin")
        super().__init__(
            source=rule.source(openrouter_conn_id),
            rule=rule,
            poll_interval=poll_interval,
            rearm_margin=rearm_margin,
            max_consecutive_failures=max_consecutive_failures,
            report_failures_after=report_failures_after,
        )
