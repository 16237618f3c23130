"""The SQL of the docs, as pasted."""

import re
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from support.autumn import activity_row
from support.histories import NIGHT, row

DOCS = Path(__file__).parents[2] / "docs"
DAY = NIGHT.date()
SPENT = {
    "model": "openai/gpt-4.1",
    "model_permaslug": "openai/gpt-4.1-2025",
    "provider_name": "Azure",
    **dict.fromkeys(("requests", "prompt_tokens", "completion_tokens"), 10),
}
ACTIVITY = [
    activity_row(DAY, key="a", usage=1.5, byok_usage_inference=0.25, **SPENT),
    activity_row(DAY, key="a", usage=0.5, byok_usage_inference=0.0, endpoint_id="another", **SPENT),
    activity_row(DAY, key="b", usage=4.0, byok_usage_inference=0.0, **SPENT),
    activity_row(DAY, usage=8.0, byok_usage_inference=0.0, workspace_id=None, **SPENT),
]


def recipe(page):
    (sql,) = re.findall(r"^```sql\n(.*?)^```$", (DOCS / page).read_text(), re.MULTILINE | re.DOTALL)
    return sql


@pytest.fixture(scope="module")
def spent(dialect, keep):
    snapshots = [row("a", NIGHT, name="team-a", creator_user_id="user_1"), row("b", NIGHT, name="team-b")]
    return keep(dialect, snapshots, activity=ACTIVITY)


def test_creators_get_the_names_of_members(spent):
    spent.run(
        "CREATE TABLE openrouter_members (id varchar(190) PRIMARY KEY, email varchar(320), name varchar(320))"
    )
    spent.run(
        "INSERT INTO openrouter_members VALUES ('user_1', 'ada@example.com', 'Ada'), ('user_2', NULL, 'Alan')"
    )
    assert spent.query(recipe("spend.md")) == [
        {"creator": "not known", "email": None, "spend": 12},
        {"creator": "Ada", "email": "ada@example.com", "spend": 2},
    ]


@pytest.mark.parametrize("dialect", ["postgresql", "duckdb"], scope="module")
def test_activity_has_columns_of_focus(spent):
    first, *others = sorted(spent.query(recipe("focus.md")), key=lambda row: row["EffectiveCost"])
    assert {name: value for name, value in first.items() if not name.startswith("Service")} == {
        "BilledCost": 0,
        "EffectiveCost": 2,
        "BillingCurrency": "USD",
        "BillingAccountId": "prod",
        "ChargePeriodStart": datetime.combine(DAY, datetime.min.time()),
        "ChargePeriodEnd": datetime.combine(DAY + timedelta(days=1), datetime.min.time()),
        "ChargeCategory": "Usage",
        "ChargeFrequency": "Usage-Based",
        "ChargeDescription": "Tokens of openai/gpt-4.1, served by Azure",
        "ConsumedQuantity": 40,
        "ConsumedUnit": "Tokens",
        "ProviderName": "OpenRouter",
        "InvoiceIssuerName": "OpenRouter",
        "PublisherName": "openai",
        "SubAccountId": "w1",
        "SubAccountName": "Default",
        "SubAccountType": "Workspace",
        "ResourceId": "a",
        "ResourceName": "team-a",
        "ResourceType": "API key",
        "SkuId": "openai/gpt-4.1-2025",
        "x_Requests": 20,
        "x_Team": "team",
        "x_CreatorUserId": "user_1",
        "x_ExternalUser": None,
        "x_OtherProvidersCost": 0.25,
    }
    told = ("ResourceId", "ResourceType", "SubAccountType", "x_Team", "EffectiveCost")
    assert [tuple(other[column] for column in told) for other in others] == [
        ("b", "API key", "Workspace", "team", 4),
        (None, None, None, None, 8),
    ]
