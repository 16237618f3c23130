-- openrouter_activity_observations, for DuckDB (1.1 or newer): the rows of the activity, with days as numbers.
-- Only this file differs between databases.
--
-- It reads a folder of parquet files: put the path of yours into the only read_parquet. Run it after the files
-- of the keys' views, then names.sql (or no_names.sql, if you keep no snapshots of keys) and activity.sql,
-- once, and again after an upgrade: they replace their views. `hash` and `name` are the key's, null in rows
-- without one.

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
        CAST(date AS date) AS activity_date
    FROM read_parquet('lake/activity/**/*.parquet', union_by_name = true, hive_partitioning = false)
)
SELECT
    dated.*,
    CAST(activity_date AS varchar) AS day,
    activity_date - DATE '1970-01-01' AS day_number,
    split_part(coalesce(name, ''), '-', 1) AS prefix
FROM dated;
