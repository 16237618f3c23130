-- openrouter_key_spend: what each key cost from one of its days in openrouter_key_days to the next.
--
-- `spend` is USD: the key's lifetime usage minus that of its previous snapshot day. Limits, resets and missed
-- days do not change it. `byok_spend` is the same for byok_usage: an estimate of what you paid to other
-- providers with your own keys, in addition to `spend`. `days` is how many days they cover: 1, or more if
-- snapshots were missed or the key was not listed. On its first day a key counts with its whole usage if it
-- was created after the previous listing. Otherwise its earlier spend is not known, and it has no row for
-- that day. On the first day of a source no key has a row. Spend between the last snapshot of a key and its
-- deletion is not known either. If OpenRouter corrects a usage, the spend is negative, and sums stay right.
--
-- It was spent between the beginnings of the days `first_day_number` and `next_day_number`: the midnights that
-- are nearest to the two snapshots.

DROP VIEW IF EXISTS openrouter_key_spend;

CREATE VIEW openrouter_key_spend AS
WITH steps AS (
    SELECT
        source, hash, day, day_number, days_ago, name, prefix, workspace_id, key_days.usage, byok_usage,
        created_at, created_day_number, listed_before, days_since_creation,
        round(day_number + day_part) AS next_day_number,
        lag(round(day_number + day_part)) OVER earlier AS first_day_number,
        lag(key_days.usage) OVER earlier AS usage_before,
        lag(byok_usage) OVER earlier AS byok_usage_before,
        lag(day_number) OVER earlier AS day_number_before
    FROM openrouter_key_days AS key_days
    WHERE key_days.usage IS NOT NULL
    WINDOW earlier AS (PARTITION BY source, hash ORDER BY day_number)
)
SELECT
    source, hash, day, day_number, days_ago, name, prefix, workspace_id,
    steps.usage - usage_before AS spend,
    byok_usage - byok_usage_before AS byok_spend,
    day_number - day_number_before AS days,
    first_day_number, next_day_number
FROM steps
WHERE day_number_before IS NOT NULL
UNION ALL
SELECT
    source, hash, day, day_number, days_ago, name, prefix, workspace_id,
    steps.usage AS spend,
    byok_usage AS byok_spend,
    CASE WHEN days_since_creation > 1 THEN days_since_creation ELSE 1 END AS days,
    created_day_number AS first_day_number, next_day_number
FROM steps
WHERE day_number_before IS NULL AND created_at > listed_before;
