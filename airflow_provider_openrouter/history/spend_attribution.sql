-- Who spent what in the last N days: each creator, external user, team and workspace?
--
-- USD, to a millionth of a dollar, from the activity. `attribute` is 'creator_user_id', 'external_user',
-- 'prefix' or 'workspace_id', and `value` its value: each attribute has the whole spend of the account, so
-- never add up different ones. `value` is null for what cannot be attributed, such as the spend of the chat or
-- of deleted keys. Creators and external users need snapshots of the keys. Workspaces are those in which it was
-- spent.

WITH settings AS (SELECT 30 AS days),
attributes AS (
    SELECT 'creator_user_id' AS attribute
    UNION ALL SELECT 'external_user'
    UNION ALL SELECT 'prefix'
    UNION ALL SELECT 'workspace_id'
),
attributed AS (
    SELECT
        source, attribute, hash, requests, spend, byok_spend,
        CASE attribute
            WHEN 'creator_user_id' THEN creator_user_id
            WHEN 'external_user' THEN external_user
            WHEN 'prefix' THEN prefix
            ELSE workspace_id
        END AS value,
        CASE attribute WHEN 'workspace_id' THEN workspace_name END AS workspace_name
    FROM openrouter_activity_spend
    CROSS JOIN attributes
    CROSS JOIN settings
    WHERE days_ago < settings.days
)
SELECT
    source, attribute, value,
    max(workspace_name) AS workspace_name,
    count(DISTINCT hash) AS key_count,
    sum(requests) AS requests,
    round(coalesce(sum(spend), 0) * 1e6) / 1e6 AS spend,
    round(coalesce(sum(byok_spend), 0) * 1e6) / 1e6 AS byok_spend
FROM attributed
GROUP BY source, attribute, value
ORDER BY attribute, spend DESC, source, value;
