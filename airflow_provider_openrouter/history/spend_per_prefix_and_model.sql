-- What did each team spend on each model in the last N days, if a key's name begins with its team and a '-'?
--
-- USD, to a millionth of a dollar, from the activity. Teams are those of spend_per_prefix.sql: a name without
-- '-' is its own prefix, and a renamed key counts under the name that it had on the day. `prefix` is null for
-- spend that no key accounts for, and for days that were not read by key.

WITH settings AS (SELECT 30 AS days)
SELECT
    source, prefix, model,
    count(DISTINCT hash) AS key_count,
    sum(requests) AS requests,
    round(coalesce(sum(spend), 0) * 1e6) / 1e6 AS spend,
    round(coalesce(sum(byok_spend), 0) * 1e6) / 1e6 AS byok_spend
FROM openrouter_activity_spend
CROSS JOIN settings
WHERE days_ago < settings.days
GROUP BY source, prefix, model
ORDER BY spend DESC, source, prefix, model;
