-- openrouter_key_observations, for MySQL (8.0 or newer) and MariaDB (10.5 or newer): the rows of the snapshots,
-- with days as numbers. Only this file differs between databases.
--
-- It needs no granularity, so it reads tables with and without that column. A day and its first hour can both
-- have a row for a key. Which of them counts is decided in days.sql.
--
-- Times are datetime(6) in UTC, and the time zone of the session does not matter. If your table has another
-- name, put it into the only FROM openrouter_keys. Run this file, days.sql and spend.sql, in this order, once,
-- and again after an upgrade: they replace their views. `usage` is a reserved word here, so write it with the
-- name of its view, openrouter_key_days.usage, in queries of your own.

DROP VIEW IF EXISTS openrouter_activity_spend;
DROP VIEW IF EXISTS openrouter_key_names;
DROP VIEW IF EXISTS openrouter_key_spend;
DROP VIEW IF EXISTS openrouter_key_days;
DROP VIEW IF EXISTS openrouter_key_observations;

CREATE VIEW openrouter_key_observations AS
WITH dated AS (
    SELECT
        source, workspace_scope, hash, snapshot, observed_at, name, label, workspace_id, creator_user_id,
        external_user, disabled, limit_remaining, limit_reset, include_byok_in_limit, `usage`, byok_usage,
        created_at, expires_at,
        `limit` AS spending_limit,
        CAST(snapshot AS date) AS snapshot_date,
        CAST(created_at AS date) AS created_date,
        CAST(last_used_at AS date) AS last_used_date,
        CAST(expires_at AS date) AS expires_date
    FROM openrouter_keys
)
SELECT
    dated.*,
    CAST(snapshot_date AS char(10)) AS day,
    CAST(last_used_date AS char(10)) AS last_used_day,
    CAST(expires_date AS char(10)) AS expires_day,
    datediff(snapshot_date, '1970-01-01') AS day_number,
    datediff(created_date, '1970-01-01') AS created_day_number,
    datediff(last_used_date, '1970-01-01') AS last_used_day_number,
    datediff(expires_date, '1970-01-01') AS expires_day_number,
    7 - weekday(snapshot_date)
        AS days_until_monday,
    datediff(last_day(snapshot_date), snapshot_date) + 1
        AS days_until_next_month,
    timestampdiff(MICROSECOND, snapshot_date, observed_at) / 86400e6
        AS day_part,
    substring_index(coalesce(name, ''), '-', 1) AS prefix
FROM dated;
