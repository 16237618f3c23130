-- What did each team cost in the last N days, a team being what stands before the first '-' of a key's name?
--
-- USD, days counted from the newest of each source, deleted and disabled keys included. A name without '-' is
-- its own prefix, a key without a name has the empty one, and a renamed key counts where its name was on the
-- day. Two sources that list the same account count its keys twice.

WITH settings AS (SELECT 30 AS days)
SELECT
    source, prefix,
    count(DISTINCT hash) AS keys,
    sum(spend) AS spend,
    coalesce(sum(byok_spend), 0) AS byok_spend
FROM openrouter_key_spend
CROSS JOIN settings
WHERE days_ago < settings.days
GROUP BY source, prefix
ORDER BY spend DESC, source, prefix;
