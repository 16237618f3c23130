"""The program: serve a sandbox until it is interrupted."""

from __future__ import annotations

import argparse

from airflow_provider_openrouter.sandbox.account import TOKEN
from airflow_provider_openrouter.sandbox.server import Sandbox


def main() -> None:
    """Serve a sandbox and print the connection to it, until it is interrupted."""
    try:
        with _sandbox() as sandbox:
            print(f"export AIRFLOW_CONN_OPENROUTER_DEFAULT='{sandbox.connection}'", flush=True)
            sandbox.wait()
    except KeyboardInterrupt:
        print("Stopped.")


def _sandbox() -> Sandbox:
    parser = argparse.ArgumentParser(
        prog="python -m airflow_provider_openrouter.sandbox",
        description="Serve a local stand-in for OpenRouter's key API.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("--host", default="127.0.0.1", help="the address to listen on")
    parser.add_argument("--port", type=int, default=0, help="the port to listen on, 0 for a free one")
    parser.add_argument("--keys", type=int, default=25, metavar="N", help="keys, over all workspaces")
    parser.add_argument("--workspaces", type=int, default=1, metavar="N", help="workspaces")
    parser.add_argument(
        "--drain", type=float, default=0.0, metavar="USD", help="what each active key spends a minute"
    )
    parser.add_argument(
        "--balance", type=float, metavar="USD", help="what is left of the account's credits; plenty by default"
    )
    parser.add_argument("--token", default=TOKEN, help="the management key to ask with")
    options = parser.parse_args()
    try:
        return Sandbox(**vars(options))
    except (ValueError, OSError, OverflowError) as error:
        parser.error(str(error))


if __name__ == "__main__":
    main()
