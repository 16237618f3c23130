"""Sensors, each of which waits for a key of its own name."""

from airflow.sdk import DAG

from airflow_provider_openrouter.sensors.openrouter import OpenRouterKeyLimitSensor

SENSORS = {
    "usd": {"threshold": 5, "deferrable": True},
    "percent": {"threshold": "10%", "deferrable": True, "workspace_id": "*"},
    "meanwhile": {"threshold": 5, "deferrable": True},
    "never": {"threshold": 5, "deferrable": True, "timeout": 60, "soft_fail": True},
    "rescheduled": {"threshold": 5, "mode": "reschedule", "poke_interval": 10},
}

with DAG("waits", schedule=None):
    for name, arguments in SENSORS.items():
        OpenRouterKeyLimitSensor(
            task_id=name,
            openrouter_conn_id="watched",
            name_pattern=name,
            **{"poke_interval": 2, **arguments},
        )
