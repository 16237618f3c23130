"""The operator that changes a key."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import BaseOperator

from airflow_provider_openrouter.arguments import is_literal
from airflow_provider_openrouter.changes import (
    READERS,
    UNCHANGED,
    changes_of,
    limit_for,
    read_changes,
    read_usd,
)
from airflow_provider_openrouter.exceptions import OpenRouterRequestError
from airflow_provider_openrouter.hooks.openrouter import OpenRouterHook
from airflow_provider_openrouter.keys import Key, read_hash
from airflow_provider_openrouter.operators.update import KeyUpdate, UpdatingOperator, check_cap, result
from airflow_provider_openrouter.watch import words

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context


class OpenRouterUpdateKeyOperator(UpdatingOperator, BaseOperator):
    """
    Changes one key: its limit, when that resets, its name, or whether it is disabled.

    The connection must allow it, by its extra ``allow_updates``. The operator reads the key first and sends only
    what differs. If nothing differs it sends nothing, so running it again changes nothing.

    It returns ``{"hash", "name", "before", "after", "changed"}``: ``before`` and ``after`` have the fields that
    can be changed, and ``limit_remaining``. Each outlet asset gets this as its ``extra``.

    Each change leaves two lines of JSON in the log, from the logger ``airflow_provider_openrouter.audit``: before
    it is sent, and when its outcome is known. They have the DAG, run and task, and the fields before and after.

    :param key_hash: the hash of the key. (templated)
    :param limit: the new limit in USD; None for no limit. (templated)
    :param remaining: instead of ``limit``: raise the limit so that this many USD remain. If that much or more
        remains, or the key has no limit, it stays as it is. (templated)
    :param limit_reset: when the limit resets: ``"daily"``, ``"weekly"`` or ``"monthly"``; None for never.
        (templated)
    :param disabled: whether the key is disabled; None leaves it as it is. (templated)
    :param name: the new name; None leaves it as it is. (templated)
    :param max_limit: USD above which a limit is refused; no limit counts as above it. None for no cap.
        (templated)
    :param only_if: fields and the values that they must still have, such as ``{"limit": 50}``; if one has another
        value, nothing is changed. (templated)
    :param openrouter_conn_id: the connection to OpenRouter. (templated)
    :raises OpenRouterRequestError: if an argument makes no sense (a literal one when the DAG is parsed), the
        connection does not allow updates, a limit is above the cap, or the server refuses the change.
    :raises OpenRouterError: if reading or changing the key fails.
    """

    template_fields: Sequence[str] = (
        "key_hash",
        "limit",
        "remaining",
        "limit_reset",
        "disabled",
        "name",
        "max_limit",
        "only_if",
        "openrouter_conn_id",
    )

    def __init__(
        self,
        *,
        key_hash: str,
        limit: float | str | None = UNCHANGED,
        remaining: float | str | None = None,
        limit_reset: str | None = UNCHANGED,
        disabled: bool | str | None = None,
        name: str | None = None,
        max_limit: float | str | None = None,
        only_if: Mapping[str, Any] | None = None,
        openrouter_conn_id: str = OpenRouterHook.default_conn_name,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.key_hash = key_hash
        self.limit = limit
        self.remaining = remaining
        self.limit_reset = limit_reset
        self.disabled = disabled
        self.name = name
        self.max_limit = max_limit
        self.only_if = only_if
        self.openrouter_conn_id = openrouter_conn_id
        self._check_arguments()

    def execute(self, context: Context) -> dict[str, Any]:
        """Read the key, send what differs, and return what was changed."""
        self._check_arguments()
        client = self._connect()
        key = client.get_key(read_hash(self.key_hash))
        changes = self._changes_to(key)
        check_cap(changes, self._max_limit)
        if self._is_as_expected(key):
            done = KeyUpdate(client=client, key=key, changes=changes).run(context)
        else:
            done = result(key)
        return self._report(context, client, done)

    def _check_arguments(self) -> None:
        """Refuse what makes no sense, as far as it is known: all of it once templates are rendered."""
        if self.limit != UNCHANGED and self.remaining is not None:
            raise OpenRouterRequestError("limit and remaining cannot be given together. Give one of them.")
        literals = {name: value for name, value in self._given.items() if is_literal(value)}
        changes = read_changes(**literals)
        if not changes and self.remaining is None and len(literals) == len(self._given):
            raise OpenRouterRequestError(
                "There is nothing to change: give limit, remaining, limit_reset, disabled or name."
            )
        for name in ("remaining", "max_limit"):
            if (value := getattr(self, name)) is not None and is_literal(value):
                read_usd(name, value)
        if is_literal(self.key_hash):
            read_hash(self.key_hash)
        if is_literal(self.max_limit):
            check_cap(changes, self._max_limit)
        if isinstance(self.only_if, Mapping):
            self._read_only_if({name: value for name, value in self.only_if.items() if is_literal(value)})
        elif self.only_if is not None and is_literal(self.only_if):
            raise OpenRouterRequestError(
                f'only_if must be a mapping such as {{"limit": 50}}, not {self.only_if!r}.'
            )

    def _changes_to(self, key: Key) -> dict[str, Any]:
        changes = read_changes(**self._given)
        if self.remaining is not None:
            limit = limit_for(key, read_usd("remaining", self.remaining))
            if limit is not None:
                changes["limit"] = limit
        return changes

    def _is_as_expected(self, key: Key) -> bool:
        """Return whether the fields of ``only_if`` still have the values that it names, and say so if not."""
        now = changes_of(key)
        for field, value in self._read_only_if(self.only_if or {}).items():
            if now[field] != value:
                changed = f"{field} is now {now[field]!r}, not {value!r}"
                self.log.info("Did not change key %s: %s.", words.name(key), changed)
                return False
        return True

    def _read_only_if(self, only_if: Mapping[str, Any]) -> dict[str, Any]:
        if unknown := only_if.keys() - READERS.keys():
            raise OpenRouterRequestError(
                f"only_if must have fields such as limit, not {', '.join(map(repr, sorted(unknown)))}. There are "
                f"{', '.join(READERS)}."
            )
        return dict.fromkeys(only_if) | read_changes(**only_if)  # which leaves out a disabled or name of None

    @property
    def _given(self) -> dict[str, Any]:
        return {
            "limit": self.limit,
            "limit_reset": self.limit_reset,
            "disabled": self.disabled,
            "name": self.name,
        }

    @property
    def _max_limit(self) -> float | None:
        return None if self.max_limit is None else read_usd("max_limit", self.max_limit)
