-- Who is erased is in no arm of a rule: rows about them have no person (docs/erasure.md).

DROP VIEW IF EXISTS cx.moment_arms;

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
        WHERE status = 'fired' AND holdout > 0 AND person != '' AND (rule, person) NOT IN (SELECT rule, person FROM moved)
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
