"""A lake of files, on disk or in S3, and how to write to it and read it."""

import io
import json
import secrets

import pandas as pd
import pytest
from support.s3 import running_s3
from support.tasks import Context

from airflow_provider_openrouter.operators.openrouter import OpenRouterListKeysOperator
from airflow_provider_openrouter.sandbox import Sandbox

SUFFIXES = (".parquet", ".csv", ".jsonl")
PARTITIONS = "keys/date={snapshot}/{source}/{workspace_scope}"
BUCKET = "lake"
CREDENTIALS = {"login": "AKIAIOSFODNN7EXAMPLE", "password": "not-checked-by-moto"}


@pytest.fixture(scope="session")
def s3_server():
    """A server of the S3 protocol, as a URL."""
    with running_s3() as url:
        yield url


class Bucket:
    """A bucket as someone else sees it, by boto3 and without Airflow."""

    def __init__(self, url):
        import boto3

        self.client = boto3.client(
            "s3",
            endpoint_url=url,
            region_name="eu-west-1",
            aws_access_key_id=CREDENTIALS["login"],
            aws_secret_access_key=CREDENTIALS["password"],
        )

    def clear(self):
        for key in self.sizes():
            self.client.delete_object(Bucket=BUCKET, Key=key)

    def sizes(self):
        listed = self.client.list_objects_v2(Bucket=BUCKET).get("Contents", [])
        return {each["Key"]: each["Size"] for each in listed}

    def read(self, key):
        return self.client.get_object(Bucket=BUCKET, Key=key)["Body"].read()

    def frame(self, key):
        return READERS[f".{key.rpartition('.')[2]}"](io.BytesIO(self.read(key)))


@pytest.fixture
def bucket(s3_server, monkeypatch):
    extra = {"endpoint_url": s3_server, "region_name": "eu-west-1"}
    monkeypatch.setenv(
        "AIRFLOW_CONN_AWS_CONN", json.dumps({"conn_type": "aws", **CREDENTIALS, "extra": json.dumps(extra)})
    )
    bucket = Bucket(s3_server)
    bucket.client.create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
    yield bucket
    bucket.clear()
    bucket.client.delete_bucket(Bucket=BUCKET)


READERS = {
    ".parquet": pd.read_parquet,
    ".csv": pd.read_csv,
    ".jsonl": lambda file: pd.read_json(file, lines=True, precise_float=True),
}


def run(output_path, context=None, **arguments):
    operator = OpenRouterListKeysOperator(task_id="list_keys", output_path=str(output_path), **arguments)
    return operator.execute(Context() if context is None else context)


def without_the_time(frame):
    """Leave out what differs between a listing and the next."""
    return frame.drop(columns="observed_at")


def files_below(folder):
    return sorted(path for path in folder.rglob("*") if path.is_file())


@pytest.fixture(scope="session")
def bulky():
    """Few keys that are 60 MB, which is more than s3fs sends in one request."""
    with Sandbox(keys=0) as sandbox:
        for _ in range(600):
            sandbox.create_key(name=secrets.token_hex(50_000), expires_at=None)
        yield sandbox
