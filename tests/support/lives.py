"""The lives of watchers: what they report, poll by poll."""

import asyncio
import logging
from datetime import datetime

from support.keys import OBSERVED_AT, listing
from support.state_store import STATE_KEY

from airflow_provider_openrouter.watch.alert_state import AlertState
from airflow_provider_openrouter.watch.rule import LimitRule
from airflow_provider_openrouter.watch.threshold import read_margin


class Life:
    """What a watcher does from its start to its end, and at which steps it has reported keys."""

    def __init__(self, store=None, *, threshold=5, rearm_margin=0, **rule) -> None:
        self.rule = LimitRule(threshold=threshold, has_steps=True, **rule)
        self.reported: list[float | str] = []
        self.log = logging.getLogger("alert_state")
        self.state = AlertState(
            self.rule.thresholds,
            read_margin(rearm_margin, self.rule.thresholds[0]),
            STATE_KEY,
            store,
            "the keys",
            self.log,
        )

    async def find(self, *keys: dict, at: datetime = OBSERVED_AT) -> list[str]:
        await self.state.load()
        check = self.rule.check(listing(*keys, observed_at=at))
        crossed = self.state.find_crossed(check)
        assert crossed == self.state.find_crossed(check)
        self.state.update(check, crossed)
        assert all(each.left.key in keys for each in crossed)
        self.reported += [each.criterion.argument for each in crossed]
        return [each.left.hash for each in crossed]

    async def poll(self, *keys: dict, at: datetime = OBSERVED_AT) -> list[str]:
        crossed = await self.find(*keys, at=at)
        await self.state.store()
        return crossed

    def polls(self, *listings: list[dict]) -> list[list[str]]:
        async def main():
            return [await self.poll(*keys) for keys in listings]

        return asyncio.run(main())
