-- openrouter_key_days: one row per source, key and UTC day. If several snapshots or workspace scopes have the
-- key on a day, its row is from the last listing that was made on that day. A listing that was made later and
-- filed under that day counts only where there is no other, by its snapshot.
--
-- Money is USD. `day_number` counts from 1970-01-01, so that differences are days. `days_ago` is 0 on the newest
-- day of a source. `still_listed` is 0 if the key was deleted during the day. `listed_before` is when the scope
-- of the row was last listed on an earlier day, or its source if the scope is new. `day_part` is how much of the
-- day had passed, 0 to 1. Flags are 1 or 0, and 0 if the API did not send them. A snapshot without keys leaves no
-- row, so it looks like one that was missed.

DROP VIEW IF EXISTS openrouter_key_spend;
DROP VIEW IF EXISTS openrouter_key_days;

CREATE VIEW openrouter_key_days AS
WITH placed AS (
    SELECT
        observations.*,
        max(day_number) OVER (PARTITION BY source) - day_number AS days_ago,
        dense_rank() OVER (PARTITION BY source, workspace_scope, day_number
            ORDER BY CASE WHEN day_part < 1 THEN day_part ELSE -1 END DESC, snapshot DESC, observed_at DESC)
            AS listings_ago,
        coalesce(
            max(observed_at) OVER (PARTITION BY source, workspace_scope ORDER BY day_number
                RANGE BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING),
            max(observed_at) OVER (PARTITION BY source ORDER BY day_number
                RANGE BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING)
        ) AS listed_before
    FROM openrouter_key_observations AS observations
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
    name, prefix, label, workspace_id, external_user,
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
