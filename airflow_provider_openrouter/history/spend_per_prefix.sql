-- What did each team cost in the last N days, if a key's name begins with its team and a '-'?
--
-- USD, to a millionth of a dollar, with deleted and disabled keys. Days are counted from the newest day of
-- each source. A name without '-' is its own prefix, and a key without a name has an empty prefix. A renamed
-- key counts under the name that it had on the day. If two sources list the same account, its keys count
-- twice.

WITH settings AS (SELECT 30 AS days)
SELECT
    source, prefix,
    count(DISTINCT hash) AS key_count,
    round(sum(spend) * 1e6) / 1e6 AS spend,
    round(coalesce(sum(byok_spend), 0) * 1e6) / 1e6 AS byok_spend
FROM openrouter_key_spend
CROSS JOIN settings
WHERE days_ago < settings.days
GROUP BY source, prefix
ORDER BY spend DESC, source, prefix;
