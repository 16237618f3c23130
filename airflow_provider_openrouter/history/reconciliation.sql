-- Does what each key spent agree between the keys' snapshots and the activity, over the last N days of the
-- activity?
--
-- USD, to a millionth of a dollar. `spend_by_usage` is the spend of openrouter_key_spend, from snapshot to
-- snapshot, `spend_by_activity` that of the UTC days between, and `difference` the first minus the second. A
-- snapshot counts at the midnight that is nearest to it, so snapshots just after midnight agree best. `days` is
-- how many days are compared, `last_day` the snapshot that ends them. Keys and days that only one of the two
-- knows are left out.

WITH settings AS (SELECT 30 AS days),
activity AS (
    SELECT source, hash, day_number, spend
    FROM openrouter_activity_observations
    WHERE grouped_by = 'key'
),
newest AS (
    SELECT source, max(day_number) AS day_number
    FROM activity
    GROUP BY source
),
days_read AS (
    SELECT
        activity.source,
        min(activity.day_number) AS first_day_number,
        max(activity.day_number) AS last_day_number
    FROM activity
    JOIN newest ON newest.source = activity.source
    CROSS JOIN settings
    WHERE newest.day_number - activity.day_number < settings.days
    GROUP BY activity.source
),
amounts AS (
    SELECT
        costs.source, hash, name, day, NULL AS day_number, costs.first_day_number, next_day_number,
        costs.spend AS spend_by_usage, NULL AS spend_by_activity
    FROM openrouter_key_spend AS costs
    JOIN days_read ON days_read.source = costs.source
    WHERE costs.first_day_number >= days_read.first_day_number
        AND next_day_number <= days_read.last_day_number + 1
    UNION ALL
    SELECT
        source, hash, NULL AS name, NULL AS day, day_number, NULL AS first_day_number, NULL AS next_day_number,
        NULL AS spend_by_usage, spend AS spend_by_activity
    FROM activity
    WHERE hash IS NOT NULL
),
bounded AS (
    SELECT
        source, hash, name, day, day_number, spend_by_usage, spend_by_activity,
        min(first_day_number) OVER (PARTITION BY source, hash) AS first_day_number,
        max(next_day_number) OVER (PARTITION BY source, hash) AS next_day_number,
        max(day) OVER (PARTITION BY source, hash) AS last_day
    FROM amounts
),
answers AS (
    SELECT
        source, hash, last_day,
        max(CASE WHEN day = last_day THEN name END) AS name,
        next_day_number - first_day_number AS days,
        sum(spend_by_usage) AS spend_by_usage,
        coalesce(sum(spend_by_activity), 0) AS spend_by_activity
    FROM bounded
    WHERE day_number IS NULL OR (day_number >= first_day_number AND day_number < next_day_number)
    GROUP BY source, hash, last_day, first_day_number, next_day_number
)
SELECT
    source, name, hash, last_day, days,
    round(spend_by_usage * 1e6) / 1e6 AS spend_by_usage,
    round(spend_by_activity * 1e6) / 1e6 AS spend_by_activity,
    round((spend_by_usage - spend_by_activity) * 1e6) / 1e6 AS difference
FROM answers
ORDER BY abs(spend_by_usage - spend_by_activity) DESC, source, hash;
