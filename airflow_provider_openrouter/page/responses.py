"""How the page is sent: data compressed once, and security headers on everything."""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Iterator, Mapping
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
_GZIP = 16 + zlib.MAX_WBITS
"""What makes zlib write the format of gzip."""
NOT_STORED = {"Cache-Control": "no-store"}


def compress(data: Mapping[str, Any]) -> bytes:
    """
    Return data as compressed JSON, which takes a fraction of the memory and is ready to be sent.

    :param data: an object; where a value of it is an iterator, its items are written as they come.
    """
    packer = zlib.compressobj(level=5, wbits=_GZIP)
    packed = [packer.compress(piece.encode()) for piece in _pieces(data)]
    return b"".join([*packed, packer.flush()])


def _pieces(data: Mapping[str, Any]) -> Iterator[str]:
    """Yield the JSON of an object piece by piece."""
    before = "{"
    for name, value in data.items():
        yield f"{before}{_to_json(name)}:"
        before = ","
        if isinstance(value, Iterator):
            yield "["
            for number, item in enumerate(value):
                yield f"{',' if number else ''}{_to_json(item)}"
            yield "]"
        else:
            yield _to_json(value)
    yield "}"


def _to_json(value: Any) -> str:
    return json.dumps(value, allow_nan=False, separators=(",", ":"))


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
