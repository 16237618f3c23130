-- Which keys has nobody used for more than N days?
--
-- Active keys in the newest snapshot of each source (neither disabled nor expired) that were last used more than
-- N days before it, or never used and created more than N days before it. Without last_used_at nobody has used a
-- key since the end of 2025, which OpenRouter does not know more exactly: `days_since_last_use` is null, and the
-- key is listed from the day on which that is more than N days ago. It is left out if it was created later than
-- that and has usage, or if the history knows of spend in the last N days: then the server does not send
-- last_used_at.

WITH settings AS (SELECT 30 AS days),
spenders AS (
    SELECT DISTINCT source, hash
    FROM openrouter_key_spend
    CROSS JOIN settings
    WHERE days_ago < settings.days AND (spend > 0 OR byok_spend > 0)
)
SELECT
    newest.source, newest.name, newest.hash, newest.last_used_day, newest.days_since_last_use,
    newest.days_since_creation,
    round(newest.usage * 1e6) / 1e6 AS lifetime_usage
FROM openrouter_key_days AS newest
CROSS JOIN settings
LEFT JOIN spenders ON spenders.source = newest.source AND spenders.hash = newest.hash
WHERE newest.days_ago = 0 AND newest.still_listed = 1 AND newest.disabled = 0 AND newest.expired = 0
    AND (
        newest.days_since_last_use > settings.days
        OR (
            newest.days_since_last_use IS NULL
            AND newest.days_since_creation > settings.days
            AND spenders.hash IS NULL
            AND (
                (coalesce(newest.usage, 0) = 0 AND coalesce(newest.byok_usage, 0) = 0)
                -- 20453 is 2025-12-31.
                OR (newest.created_day_number <= 20453 AND newest.day_number - 20453 > settings.days)
            )
        )
    )
ORDER BY coalesce(newest.days_since_last_use, newest.days_since_creation) DESC, newest.source, newest.hash;
