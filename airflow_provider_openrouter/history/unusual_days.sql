-- On which of the last N days did a key or team cost far more than in its own four weeks before?
--
-- A day is unusual if it cost more than 3 times what was `usual`, and at least 5 dollars more: `usual` is the
-- third most expensive of the 28 days before. So two earlier expensive days do not hide another one, and a
-- job that runs every week is not unusual. Days without rows cost 0. `kind` is 'key', or 'team' for a prefix.
-- `cost` is USD, to a millionth of a dollar, with what you paid to other providers with your own keys.
--
-- A key is judged from a week after its creation, if the keys' snapshots know that, or after its first
-- activity. A team is judged from a week after its first activity. Nothing is judged in the first week that was
-- read by key.

WITH settings AS (SELECT 30 AS days, 3 AS times, 5 AS dollars),
costs AS (
    SELECT
        source, 'key' AS kind, hash AS id, day, day_number, days_ago, created_day_number,
        max(name) AS name,
        sum(coalesce(spend, 0) + coalesce(byok_spend, 0)) AS cost
    FROM openrouter_activity_spend
    WHERE hash IS NOT NULL
    GROUP BY source, hash, day, day_number, days_ago, created_day_number
    UNION ALL
    SELECT
        source, 'team' AS kind, prefix AS id, day, day_number, days_ago, NULL AS created_day_number,
        prefix AS name,
        sum(coalesce(spend, 0) + coalesce(byok_spend, 0)) AS cost
    FROM openrouter_activity_spend
    WHERE hash IS NOT NULL
    GROUP BY source, prefix, day, day_number, days_ago
),
first_read AS (
    SELECT source, min(day_number) AS day_number
    FROM openrouter_activity_spend
    WHERE hash IS NOT NULL
    GROUP BY source
),
aged AS (
    SELECT
        costs.*,
        costs.day_number - first_read.day_number AS days_read,
        costs.day_number - first_value(coalesce(created_day_number, costs.day_number))
            OVER (PARTITION BY costs.source, kind, id ORDER BY costs.day_number) AS age
    FROM costs
    JOIN first_read ON first_read.source = costs.source
),
weekdays AS (
    SELECT 1 AS days UNION ALL SELECT 2 UNION ALL SELECT 3 UNION ALL SELECT 4
    UNION ALL SELECT 5 UNION ALL SELECT 6 UNION ALL SELECT 7
),
weeks AS (SELECT 0 AS days UNION ALL SELECT 7 UNION ALL SELECT 14 UNION ALL SELECT 21),
compared AS (
    SELECT source, kind, id, days_ago, day, name, cost, NULL AS earlier_cost
    FROM aged
    CROSS JOIN settings
    WHERE days_ago < settings.days AND cost >= settings.dollars AND age >= 7 AND days_read >= 7
    UNION ALL
    SELECT
        source, kind, id, days_ago - weeks.days - weekdays.days AS days_ago,
        NULL AS day, NULL AS name, NULL AS cost, cost AS earlier_cost
    FROM aged
    CROSS JOIN weeks
    CROSS JOIN weekdays
    CROSS JOIN settings
    WHERE days_ago - weeks.days - weekdays.days BETWEEN 0 AND settings.days - 1
),
placed AS (
    SELECT
        compared.*,
        row_number() OVER (PARTITION BY source, kind, id, days_ago
            ORDER BY earlier_cost IS NULL, earlier_cost DESC) AS place
    FROM compared
),
answers AS (
    SELECT
        source, kind, id,
        max(day) AS day, max(name) AS name, max(cost) AS cost,
        coalesce(max(CASE WHEN place = 3 THEN earlier_cost END), 0) AS usual
    FROM placed
    GROUP BY source, kind, id, days_ago
)
SELECT
    source, day, kind, name,
    CASE kind WHEN 'key' THEN id END AS hash,
    round(cost * 1e6) / 1e6 AS cost,
    round(usual * 1e6) / 1e6 AS usual
FROM answers
CROSS JOIN settings
WHERE cost > times * usual AND cost - usual >= dollars
ORDER BY day DESC, cost - usual DESC, source, kind, id;
