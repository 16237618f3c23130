-- Which keys expire within N days?
--
-- Active keys in the newest snapshot of each source (neither disabled nor expired). Days are calendar days (UTC)
-- from that snapshot, so 0 is later on the same day.

WITH settings AS (SELECT 30 AS days)
SELECT source, name, hash, expires_day, days_until_expiry
FROM openrouter_key_days
CROSS JOIN settings
WHERE days_ago = 0 AND still_listed = 1 AND disabled = 0 AND expired = 0
    AND days_until_expiry <= settings.days
ORDER BY days_until_expiry, source, hash;
