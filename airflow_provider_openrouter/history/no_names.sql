-- openrouter_key_names, without rows: for activity without snapshots of the keys.
--
-- Names and teams are then those that the keys had when the activity was read, and creators and external users
-- are not known.

DROP VIEW IF EXISTS openrouter_activity_spend;
DROP VIEW IF EXISTS openrouter_key_names;

CREATE VIEW openrouter_key_names AS
SELECT
    source, hash, day_number AS created_day_number, name, prefix, name AS creator_user_id, name AS external_user,
    day_number AS first_day_number
FROM openrouter_activity_observations
WHERE 1 = 0;
