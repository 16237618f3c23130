"""A server of many keys that costs little itself: each page is encoded once, latency is a sleep, not work."""

import argparse
import asyncio
import json
import time
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from airflow_provider_openrouter.sandbox import PAGE_SIZE
from airflow_provider_openrouter.sandbox.records import make_key

ROW = json.dumps({"model": "vendor/model", "endpoint_id": "e", "usage": 0.5, "requests": 3}).encode()


class Server:
    def __init__(self, keys: int, latency: float, connect_latency: float, rate: float) -> None:
        self.latency = latency
        self.connect_latency = connect_latency
        self.rate = rate
        self.tokens = rate
        self.filled_at = time.monotonic()
        self.requests = self.connections = 0
        self.records = [json.dumps(never_low(number)).encode() for number in reversed(range(keys))]

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        await asyncio.sleep(self.connect_latency)
        try:
            while request := await reader.readuntil(b"\r\n\r\n"):
                await asyncio.sleep(self.latency)
                writer.write(self.answer(request.split(b" ", 2)[1].decode()))
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    def answer(self, target: str) -> bytes:
        if target == "/figures":
            figures = {"requests": self.requests, "connections": self.connections - 1}
            self.requests = self.connections = 0
            return _http(b"200 OK", json.dumps(figures).encode())
        self.requests += 1
        if self.rate and not self.take_token():
            return _http(b"429 Too Many Requests", b"{}", b"Retry-After: 1\r\n")
        if "/activity" in target:
            return _http(b"200 OK", b'{"data":[' + ROW + b"]}")
        offset = int(dict(parse_qsl(urlsplit(target).query)).get("offset", "0"))
        page = b",".join(self.records[offset : offset + PAGE_SIZE])
        return _http(b"200 OK", b'{"data":[' + page + b"]}")

    def take_token(self) -> bool:
        now = time.monotonic()
        self.tokens = min(self.rate, self.tokens + (now - self.filled_at) * self.rate)
        self.filled_at = now
        if self.tokens < 1:
            return False
        self.tokens -= 1
        return True


def never_low(number: int) -> dict[str, Any]:
    key = make_key(number, "0" * 36)
    return key if key["limit_remaining"] is None else key | {"limit": 1e6, "limit_remaining": 1e6 - 1}


def _http(status: bytes, body: bytes, headers: bytes = b"") -> bytes:
    length = str(len(body)).encode()
    return (
        b"HTTP/1.1 " + status + b"\r\nContent-Type: application/json\r\n" + headers + b"Content-Length: "
        + length + b"\r\n\r\n" + body
    )  # fmt: skip


async def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--keys", type=int, required=True)
    parser.add_argument("--latency", type=float, default=0.0)
    parser.add_argument("--connect-latency", type=float, default=0.0)
    parser.add_argument("--rate", type=float, default=0.0)
    server = Server(**vars(parser.parse_args()))
    async with await asyncio.start_server(server.serve, "127.0.0.1", 0) as listening:
        print(f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}", flush=True)
        await listening.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
