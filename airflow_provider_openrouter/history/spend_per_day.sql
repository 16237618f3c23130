-- What did each key cost on each of the last N days?
--
-- USD, to a millionth of a dollar, one row per key and snapshot day. Days are counted from the newest day of
-- each source. A snapshot just after midnight shows what the previous day cost. If `days` is more than 1, the
-- spend is that of so many days together. See spend.sql for what is not known.

WITH settings AS (SELECT 30 AS days)
SELECT
    source, day, name, hash,
    round(spend * 1e6) / 1e6 AS spend,
    round(byok_spend * 1e6) / 1e6 AS byok_spend,
    costs.days
FROM openrouter_key_spend AS costs
CROSS JOIN settings
WHERE days_ago < settings.days
ORDER BY source, day, spend DESC, hash;
