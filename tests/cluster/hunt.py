"""A hunt for a secret in everything that a cluster has written."""

from __future__ import annotations

import json
import re
from base64 import b64encode, urlsafe_b64encode
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pandas as pd
from airflow.utils.json import XComDecoder
from cluster import Cluster
from cryptography.fernet import Fernet


def disguises(secret: str) -> dict[str, bytes]:
    """Return the forms a secret can have: as it is, in a URL, and within text encoded as base64."""
    looks = {"plain": secret.encode(), "URL-quoted": quote(secret, safe="").encode()}
    for encode in (b64encode, urlsafe_b64encode):
        for before in range(3):
            # Only the characters of base64 whose six bits all belong to the secret.
            first, end = -(-before * 8 // 6), (before + len(secret)) * 8 // 6
            looks[f"{encode.__name__}, {before} before"] = encode(bytes(before) + secret.encode())[first:end]
    return looks


def places(cluster: Cluster) -> Iterator[tuple[str, bytes]]:
    """Return every place that a cluster writes to, by name. Redis keeps its messages in the home."""
    for path in cluster.home.rglob("*"):
        if not path.is_file():
            continue
        name, content = path.relative_to(cluster.home).as_posix(), path.read_bytes()
        yield name, content
        if path.suffix == ".parquet" or b'"pandas.DataFrame"' in content:
            yield f"{name} unpacked", unpacked(path).to_csv().encode()
    yield "metadata database", cluster.dump().encode()
    yield "warehouse", cluster.dump("warehouse").encode()


def unpacked(path: Path) -> pd.DataFrame:
    """Return the frame in a file of the lake or of an XCom."""
    return pd.read_parquet(path) if path.suffix == ".parquet" else json.loads(path.read_text(), cls=XComDecoder)


def found(secret: str, places: list[tuple[str, bytes]]) -> dict[str, set[str]]:
    """Return the places where a secret is, by the form it has there."""
    return {
        look: names
        for look, content in disguises(secret).items()
        if (names := {name for name, bytes_ in places if content in bytes_})
    }


def decrypted(fernet_key: str, dump: str) -> list[str]:
    """Return everything that Airflow has encrypted in a dump."""
    return [Fernet(fernet_key).decrypt(each).decode() for each in re.findall(r"gAAAA[\w-]+=*", dump)]
