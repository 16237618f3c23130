-- openrouter_activity_spend: what each key spent on each UTC day, on which model, and whose the key was.
--
-- Each day of a source counts once, however often it was read: by key if it was read by key, otherwise by
-- workspace, otherwise for the account. So sums are the account's, whatever `grouped_by` says. Rows without a
-- `hash` are spend that no key accounts for (deleted keys, the chat), and days that were not read by key.
--
-- `name`, `prefix`, `creator_user_id` and `external_user` are those of the day where the keys' snapshots know
-- the key. Otherwise name and prefix are those at the time the activity was read, and the others are null.
-- `spend` is USD, `byok_spend` an estimate of what you paid to other providers with your own keys, in addition
-- to `spend`. `days_ago` is 0 on the newest day of a source.

DROP VIEW IF EXISTS openrouter_activity_spend;

CREATE VIEW openrouter_activity_spend AS
WITH newest AS (
    SELECT source, max(day_number) AS day_number
    FROM openrouter_activity_observations
    GROUP BY source
),
ranked AS (
    SELECT
        observations.*,
        newest.day_number - observations.day_number AS days_ago,
        rank() OVER (PARTITION BY observations.source, observations.day_number
            ORDER BY CASE grouped_by WHEN 'key' THEN 1 WHEN 'workspace' THEN 2 ELSE 3 END) AS place
    FROM openrouter_activity_observations AS observations
    JOIN newest ON newest.source = observations.source
),
described AS (
    SELECT
        source, hash, day_number, NULL AS first_day_number,
        day, days_ago, grouped_by, name, prefix, workspace_id, workspace_name,
        model, model_permaslug, provider_name, endpoint_id,
        requests, prompt_tokens, completion_tokens, reasoning_tokens, cached_tokens, spend, byok_spend,
        NULL AS name_seen, NULL AS prefix_seen, NULL AS creator_user_id, NULL AS external_user,
        NULL AS created_day_number
    FROM ranked
    WHERE place = 1
    UNION ALL
    SELECT
        source, hash, first_day_number AS day_number, first_day_number,
        NULL, NULL, NULL, NULL, NULL, NULL, NULL,
        NULL, NULL, NULL, NULL,
        NULL, NULL, NULL, NULL, NULL, NULL, NULL,
        name, prefix, creator_user_id, external_user,
        created_day_number
    FROM openrouter_key_names
),
periods AS (
    SELECT
        described.*,
        max(first_day_number) OVER (PARTITION BY source, hash ORDER BY day_number) AS period
    FROM described
),
named AS (
    SELECT
        source, hash, day, day_number, days_ago, grouped_by, name, prefix, workspace_id, workspace_name,
        model, model_permaslug, provider_name, endpoint_id,
        requests, prompt_tokens, completion_tokens, reasoning_tokens, cached_tokens, spend, byok_spend, period,
        first_value(name_seen) OVER of_period AS name_seen,
        first_value(prefix_seen) OVER of_period AS prefix_seen,
        first_value(creator_user_id) OVER of_period AS creator_user_id,
        first_value(external_user) OVER of_period AS external_user,
        first_value(created_day_number) OVER of_period AS created_day_number
    FROM periods
    WINDOW of_period AS (PARTITION BY source, hash, period ORDER BY day_number, first_day_number IS NULL)
)
SELECT
    source, day, day_number, days_ago, grouped_by, hash,
    CASE WHEN period IS NULL THEN name ELSE name_seen END AS name,
    CASE WHEN period IS NOT NULL THEN prefix_seen WHEN hash IS NOT NULL THEN prefix END AS prefix,
    created_day_number, creator_user_id, external_user, workspace_id, workspace_name,
    model, model_permaslug, provider_name, endpoint_id,
    requests, prompt_tokens, completion_tokens, reasoning_tokens, cached_tokens, spend, byok_spend
FROM named
WHERE grouped_by IS NOT NULL;
