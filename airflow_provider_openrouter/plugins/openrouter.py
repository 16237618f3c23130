"""
The plugin: the page "OpenRouter" in Airflow's menu.

Every task process imports this, so it imports nothing of its own until the page is asked for.
"""

from __future__ import annotations

import asyncio
import logging
from threading import Lock
from typing import Any

from airflow.providers.common.compat.sdk import AirflowPlugin

log = logging.getLogger(__name__)

PREFIX = "/openrouter"
"""Where Airflow mounts the page."""
HREF = "openrouter/"
"""The address of the page for the menu: it is relative, so that it holds below any path of Airflow's."""

_CAN_SHOW = hasattr(AirflowPlugin, "external_views")
"""Whether this Airflow can show a page: 3.1 and newer can."""


class LazyApp:
    """The page's ASGI app, which is imported and made when the first request comes."""

    def __init__(self) -> None:
        self._app: Any = None
        self._lock = Lock()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Pass a request on to the page; nothing is to be done when the server starts and stops."""
        if scope["type"] == "lifespan":
            while (await receive())["type"] == "lifespan.startup":
                await send({"type": "lifespan.startup.complete"})
            await send({"type": "lifespan.shutdown.complete"})
            return
        app = self._app or await asyncio.to_thread(self._load)
        await app(scope, receive, send)

    def _load(self) -> Any:
        with self._lock:
            if self._app is None:
                from airflow_provider_openrouter.page.app import create_app
                from airflow_provider_openrouter.page.settings import PageSettings

                self._app = create_app(PageSettings.read())
            return self._app


class OpenRouterPlugin(AirflowPlugin):
    """Adds the page to Airflow's menu, unless the option ``[openrouter] page_conn_id`` is empty."""

    name = "openrouter"

    @property
    def external_views(self) -> list[dict[str, str]]:  # type: ignore[override]
        """The entry of the menu."""
        view = {
            "name": "OpenRouter",
            "href": HREF,
            "destination": "nav",
            "category": "browse",
            "url_route": "openrouter",
            "icon": f"{HREF}static/icon.svg",
        }
        return [view] if _is_on() else []

    @property
    def fastapi_apps(self) -> list[dict[str, Any]]:  # type: ignore[override]
        """The page itself."""
        return [{"name": "OpenRouter", "url_prefix": PREFIX, "app": LazyApp()}] if _is_on() else []


def _is_on() -> bool:
    if not _CAN_SHOW:
        return False
    from airflow_provider_openrouter.page.settings import PageSettings

    try:
        return bool(PageSettings.read().conn_id)
    except Exception as error:  # it would keep the API server from starting
        log.error(
            "The options in the section [openrouter] cannot be read (%s), so there is no page. Correct them, and "
            "restart the API server.",
            type(error).__name__,
        )
        return False
