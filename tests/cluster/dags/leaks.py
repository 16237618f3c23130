"""Leak a secret in every way that the hunt must notice."""

import base64
import logging
from urllib.parse import quote

from airflow.sdk import DAG, task

log = logging.getLogger(__name__)

with DAG(dag_id="leaks", schedule=None):

    @task
    def leak(secret):
        log.info("In a URL: %s", quote(secret, safe=""))
        for before in ("", "a", "ab"):
            log.info("As base64: %s", base64.b64encode(f"{before}{secret}".encode()).decode())
        return {"secret": secret}

    leak("{{ dag_run.conf['secret'] }}")
