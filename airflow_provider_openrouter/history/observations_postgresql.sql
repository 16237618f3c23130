-- openrouter_key_observations, for PostgreSQL (15 or newer): the rows of the snapshots, with days as numbers.
-- Only this file differs between databases.
--
-- It needs no granularity, so it reads tables with and without that column. A day and its first hour can both
-- have a row for a key. Which of them counts is decided in days.sql.
--
-- Times are timestamptz, and the time zone of the session does not matter. If your table has another name, put
-- it into the only FROM openrouter_keys. Run this file, days.sql and spend.sql, in this order, once, and again
-- after an upgrade: they replace their views.

DROP VIEW IF EXISTS openrouter_activity_spend;
DROP VIEW IF EXISTS openrouter_key_names;
DROP VIEW IF EXISTS openrouter_key_spend;
DROP VIEW IF EXISTS openrouter_key_days;
DROP VIEW IF EXISTS openrouter_key_observations;

CREATE VIEW openrouter_key_observations AS
WITH dated AS (
    SELECT
        source, workspace_scope, hash, snapshot, observed_at, name, label, workspace_id, creator_user_id,
        external_user, disabled, limit_remaining, limit_reset, include_byok_in_limit, usage, byok_usage,
        created_at, expires_at,
        "limit" AS spending_limit,
        CAST(snapshot AT TIME ZONE 'UTC' AS date) AS snapshot_date,
        CAST(created_at AT TIME ZONE 'UTC' AS date) AS created_date,
        CAST(last_used_at AT TIME ZONE 'UTC' AS date) AS last_used_date,
        CAST(expires_at AT TIME ZONE 'UTC' AS date) AS expires_date
    FROM openrouter_keys
)
SELECT
    dated.*,
    to_char(snapshot_date, 'YYYY-MM-DD') AS day,
    to_char(last_used_date, 'YYYY-MM-DD') AS last_used_day,
    to_char(expires_date, 'YYYY-MM-DD') AS expires_day,
    snapshot_date - DATE '1970-01-01' AS day_number,
    created_date - DATE '1970-01-01' AS created_day_number,
    last_used_date - DATE '1970-01-01' AS last_used_day_number,
    expires_date - DATE '1970-01-01' AS expires_day_number,
    CAST(date_trunc('week', CAST(snapshot_date AS timestamp)) AS date) + 7 - snapshot_date
        AS days_until_monday,
    CAST(date_trunc('month', CAST(snapshot_date AS timestamp)) + INTERVAL '1 month' AS date) - snapshot_date
        AS days_until_next_month,
    CAST(extract(epoch FROM observed_at AT TIME ZONE 'UTC' - snapshot_date) / 86400 AS double precision)
        AS day_part,
    split_part(coalesce(name, ''), '-', 1) AS prefix
FROM dated;
