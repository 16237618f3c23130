"""The sensors that wait, either ours or as many of Airflow's own, and the probe."""

import json
import os
from pathlib import Path

from airflow.providers.standard.sensors.date_time import DateTimeSensorAsync
from airflow.sdk import DAG
from probe import ProbeOperator

from airflow_provider_openrouter.sensors.openrouter import OpenRouterCreditsSensor, OpenRouterKeyLimitSensor

LOAD = json.loads(Path(os.environ["OPENROUTER_LOAD"]).read_text())

with DAG("waiting", schedule=None, max_active_tasks=1000):
    if LOAD["ours"]:
        for task_id, sensor in (("keys", OpenRouterKeyLimitSensor), ("credits", OpenRouterCreditsSensor)):
            waiting = sensor.partial(task_id=task_id, deferrable=True, poke_interval=LOAD["interval"])
            waiting.expand_kwargs(LOAD["ours"][task_id])
    else:
        DateTimeSensorAsync.partial(task_id="wait").expand(target_time=LOAD["airflows"])

with DAG("probe", schedule=None):
    ProbeOperator(task_id="feel", seconds=LOAD["seconds"])
