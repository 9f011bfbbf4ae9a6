-- Who was held out of a rule's moments, and what persons have bought (docs/moments.md).

ALTER TABLE cx.moments
    ADD COLUMN is_held Bool AFTER device,
    ADD COLUMN holdout Float64 AFTER is_held;

CREATE TABLE cx.purchases
(
    person     String CODEC(ZSTD(3)),
    channel    LowCardinality(String),
    session_id String CODEC(ZSTD(3)),
    event_id   String CODEC(ZSTD(3)),
    at         DateTime64(3, 'UTC') CODEC(Delta, ZSTD(1)),
    value      Float64 CODEC(ZSTD(1)),
    status     LowCardinality(String),
    version    UInt64 CODEC(Delta, ZSTD(1)),
    stored_at  DateTime('UTC') DEFAULT now() CODEC(Delta, ZSTD(1))
)
ENGINE = ReplacingMergeTree(version)
PARTITION BY toYear(at)
ORDER BY (person, at, channel, session_id, event_id);

-- By rule and person, the first moment since some are held out, and whether a purchase followed within seven days. Without
-- persons who were another one when a moment fired first: a session of nobody, or a visitor, may have been told of.
CREATE VIEW cx.moment_arms AS
WITH
    moved AS
    (
        SELECT rule, arrayJoin(names) AS person
        FROM
        (
            SELECT rule, groupUniqArray(person) AS names
            FROM cx.moments FINAL
            WHERE rule IN (SELECT rule FROM cx.moments WHERE holdout > 0)
            GROUP BY rule, channel, session_id, at HAVING length(names) > 1
        )
    ),
    firsts AS
    (
        SELECT rule, person, min(at) AS first_at, argMin(is_held, at) AS held, argMin(holdout, at) AS share
        FROM cx.moments FINAL
        WHERE status = 'fired' AND holdout > 0 AND (rule, person) NOT IN (SELECT rule, person FROM moved)
        GROUP BY rule, person
    ),
    bought AS
    (
        SELECT person, groupArray(at) AS times
        FROM cx.purchases FINAL
        WHERE status = 'counted' AND person IN (SELECT person FROM firsts)
        GROUP BY person
    )
SELECT rule, person, first_at, held AS is_held, share AS holdout,
    arrayExists(time -> time > first_at AND time <= first_at + INTERVAL 7 DAY, times) AS has_bought
FROM firsts LEFT JOIN bought USING (person);
