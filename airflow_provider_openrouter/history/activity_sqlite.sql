-- openrouter_activity_observations, for SQLite (3.40 or newer): the rows of the activity, with days as numbers.
-- Only this file differs between databases.
--
-- If your table has another name, put it into the only FROM openrouter_activity. Run this file after those of
-- the keys' views, then names.sql (or no_names.sql, if you keep no snapshots of keys) and activity.sql, once,
-- and again after an upgrade: they replace their views. `hash` and `name` are the key's, null in rows without
-- one.

DROP VIEW IF EXISTS openrouter_activity_spend;
DROP VIEW IF EXISTS openrouter_key_names;
DROP VIEW IF EXISTS openrouter_activity_observations;

CREATE VIEW openrouter_activity_observations AS
WITH dated AS (
    SELECT
        source, grouped_by, workspace_name, model, model_permaslug, provider_name, endpoint_id, requests,
        prompt_tokens, completion_tokens, reasoning_tokens, cached_tokens,
        nullif(key_hash, '') AS hash,
        nullif(key_name, '') AS name,
        nullif(workspace_id, '') AS workspace_id,
        usage AS spend,
        byok_usage_inference AS byok_spend,
        substr(date, 1, 10) AS activity_date
    FROM openrouter_activity
)
SELECT
    dated.*,
    activity_date AS day,
    unixepoch(activity_date) / 86400 AS day_number,
    substr(coalesce(name, ''), 1, instr(coalesce(name, '') || '-', '-') - 1) AS prefix
FROM dated;
