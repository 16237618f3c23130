-- openrouter_activity_spend: what was spent on each UTC day, on which model and by which key, and whose that
-- was.
--
-- Each day of a source counts once, however often it was read: by key if it was read by key, otherwise by
-- workspace, otherwise for the account. So sums are the account's, whatever `grouped_by` says. Rows without a
-- `hash` are what no listed key spent (deleted keys, the chat), and days that were not read by key.
--
-- `name`, `prefix`, `creator_user_id` and `external_user` are those of the day where the keys' snapshots know
-- the key. Otherwise the name and prefix are those of when the activity was read, and the others are null.
-- `spend` is USD, `byok_spend` an estimate of what you paid to other providers with your own keys, in addition
-- to `spend`. `days_ago` is 0 on the newest day of a source.

DROP VIEW IF EXISTS openrouter_activity_spend;

CREATE VIEW openrouter_activity_spend AS
WITH ranked AS (
    SELECT
        observations.*,
        max(day_number) OVER (PARTITION BY source) - day_number AS days_ago,
        rank() OVER (PARTITION BY source, day_number
            ORDER BY CASE grouped_by WHEN 'key' THEN 1 WHEN 'workspace' THEN 2 ELSE 3 END) AS place
    FROM openrouter_activity_observations AS observations
)
SELECT
    ranked.source, day, day_number, days_ago, grouped_by, ranked.hash,
    CASE WHEN names.hash IS NULL THEN ranked.name ELSE names.name END AS name,
    CASE
        WHEN names.hash IS NOT NULL THEN names.prefix
        WHEN ranked.hash IS NOT NULL THEN ranked.prefix
    END AS prefix,
    created_day_number, creator_user_id, external_user, workspace_id, workspace_name,
    model, model_permaslug, provider_name, endpoint_id,
    requests, prompt_tokens, completion_tokens, reasoning_tokens, cached_tokens, spend, byok_spend
FROM ranked
LEFT JOIN openrouter_key_names AS names ON names.source = ranked.source AND names.hash = ranked.hash
    AND names.first_day_number <= day_number AND day_number < names.next_day_number
WHERE place = 1;
