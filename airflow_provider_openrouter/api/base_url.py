"""Where the API is: which base URLs are taken."""

from __future__ import annotations

from ipaddress import ip_address
from urllib.parse import urlsplit

import requests

from airflow_provider_openrouter.connection import DEFAULT_BASE_URL
from airflow_provider_openrouter.exceptions import OpenRouterRequestError


def check_base_url(base_url: str, *, allow_http: bool) -> None:
    """
    Refuse a base URL that is malformed, holds a secret, or would carry the key unencrypted.

    :param base_url: where the API is.
    :param allow_http: whether plain ``http`` may lead to a host other than this machine.
    :raises OpenRouterRequestError: if it does; a secret in it is not shown.
    """
    try:
        url = urlsplit(base_url)
        (url.hostname or "").encode("idna")
        requests.Request(url=base_url).prepare()
        without_spaces = base_url.split() == [base_url]  # older versions of requests accept white space
        well_formed = url.scheme in ("http", "https") and without_spaces
    except ValueError:  # requests raises subclasses of it
        well_formed = False
    if "sk-or-" in base_url.lower():
        raise OpenRouterRequestError(
            "The base URL contains a key, which is not shown here. Enter the key as the management key instead.",
            about="base_url",
        )
    if not well_formed or url.username is not None or url.query or url.fragment:
        raise OpenRouterRequestError(
            "The base URL must look like https://host[:port]/path. It must have no user, password, query or "
            f"fragment. OpenRouter's own is {DEFAULT_BASE_URL}.",
            about="base_url",
        )
    if url.scheme == "http" and not allow_http and not is_loopback(url.hostname or ""):
        raise OpenRouterRequestError(
            f"http://{url.hostname} would carry the management key unencrypted. Use https, or set allow_http if "
            "the network between is your own.",
            about="allow_http",
        )


def is_loopback(host: str) -> bool:
    """Return whether a host is this machine."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
