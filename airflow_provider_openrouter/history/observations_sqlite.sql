-- openrouter_key_observations, for SQLite (3.40 or newer): the rows of the snapshots, with days as numbers.
-- Only this file differs between databases.
--
-- It needs no granularity, so it reads tables with and without that column. A day and its first hour can both
-- have a row for a key. Which of them counts is decided in days.sql.
--
-- Times are text in UTC, 'YYYY-MM-DD HH:MM:SS.ffffff', as SQLAlchemy writes them. If your table has another
-- name, put it into the only FROM openrouter_keys. Run this file, days.sql and spend.sql, in this order, once,
-- and again after an upgrade: they replace their views.

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
        substr(snapshot, 1, 10) AS snapshot_date,
        substr(created_at, 1, 10) AS created_date,
        substr(last_used_at, 1, 10) AS last_used_date,
        substr(expires_at, 1, 10) AS expires_date
    FROM openrouter_keys
)
SELECT
    dated.*,
    snapshot_date AS day,
    last_used_date AS last_used_day,
    expires_date AS expires_day,
    unixepoch(snapshot_date) / 86400 AS day_number,
    unixepoch(created_date) / 86400 AS created_day_number,
    unixepoch(last_used_date) / 86400 AS last_used_day_number,
    unixepoch(expires_date) / 86400 AS expires_day_number,
    (unixepoch(snapshot_date, '+1 day', 'weekday 1') - unixepoch(snapshot_date)) / 86400
        AS days_until_monday,
    (unixepoch(snapshot_date, 'start of month', '+1 month') - unixepoch(snapshot_date)) / 86400
        AS days_until_next_month,
    julianday(observed_at) - julianday(snapshot_date) AS day_part,
    substr(coalesce(name, ''), 1, instr(coalesce(name, '') || '-', '-') - 1) AS prefix
FROM dated;
