"""The operator that asks a person whether to raise the limit of a key, and does what they answer."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import UTC, datetime, timedelta
from inspect import signature
from typing import TYPE_CHECKING, Any
from urllib.parse import SplitResult, urlsplit

from airflow.providers.common.compat.sdk import (
    AirflowException,
    AirflowSkipException,
    BaseOperator,
    Param,
)
from airflow.sdk.definitions.param import ParamsDict

from airflow_provider_openrouter.arguments import is_literal
from airflow_provider_openrouter.changes import read_usd
from airflow_provider_openrouter.connection import KEYS_PAGE
from airflow_provider_openrouter.exceptions import OpenRouterRequestError
from airflow_provider_openrouter.hooks.openrouter import OpenRouterHook
from airflow_provider_openrouter.keys import Key, KeyListing, LimitedKey, read_amount, read_hash, read_time
from airflow_provider_openrouter.links import required_actions
from airflow_provider_openrouter.operators.update import KeyUpdate, UpdatingOperator, check_cap, result
from airflow_provider_openrouter.scope import WorkspaceScope
from airflow_provider_openrouter.text import usd
from airflow_provider_openrouter.watch import words
from airflow_provider_openrouter.watch.pace import forecast
from airflow_provider_openrouter.watch.rule import LimitRule

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

HITLOperator: Any
try:
    from airflow.providers.standard.operators.hitl import HITLOperator
except (ImportError, AirflowException):  # before Airflow 3.1

    class HITLOperator(BaseOperator):  # type: ignore[no-redef]
        """Says what is missing."""

        def __init__(self, **_: Any) -> None:
            raise OpenRouterRequestError(
                "OpenRouterRaiseLimitOperator needs Airflow 3.1 or newer. Upgrade Airflow."
            )


TIMEOUT = "response_timeout" if "response_timeout" in signature(HITLOperator).parameters else "execution_timeout"
"""What the standard provider calls the time for an answer: it has had the first name since 1.13."""

RAISE, LEAVE, DISABLE = OPTIONS = ("Raise", "Leave", "Disable")


class OpenRouterRaiseLimitOperator(UpdatingOperator, HITLOperator):  # type: ignore[misc]
    """
    Asks a person whether to raise the limit of a key, and does what they answer, in one task.

    Map it over the keys that a sensor returned, or that an event brought: ``.expand(key=…)``. The form shows the
    key, what is left of it and why it was reported, proposes a limit, and offers *Raise*, *Leave* and *Disable*.
    *Leave* skips the task, and so does an expired ``response_timeout``. The connection must allow updates, by its
    extra ``allow_updates``; that is checked before anybody is asked.

    After the answer the key is read again. If somebody has changed its limit in the meantime, if it has none, or
    if it is no longer low, its limit is not raised, and the log says so. The result is that of
    ``OpenRouterUpdateKeyOperator``, with ``answer`` and ``answered_by``.

    It needs Airflow 3.1 or newer. Without ``assigned_users``, everybody who may update the DAG's required actions
    (*HITL details*) can answer.

    :param key: the key, as a sensor returned it or an event brought it. (templated)
    :param max_limit: USD above which no limit is set, whatever is entered. (templated)
    :param openrouter_conn_id: the connection to OpenRouter. (templated)
    :param response_timeout: how long to wait for an answer before *Leave* is taken; None for ever. At least 15
        seconds: Airflow can fail a task that resumes sooner (https://github.com/apache/airflow/issues/72716).
    :raises OpenRouterRequestError: if an argument makes no sense, the connection does not allow updates, the
        amount entered is above the cap or not above the present limit, or the server refuses the change.
    :raises OpenRouterError: if reading or changing the key fails.
    """

    template_fields: Collection[str] = ("key", "max_limit", "openrouter_conn_id")

    def __init__(
        self,
        *,
        key: Key,
        max_limit: float | str,
        openrouter_conn_id: str = OpenRouterHook.default_conn_name,
        response_timeout: timedelta | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            subject="Raise the limit of an OpenRouter key?",
            options=list(OPTIONS),
            defaults=LEAVE,
            **kwargs | {TIMEOUT: response_timeout or kwargs.get(TIMEOUT)},  # a mapped task passes every argument
        )
        self.key = key
        self.max_limit = max_limit
        self.openrouter_conn_id = openrouter_conn_id
        if is_literal(max_limit):
            read_usd("max_limit", max_limit)

    def execute(self, context: Context) -> Any:
        """Ask, unless the connection does not allow updates."""
        self._connect()
        self._prepare()
        return super().execute(context)

    def execute_complete(self, context: Context, event: dict[str, Any]) -> dict[str, Any]:
        """Do what was answered, and return what was changed."""
        self._prepare()
        if event.get("error_type") == "validation":
            raise OpenRouterRequestError(f"The amount entered is not allowed: {event['error']}")
        answer = super().execute_complete(context, event)
        [chosen] = answer["chosen_options"]
        person = answer["responded_by_user"]
        answered_by = None if person is None else person["name"]
        if chosen == LEAVE:
            who = f"{answered_by} answered {LEAVE}" if answered_by else "nobody answered in time"
            left = f"Left key {self._name} as it is: {who}."
            self.log.info(left)  # Airflow's UI does not show why a task was skipped
            raise AirflowSkipException(left)
        client = self._connect()
        key = client.get_key(self.key["hash"])
        changes = {"disabled": True} if chosen == DISABLE else self._read_limit(answer["params_input"])
        if chosen == RAISE and self._is_settled(key, changes["limit"]):
            done = result(key)
        else:
            done = KeyUpdate(client=client, key=key, changes=changes, answered_by=answered_by).run(context)
        return self._report(context, client, done | {"answer": chosen, "answered_by": answered_by})

    @property
    def _name(self) -> str:
        return words.name(self.key, with_label=True)

    def validate_params_input(self, params_input: Mapping[str, Any]) -> None:
        """Leave the amount to :meth:`execute_complete`, which reads it if it is used."""

    def _prepare(self) -> None:
        """Fill the form, again when the task resumes: it is another object then."""
        if not isinstance(self.key, Mapping):
            raise OpenRouterRequestError(
                f"key must be a key as a sensor returns it, not {type(self.key).__name__}. A template that makes "
                "one needs render_template_as_native_obj=True on the DAG."
            )
        read_hash(self.key.get("hash"))
        cap = read_usd("max_limit", self.max_limit)
        self.subject = f"Raise the limit of key {self._name}?"
        key = self._with_pace()
        facts = dict.fromkeys((words.left(key), words.why_low(key), words.forecast(key), words.reset(key)))
        self.body = "\n".join([*(f"- {fact}" for fact in facts if fact), f"- [OpenRouter's keys]({KEYS_PAGE})"])
        limit = read_amount(self.key.get("limit")) or 0.0
        is_reached = "" if limit < cap else " The limit has reached that already: it cannot be raised."
        self.params = ParamsDict(
            {
                "limit": Param(
                    min(2 * limit or cap, cap),
                    type="number",
                    minimum=0,  # but no maximum: the form would cut the amount to it, and not say so
                    title="New limit (USD)",
                    description=f"Used with Raise only. At most {usd(cap)}.{is_reached}",
                )
            }
        )

    def _with_pace(self) -> Key:
        """Return the key with its pace, which it lacks if it was reported for an amount or a percentage."""
        key = dict(self.key)
        remaining, at = read_amount(key.get("limit_remaining")), read_time(key.get("observed_at"))
        if remaining is None or at is None:
            return key
        pace = forecast(LimitedKey(key, remaining, read_amount(key.get("limit"))), at)
        dry = pace.runs_dry_at
        return {"pace_usd_per_day": pace.pace, "runs_dry_at": dry and dry.isoformat()} | key

    def _read_limit(self, entered: Mapping[str, Any]) -> dict[str, Any]:
        """Return the change to the limit that was entered, if it is within the cap."""
        changes = {"limit": read_usd("The new limit", entered.get("limit"))}
        check_cap(changes, read_usd("max_limit", self.max_limit))
        return changes

    def _is_settled(self, key: Key, limit: float) -> bool:
        """
        Return whether the key needs no higher limit any more, and say why.

        :raises OpenRouterRequestError: if it does, and the new limit is not above the present one.
        """
        present = read_amount(key.get("limit"))
        settled = None
        if present != read_amount(self.key.get("limit")):
            settled = f"the limit of key {self._name} was changed meanwhile"
        elif present is None:
            settled = f"key {self._name} cannot be raised"
        elif not self._is_low(key):
            settled = f"key {self._name} is not low any more"
        elif limit <= present:
            raise OpenRouterRequestError(
                f"The new limit, {usd(limit)}, is not above the present one, {usd(present)}. Nothing was changed."
            )
        if settled:
            self.log.info("Nothing changed: %s. It has %s.", settled, words.left(key))
        return bool(settled)

    def _is_low(self, key: Key) -> bool:
        """Return whether the key is still below the threshold at which it was reported, if there is one."""
        threshold = self.key.get("threshold")
        if threshold is None or self.key.get("reason") == "expiry":
            return True
        listing = KeyListing(keys=[key], observed_at=datetime.now(UTC), scope=WorkspaceScope.read(None))
        return bool(LimitRule(threshold=threshold, include_disabled=True).check(listing).low)

    def generate_link_to_ui(self, *, task_instance: Any, **how: Any) -> str:
        """Return the address of the form; that of a mapped task has its index in the path."""
        link: SplitResult = urlsplit(super().generate_link_to_ui(task_instance=task_instance, **how))
        return link._replace(path=f"/{required_actions(task_instance)}").geturl()
