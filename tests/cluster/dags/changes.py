"""DAGs that change keys which their runs name: at once, and after a person was asked."""

from datetime import timedelta

from airflow.sdk import DAG

from airflow_provider_openrouter.operators.openrouter import (
    OpenRouterRaiseLimitOperator,
    OpenRouterUpdateKeyOperator,
)

arguments = {
    "openrouter_conn_id": "openrouter_updates",
    "max_limit": 100,
    "retries": 2,
    "retry_delay": timedelta(seconds=2),
}
with DAG(dag_id="changes", schedule=None, default_args=arguments):
    OpenRouterUpdateKeyOperator(task_id="top_up", key_hash="{{ dag_run.conf['top_up'] }}", remaining=50)
    OpenRouterUpdateKeyOperator(
        task_id="set_limit", key_hash="{{ dag_run.conf['set_limit'] }}", limit=80, name="raised"
    )

with DAG(dag_id="asks", schedule=None, default_args=arguments, render_template_as_native_obj=True):
    OpenRouterRaiseLimitOperator(task_id="ask", key="{{ dag_run.conf['key'] }}")
