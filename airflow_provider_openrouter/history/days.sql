-- openrouter_key_days: one row per source, key and UTC day. If several snapshots or workspace scopes have the
-- key on a day, its row is from the last listing that was made on that day. A listing that was made later and
-- filed under that day counts only where there is no other, by its snapshot.
--
-- Money is USD. `day_number` counts from 1970-01-01, so that differences are days. `days_ago` is 0 on the newest
-- day of a source. `still_listed` is 0 if the key was deleted during the day. `listed_before` is when the scope
-- of the row was last listed on an earlier day, or its source if the scope is new. `day_part` is how much of the
-- day had passed, 0 to 1. Flags are 1 or 0, and 0 if the API did not send them. A snapshot without keys leaves no
-- row, so it looks like one that was missed.

DROP VIEW IF EXISTS openrouter_activity_spend;
DROP VIEW IF EXISTS openrouter_key_names;
DROP VIEW IF EXISTS openrouter_key_spend;
DROP VIEW IF EXISTS openrouter_key_days;

CREATE VIEW openrouter_key_days AS
WITH scope_days AS (
    SELECT source, workspace_scope, day_number, max(observed_at) AS last_listed
    FROM openrouter_key_observations
    GROUP BY source, workspace_scope, day_number
),
source_days AS (
    SELECT source, day_number, max(last_listed) AS last_listed
    FROM scope_days
    GROUP BY source, day_number
),
newest AS (
    SELECT source, max(day_number) AS day_number
    FROM scope_days
    GROUP BY source
),
scopes_before AS (
    SELECT
        source, workspace_scope, day_number,
        max(last_listed) OVER (PARTITION BY source, workspace_scope ORDER BY day_number
            ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS listed_before
    FROM scope_days
),
sources_before AS (
    SELECT
        source, day_number,
        max(last_listed) OVER (PARTITION BY source ORDER BY day_number
            ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS listed_before
    FROM source_days
),
placed AS (
    SELECT
        observations.*,
        newest.day_number - observations.day_number AS days_ago,
        coalesce(scopes_before.listed_before, sources_before.listed_before) AS listed_before,
        dense_rank() OVER (PARTITION BY observations.source, observations.workspace_scope, observations.day_number
            ORDER BY CASE WHEN day_part < 1 THEN day_part ELSE -1 END DESC, snapshot DESC, observed_at DESC)
            AS listings_ago
    FROM openrouter_key_observations AS observations
    JOIN newest ON newest.source = observations.source
    JOIN scopes_before ON scopes_before.source = observations.source
        AND scopes_before.workspace_scope = observations.workspace_scope
        AND scopes_before.day_number = observations.day_number
    JOIN sources_before ON sources_before.source = observations.source
        AND sources_before.day_number = observations.day_number
),
ranked AS (
    SELECT
        placed.*,
        max(CASE WHEN listings_ago = 1 THEN 1 ELSE 0 END) OVER (PARTITION BY source, hash, day_number)
            AS still_listed,
        row_number() OVER (PARTITION BY source, hash, day_number
            ORDER BY CASE WHEN day_part < 1 THEN day_part ELSE -1 END DESC, snapshot DESC, observed_at DESC,
                workspace_scope) AS place
    FROM placed
)
SELECT
    source, hash, day, day_number, days_ago, still_listed, listed_before, observed_at, day_part,
    name, prefix, label, workspace_id, creator_user_id, external_user,
    CASE WHEN disabled THEN 1 ELSE 0 END AS disabled,
    CASE WHEN expires_at <= observed_at THEN 1 ELSE 0 END AS expired,
    spending_limit, limit_remaining, limit_reset,
    CASE WHEN include_byok_in_limit THEN 1 ELSE 0 END AS include_byok_in_limit,
    days_until_monday, days_until_next_month,
    ranked.usage, byok_usage,
    created_at, created_day_number, day_number - created_day_number AS days_since_creation,
    last_used_day, day_number - last_used_day_number AS days_since_last_use,
    expires_day, expires_day_number - day_number AS days_until_expiry
FROM ranked
WHERE place = 1;
