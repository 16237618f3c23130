-- What did each model cost on each of the last N days?
--
-- USD, to a millionth of a dollar, one row per model and UTC day, from the activity. Days are counted from the
-- newest day of each source. A day without activity has no row.

WITH settings AS (SELECT 30 AS days)
SELECT
    source, day, model,
    sum(requests) AS requests,
    sum(prompt_tokens) AS prompt_tokens,
    sum(completion_tokens) AS completion_tokens,
    round(coalesce(sum(spend), 0) * 1e6) / 1e6 AS spend,
    round(coalesce(sum(byok_spend), 0) * 1e6) / 1e6 AS byok_spend
FROM openrouter_activity_spend
CROSS JOIN settings
WHERE days_ago < settings.days
GROUP BY source, day, model
ORDER BY source, day, spend DESC, model;
