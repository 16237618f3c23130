"""What a response brings: its body, within bounds, and the data in it."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from typing import Any, NoReturn

import requests

from airflow_provider_openrouter.api.failures import error_in_200, unexpected_response
from airflow_provider_openrouter.exceptions import OpenRouterResponseError

CHUNK = 1 << 16
LARGEST_BODY = 100_000_000
"""Bytes, received or unpacked: a page of 100 keys has a thousandth, and a packed one could fill a worker."""
UNPACKED_IN_PIECES = {"", "identity", "gzip", "x-gzip", "deflate"}
"""Encodings of which no chunk becomes more than can be counted: what is packed twice, or by zstd, could."""


def read_body(where: str, response: requests.Response) -> bytes:
    """
    Return the body of a response.

    :param where: the URL, as errors show it.
    :raises OpenRouterResponseError: if the body is too large, or packed in a way that could make it so.
    """
    if response.headers.get("Content-Encoding", "").strip().lower() not in UNPACKED_IN_PIECES:
        raise unexpected_response(f"{where} answered in an unsupported encoding.")
    chunks: list[bytes] = []
    size = 0
    while chunk := response.raw.read1(CHUNK, decode_content=True):
        size += len(chunk)
        if size > LARGEST_BODY:
            raise too_large(where)
        chunks.append(chunk)
    return b"".join(chunks)


def too_large(where: str) -> OpenRouterResponseError:
    """Return the error for a response of too many bytes, as they are received or as they are unpacked."""
    return unexpected_response(f"{where} answered with more than {LARGEST_BODY:,} bytes.")


def read_data(where: str, response: requests.Response, body: bytes, hide: Callable[[str], str]) -> Any:
    """
    Return what stands under ``data`` in a body of JSON.

    What JSON can hold and databases or files cannot is replaced: NUL, and halves of surrogate pairs.

    :param where: the URL, as errors show it.
    :param hide: takes the key out of a text, in case the server sends it back.
    :raises OpenRouterResponseError: if the body is not JSON, or has no ``data``.
    :raises OpenRouterError: if there is an ``error`` in it, the one of its ``code``.
    """
    text = body.decode("utf-8", "replace")
    has_escapes = "\\" in text  # found at once, and most pages have none
    if has_escapes and "\\u0000" in text:  # legal JSON that PostgreSQL holds neither as text nor as JSON
        text = _NUL.sub(r"\1\\ufffd", text)
    try:
        answer = _decoder.decode(text)
        if has_escapes and _SURROGATE.search(text):  # half a pair is legal JSON that no UTF-8 can hold
            answer = json.loads(json.dumps(answer, ensure_ascii=False).encode("utf-8", "replace"))
    except (ValueError, RecursionError):
        raise OpenRouterResponseError(
            f"{where} answered 200 with something that is not JSON. Check that the base URL is the API's, and "
            "that no proxy or login page answers instead.",
            transient=True,
            about="base_url",
        ) from None
    if isinstance(answer, dict) and answer.get("error"):
        raise error_in_200(where, response, body, hide)
    if not isinstance(answer, dict) or "data" not in answer:
        raise unexpected_response(f"{where} answered 200 with JSON that has no 'data'.")
    return answer["data"]


def _refuse_constant(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not JSON")


def _finite(numeral: str) -> float | str:
    """Return a number; 1e999, which Python reads as infinity and no JSON can hold, stays text."""
    number = float(numeral)
    return number if math.isfinite(number) else numeral


_decoder = json.JSONDecoder(parse_constant=_refuse_constant, parse_float=_finite)
_NUL = re.compile(r"(?<!\\)((?:\\\\)*)\\u0000")
_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")
