-- When does each key run dry, if it goes on spending as in the last N days?
--
-- Active keys with a limit in the newest snapshot of each source: keys that are neither disabled nor expired.
-- `spend_per_day` is USD, to a millionth of a dollar, the average of the known days. It includes spend with
-- your own provider keys where that counts towards the limit. `outcome` is 'dry', 'runs dry', 'resets before'
-- (the limit is restored first, at midnight UTC: every day, on Monday, or on the 1st), 'not spending' or 'not
-- known' (there is no second snapshot yet). `days_until_dry` is null except for the first two. Days are
-- fractions, counted from the newest snapshot. A limit_reset other than daily, weekly and monthly counts as
-- never. The account's balance, the budget of a workspace or a guardrail can stop a key earlier.

WITH settings AS (SELECT 30 AS days),
pace AS (
    SELECT
        source, hash,
        sum(spend) / sum(costs.days) AS spend_per_day,
        coalesce(sum(byok_spend), 0) / sum(costs.days) AS byok_spend_per_day
    FROM openrouter_key_spend AS costs
    CROSS JOIN settings
    WHERE days_ago < settings.days
    GROUP BY source, hash
),
limited AS (
    SELECT
        newest.source, newest.hash, newest.name,
        newest.spending_limit, newest.limit_remaining, newest.limit_reset,
        CASE
            WHEN newest.include_byok_in_limit = 1 THEN pace.spend_per_day + pace.byok_spend_per_day
            ELSE pace.spend_per_day
        END AS spend_per_day,
        CASE newest.limit_reset
            WHEN 'daily' THEN 1
            WHEN 'weekly' THEN newest.days_until_monday
            WHEN 'monthly' THEN newest.days_until_next_month
        END - newest.day_part AS days_until_reset
    FROM openrouter_key_days AS newest
    LEFT JOIN pace ON pace.source = newest.source AND pace.hash = newest.hash
    WHERE newest.days_ago = 0 AND newest.still_listed = 1 AND newest.disabled = 0 AND newest.expired = 0
        AND newest.limit_remaining IS NOT NULL
),
judged AS (
    SELECT
        limited.*,
        CASE
            WHEN limit_remaining <= 0 THEN 'dry'
            WHEN spend_per_day IS NULL THEN 'not known'
            WHEN spend_per_day <= 0 THEN 'not spending'
            WHEN limit_remaining >= spend_per_day * days_until_reset THEN 'resets before'
            ELSE 'runs dry'
        END AS outcome
    FROM limited
),
answers AS (
    SELECT
        source, hash, name, spending_limit, limit_remaining, limit_reset, spend_per_day, outcome,
        CASE
            WHEN outcome = 'dry' THEN 0
            WHEN outcome = 'runs dry' THEN limit_remaining / spend_per_day
        END AS days_until_dry,
        days_until_reset
    FROM judged
)
SELECT
    source, name, hash,
    round(spending_limit * 1e6) / 1e6 AS spending_limit,
    round(limit_remaining * 1e6) / 1e6 AS limit_remaining,
    limit_reset,
    round(spend_per_day * 1e6) / 1e6 AS spend_per_day,
    outcome, days_until_dry, days_until_reset
FROM answers
ORDER BY days_until_dry IS NULL, days_until_dry, source, hash;
