"""Each way to list every key, one to a process, so that its time and its memory are its own."""

import json
import os
import resource
import sys
import time
from collections.abc import Callable
from urllib.request import urlopen


def provider(url: str) -> Callable[[], list]:
    from airflow_provider_openrouter.api.client import OpenRouterClient

    return OpenRouterClient("key", base_url=url).list_keys


def session_loop(url: str) -> Callable[[], list]:
    import requests

    def listing() -> list:
        keys: list = []
        with requests.Session() as session:
            session.headers["Authorization"] = "Bearer key"
            while page := session.get(f"{url}/keys", params={"offset": len(keys)}, timeout=30).json()["data"]:
                keys += page
        return keys

    return listing


def sdk_loop(url: str) -> Callable[[], list]:
    from openrouter import OpenRouter

    def listing() -> list:
        keys: list = []
        with OpenRouter(api_key="key", server_url=url) as client:
            while page := client.api_keys.list(offset=len(keys)).data:
                keys += page
        return keys

    return listing


def http_operator(url: str) -> Callable[[], list]:
    os.environ["AIRFLOW_CONN_HTTP_DEFAULT"] = json.dumps({"conn_type": "http", "host": url})
    from airflow.providers.http.operators.http import HttpOperator

    def following(response):
        page = response.json()["data"]
        offset = int(dict(pair.split("=") for pair in response.url.split("?")[1].split("&"))["offset"])
        return {"data": {"offset": offset + len(page)}} if page else None

    operator = HttpOperator(
        task_id="list_keys",
        method="GET",
        endpoint="/keys",
        data={"offset": 0},
        headers={"Authorization": "Bearer key"},
        pagination_function=following,
        response_filter=lambda responses: [key for each in responses for key in each.json()["data"]],
    )
    return lambda: operator.execute({})


def main(name: str, url: str) -> None:
    import airflow.sdk.bases.operator  # noqa: F401  # what every task has loaded is nobody's own cost

    listing = globals()[name](url)
    memory_before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    began = time.perf_counter()
    keys = listing()
    seconds = time.perf_counter() - began
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - memory_before
    with urlopen(f"{url}/figures") as figures:
        print(json.dumps({"keys": len(keys), "seconds": seconds, "MB": memory / 1024, **json.load(figures)}))


if __name__ == "__main__":
    main(*sys.argv[1:])
