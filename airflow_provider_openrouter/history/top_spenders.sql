-- Which keys cost most in the last N days?
--
-- USD, to a millionth of a dollar, with deleted and disabled keys. Days are counted from the newest day of
-- each source. `listed` is 1 if the key is in the newest snapshot, `name` is its latest name. Rows are sorted
-- by `spend` only: byok_spend is an estimate, and paid to other providers. Spend of missed days counts on the
-- day of the next snapshot.

WITH settings AS (SELECT 30 AS days, 20 AS places),
spenders AS (
    SELECT source, hash, sum(spend) AS spend, coalesce(sum(byok_spend), 0) AS byok_spend
    FROM openrouter_key_spend
    CROSS JOIN settings
    WHERE days_ago < settings.days
    GROUP BY source, hash
),
latest AS (
    SELECT
        source, hash, name, CASE WHEN days_ago = 0 THEN still_listed ELSE 0 END AS listed,
        row_number() OVER (PARTITION BY source, hash ORDER BY day_number DESC) AS place
    FROM openrouter_key_days
),
ranked AS (
    SELECT
        row_number() OVER (ORDER BY spenders.spend DESC, spenders.source, spenders.hash) AS place,
        spenders.source, spenders.hash, latest.name, spenders.spend, spenders.byok_spend, latest.listed
    FROM spenders
    JOIN latest ON latest.source = spenders.source AND latest.hash = spenders.hash AND latest.place = 1
    WHERE spenders.spend > 0
)
SELECT
    place, source, name, hash,
    round(spend * 1e6) / 1e6 AS spend,
    round(byok_spend * 1e6) / 1e6 AS byok_spend,
    listed
FROM ranked
CROSS JOIN settings
WHERE place <= settings.places
ORDER BY place;
