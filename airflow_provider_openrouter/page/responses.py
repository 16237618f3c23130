"""How the page is sent: data compressed once, and security headers on everything."""

from __future__ import annotations

import gzip
import json
from typing import Any

from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from airflow_provider_openrouter.page.problems import Problem, explain

NO_STYLE = "'sha256-47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU='"
"""The hash of an empty inline style, which Plotly makes."""

HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; "
    f"style-src 'self' {NO_STYLE}; img-src 'self' data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'self'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
NOT_STORED = {"Cache-Control": "no-store"}


def compress(data: Any) -> bytes:
    """Return data as compressed JSON: of ten thousand keys a twentieth of the memory, and ready to be sent."""
    return gzip.compress(json.dumps(data, allow_nan=False, separators=(",", ":")).encode(), compresslevel=5)


def send_compressed(body: bytes, request: Request) -> Response:
    """Return the response with compressed JSON, decompressed for the few clients that ask for that."""
    headers = dict(NOT_STORED)
    if "gzip" in request.headers.get("Accept-Encoding", ""):
        headers |= {"Content-Encoding": "gzip", "Vary": "Accept-Encoding"}
    else:
        body = gzip.decompress(body)
    return Response(body, headers=headers, media_type="application/json")


def send_problem(problem: Problem) -> Response:
    """Return the response with a problem."""
    return JSONResponse(problem.body, status_code=problem.status, headers=NOT_STORED)


class Shield:
    """Middleware that adds the security headers, and keeps unexpected errors from the browser."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, and its response back."""
        began = False

        async def send_with_headers(message: Message) -> None:
            nonlocal began
            if message["type"] == "http.response.start":
                began = True
                headers = MutableHeaders(scope=message)
                headers.update(HEADERS)
                headers.setdefault("Cache-Control", "no-cache")  # a browser asks whether its copy is old
            await send(message)

        try:
            await self._app(scope, receive, send_with_headers)
        except Exception as error:
            if began or scope["type"] != "http":
                raise
            await send_problem(explain(error))(scope, receive, send_with_headers)
