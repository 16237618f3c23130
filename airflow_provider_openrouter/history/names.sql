-- openrouter_key_names: each key's name, team, creator and external user, and since which day.
--
-- They come from the keys' snapshots. A row holds from `first_day_number` until that of the key's next row. A
-- key's first row also holds for all days before its first snapshot.

DROP VIEW IF EXISTS openrouter_activity_spend;
DROP VIEW IF EXISTS openrouter_key_names;

CREATE VIEW openrouter_key_names AS
WITH steps AS (
    SELECT
        source, hash, day_number, created_day_number, name, prefix, creator_user_id, external_user,
        lag(day_number) OVER earlier AS day_number_before,
        lag(name) OVER earlier AS name_before,
        lag(creator_user_id) OVER earlier AS creator_before,
        lag(external_user) OVER earlier AS external_user_before
    FROM openrouter_key_days
    WINDOW earlier AS (PARTITION BY source, hash ORDER BY day_number)
)
SELECT
    source, hash, created_day_number, name, prefix, creator_user_id, external_user,
    CASE WHEN day_number_before IS NULL THEN 0 ELSE day_number END AS first_day_number
FROM steps
WHERE day_number_before IS NULL
    OR coalesce(name, '') <> coalesce(name_before, '')
    OR coalesce(creator_user_id, '') <> coalesce(creator_before, '')
    OR coalesce(external_user, '') <> coalesce(external_user_before, '');
