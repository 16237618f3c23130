-- Which keys has nobody used for more than N days?
--
-- Active keys in the newest snapshot of each source (neither disabled nor expired) that were last used more than
-- N days before it, or never used and created more than N days before it. For the latter `days_since_last_use`
-- is null. A key with usage but without last_used_at, as older servers sent it, is left out: it was used at an
-- unknown time.

WITH settings AS (SELECT 30 AS days)
SELECT source, hash, name, last_used_day, days_since_last_use, days_since_creation, usage
FROM openrouter_key_days
CROSS JOIN settings
WHERE days_ago = 0 AND still_listed = 1 AND disabled = 0 AND expired = 0
    AND (
        days_since_last_use > settings.days
        OR (
            days_since_last_use IS NULL
            AND days_since_creation > settings.days
            AND coalesce(usage, 0) = 0
            AND coalesce(byok_usage, 0) = 0
        )
    )
ORDER BY coalesce(days_since_last_use, days_since_creation) DESC, source, hash;
