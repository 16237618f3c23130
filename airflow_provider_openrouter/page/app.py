"""The page's app: its addresses, and what they respond. Each of them only reads."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache, partial
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any

from airflow.api_fastapi.common.db.common import SessionDep
from fastapi import APIRouter, Depends, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.staticfiles import StaticFiles

from airflow_provider_openrouter.page.approvals import list_approvals
from airflow_provider_openrouter.page.cached import Cached
from airflow_provider_openrouter.page.guard import (
    may_read_approvals,
    may_read_connection,
    readable_dag_ids,
    require_reader,
)
from airflow_provider_openrouter.page.problems import Problem
from airflow_provider_openrouter.page.readings import Readings
from airflow_provider_openrouter.page.responses import NOT_STORED, Shield, send_compressed, send_problem
from airflow_provider_openrouter.page.settings import PageSettings
from airflow_provider_openrouter.page.spend_days import SpendQuery
from airflow_provider_openrouter.page.watchers import show_watchers

ReaderDep = Annotated[Any, Depends(require_reader)]
STATIC = Path(__file__).parent / "static"
PLOTLY = "plotly.min.js"
MOST_READINGS = 4
"""How many questions about the spend are read at once for all who see the page."""
MOST_QUERIES = 16
"""For how many queries about the spend the response is kept."""


def create_app(settings: PageSettings) -> FastAPI:
    """
    Return the app, which Airflow mounts.

    :param settings: the options of the page.
    """
    app = FastAPI(title="OpenRouter", docs_url=None, redoc_url=None, openapi_url=None)
    app.state.settings = settings
    app.add_middleware(Shield)
    app.add_exception_handler(Problem, _on_problem)
    app.add_exception_handler(HTTPException, _on_http_exception)
    app.add_exception_handler(RequestValidationError, _on_invalid)
    app.include_router(_data(Readings(settings)))
    app.add_api_route("/", _get_page)
    app.add_api_route(f"/static/{PLOTLY}", _get_plotly)
    app.mount("/static", StaticFiles(directory=STATIC))
    return app


def _data(readings: Readings) -> APIRouter:
    """Return the routes that need a user who may see the page."""
    router = APIRouter(prefix="/api", dependencies=[Depends(require_reader)])
    account = ThreadPoolExecutor(2, thread_name_prefix="openrouter-reading")
    keys, credits_ = Cached(readings.keys, account), Cached(readings.credits, account)
    # Threads of its own: what hangs here, such as a database, does not keep the keys waiting.
    days = ThreadPoolExecutor(MOST_READINGS, thread_name_prefix="openrouter-reading")

    @lru_cache(maxsize=MOST_QUERIES)
    def spend(query: SpendQuery) -> Cached[bytes]:
        return Cached(partial(readings.spend, query), days)

    @router.get("/keys")
    async def get_keys(request: Request, fresh: bool = False) -> Response:
        return send_compressed(await keys.get(fresh=fresh), request)

    @router.get("/credits")
    async def get_credits(request: Request, fresh: bool = False) -> Response:
        return send_compressed(await credits_.get(fresh=fresh), request)

    @router.get("/spend")
    async def get_spend(
        request: Request, by: str = "model", key: str = "", days: str = "30", fresh: bool = False
    ) -> Response:
        query = SpendQuery.read(by=by, key=key, days=days)
        return send_compressed(await spend(query).get(fresh=fresh), request)

    @router.get("/watchers")
    def get_watchers(session: SessionDep, user: ReaderDep) -> Response:
        dag_ids = readable_dag_ids(user)
        approvals = [
            each for each in list_approvals(session, dag_ids=dag_ids) if may_read_approvals(user, each["dag_id"])
        ]
        watchers = show_watchers(session, dag_ids=dag_ids, may_read_connection=partial(may_read_connection, user))
        return JSONResponse(watchers | {"approvals": approvals}, headers=NOT_STORED)

    return router


def _get_page() -> FileResponse:
    return FileResponse(STATIC / "index.html")


def _get_plotly() -> FileResponse:
    plotly = find_spec("plotly")
    if plotly is None or plotly.origin is None:
        raise HTTPException(404)
    return FileResponse(Path(plotly.origin).parent / "package_data" / PLOTLY)


def _on_problem(_: Request, problem: Any) -> Response:
    return send_problem(problem)


def _on_http_exception(_: Request, error: Any) -> Response:
    """Respond to a user who is not logged in or whose session is not valid, or to a wrong address."""
    if error.status_code in (401, 403):
        return send_problem(
            Problem("You are logged out of Airflow. Log in, then try again.", state="logged_out", status=401)
        )
    said = "Only GET requests are possible." if error.status_code == 405 else "There is nothing at this address."
    return send_problem(Problem(said, state="bad_request", status=error.status_code))


def _on_invalid(_: Request, error: Any) -> Response:
    names = ", ".join(str(each["loc"][-1]) for each in error.errors())
    return send_problem(Problem(f"The request is not valid. Check {names}.", state="bad_request", status=400))
