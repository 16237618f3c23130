"""
Draw what each model cost on each day, from the lake that the DAG openrouter_spend_by_model fills.

It needs duckdb and matplotlib: ``python scripts/spend_chart.py data/lake/activity spend-by-model.png``.
"""

from __future__ import annotations

import sys

import duckdb
import matplotlib

matplotlib.use("Agg")  # it needs no screen
from matplotlib import pyplot as plt

from airflow_provider_openrouter import history


def main(folder: str, picture: str) -> None:
    with duckdb.connect() as lake:
        lake.execute(history.sql("views", dialect="duckdb", activity_folder=folder))
        spend = lake.execute(history.sql("spend_per_model", dialect="duckdb")).df()
    by_day = spend.pivot_table(index="day", columns="model", values="spend", aggfunc="sum", fill_value=0)
    by_day = by_day[by_day.sum().sort_values(ascending=False).index]  # the most expensive model at the bottom
    axes = by_day.plot.bar(stacked=True, width=0.85, figsize=(12, 5), colormap="viridis")
    axes.set(title="Spend on OpenRouter by model and day (UTC)", xlabel="", ylabel="USD")
    axes.set_xticks(range(0, len(by_day), 3), by_day.index[::3], rotation=0)
    axes.legend(title="", frameon=False, loc="upper left", ncols=3)
    axes.set_ylim(0, by_day.sum(axis=1).max() * 1.25)
    axes.spines[["top", "right"]].set_visible(False)
    plt.tight_layout()
    plt.savefig(picture, dpi=100)


if __name__ == "__main__":
    main(*sys.argv[1:])
