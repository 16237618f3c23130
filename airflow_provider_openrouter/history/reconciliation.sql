-- Does what each key spent agree between the keys' snapshots and the activity, over the last N days of the
-- activity?
--
-- USD, to a millionth of a dollar. `spend_by_usage` is the spend of openrouter_key_spend, from snapshot to
-- snapshot, `spend_by_activity` that of the UTC days between, and `difference` the first minus the second. A
-- snapshot counts at the midnight that is nearest to it, so snapshots just after midnight agree best. `days` is
-- how many days are compared, `last_day` the snapshot that ends them. Keys and days that only one of the two
-- knows are left out.

WITH settings AS (SELECT 30 AS days),
days_read AS (
    SELECT source, min(day_number) AS first_day_number, max(day_number) AS last_day_number
    FROM openrouter_activity_spend
    CROSS JOIN settings
    WHERE grouped_by = 'key' AND days_ago < settings.days
    GROUP BY source
),
snapshots AS (
    SELECT source, hash, day_number, created_day_number, round(day_number + day_part) AS midnight
    FROM openrouter_key_days AS key_days
    WHERE key_days.usage IS NOT NULL
),
steps AS (
    SELECT
        source, hash, day_number,
        coalesce(lag(midnight) OVER (PARTITION BY source, hash ORDER BY day_number), created_day_number)
            AS first_day_number,
        midnight AS next_day_number
    FROM snapshots
),
by_usage AS (
    SELECT
        steps.source, steps.hash, max(costs.day) AS last_day,
        min(steps.first_day_number) AS first_day_number,
        max(steps.next_day_number) AS next_day_number,
        sum(costs.spend) AS spend
    FROM steps
    JOIN openrouter_key_spend AS costs ON costs.source = steps.source AND costs.hash = steps.hash
        AND costs.day_number = steps.day_number
    JOIN days_read ON days_read.source = steps.source
    WHERE steps.first_day_number >= days_read.first_day_number
        AND steps.next_day_number <= days_read.last_day_number + 1
    GROUP BY steps.source, steps.hash
),
answers AS (
    SELECT
        by_usage.source, names.name, by_usage.hash, by_usage.last_day,
        by_usage.next_day_number - by_usage.first_day_number AS days,
        by_usage.spend AS spend_by_usage,
        coalesce(sum(activity.spend), 0) AS spend_by_activity
    FROM by_usage
    JOIN openrouter_key_names AS names ON names.source = by_usage.source AND names.hash = by_usage.hash
        AND names.next_day_number = 1000000
    LEFT JOIN openrouter_activity_spend AS activity ON activity.source = by_usage.source
        AND activity.hash = by_usage.hash AND activity.day_number >= by_usage.first_day_number
        AND activity.day_number < by_usage.next_day_number
    GROUP BY by_usage.source, names.name, by_usage.hash, by_usage.last_day, by_usage.first_day_number,
        by_usage.next_day_number, by_usage.spend
)
SELECT
    source, name, hash, last_day, days,
    round(spend_by_usage * 1e6) / 1e6 AS spend_by_usage,
    round(spend_by_activity * 1e6) / 1e6 AS spend_by_activity,
    round((spend_by_usage - spend_by_activity) * 1e6) / 1e6 AS difference
FROM answers
ORDER BY abs(spend_by_usage - spend_by_activity) DESC, source, hash;
