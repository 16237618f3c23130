-- How many tokens did each model process in the last N days, at what cost, and how many came from the cache?
--
-- `cost_per_thousand` is USD for 1,000 prompt and completion tokens, to a billionth of a dollar. It includes
-- what you paid to other providers with your own keys. Reasoning tokens are not added: they are part of the
-- completion tokens. `cached_share` is cached tokens for each prompt token. It can exceed 1, because the API
-- can count more cached tokens than prompt tokens.

WITH settings AS (SELECT 30 AS days),
sums AS (
    SELECT
        source, model,
        sum(requests) AS requests,
        sum(prompt_tokens) AS prompt_tokens,
        sum(completion_tokens) AS completion_tokens,
        sum(reasoning_tokens) AS reasoning_tokens,
        sum(cached_tokens) AS cached_tokens,
        coalesce(sum(spend), 0) AS spend,
        coalesce(sum(byok_spend), 0) AS byok_spend
    FROM openrouter_activity_spend
    CROSS JOIN settings
    WHERE days_ago < settings.days
    GROUP BY source, model
)
SELECT
    source, model, requests, prompt_tokens, completion_tokens, reasoning_tokens, cached_tokens,
    round(spend * 1e6) / 1e6 AS spend,
    round(byok_spend * 1e6) / 1e6 AS byok_spend,
    round((spend + byok_spend) * 1e12 / nullif(coalesce(prompt_tokens, 0) + coalesce(completion_tokens, 0), 0))
        / 1e9 AS cost_per_thousand,
    round(cached_tokens * 1e6 / nullif(prompt_tokens, 0)) / 1e6 AS cached_share
FROM sums
ORDER BY spend DESC, source, model;
