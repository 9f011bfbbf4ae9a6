-- Rows of windows that are over, and no others (DESIGN 2.3): the column complete; ends of 1m every 10 s, of 5m every
-- minute, of 15m every 5 minutes, of 1h every 10 minutes. What is happening now is read from the tiles.

ALTER TABLE cx.signals
    ADD COLUMN complete UInt8 DEFAULT 1 AFTER upper;

-- Ends that are written no more; what is left of windows that were filling is replaced as they become complete.
ALTER TABLE cx.signals DELETE WHERE toUnixTimestamp64Milli(window_end) %
    transform(window, ['1m', '5m', '15m', '1h'], [10000, 60000, 300000, 600000], 10000) != 0
    SETTINGS mutations_sync = 2;

-- Copies of signals in other orders: their readers read cx.signals_now.
DROP TABLE IF EXISTS cx.signals_recent_feed;
DROP TABLE IF EXISTS cx.signals_recent;
DROP TABLE IF EXISTS cx.signals_by_time_feed;
DROP TABLE IF EXISTS cx.signals_by_time;

-- Journeys take most of the disk: their texts are ids, which LZ4 makes little of.
ALTER TABLE cx.journeys
    MODIFY COLUMN journey_id CODEC(ZSTD(3)),
    MODIFY COLUMN session_id CODEC(ZSTD(3)),
    MODIFY COLUMN customer_id CODEC(ZSTD(3)),
    MODIFY COLUMN entered_at CODEC(Delta, ZSTD(1)),
    MODIFY COLUMN ended_at CODEC(Delta, ZSTD(1)),
    MODIFY COLUMN last_step CODEC(ZSTD(1)),
    MODIFY COLUMN value CODEC(ZSTD(1)),
    MODIFY COLUMN version CODEC(Delta, ZSTD(1)),
    MODIFY COLUMN stored_at CODEC(Delta, ZSTD(1));
ALTER TABLE cx.journeys_by_entry
    MODIFY COLUMN journey_id CODEC(ZSTD(3)),
    MODIFY COLUMN session_id CODEC(ZSTD(3)),
    MODIFY COLUMN entered_at CODEC(Delta, ZSTD(1)),
    MODIFY COLUMN ended_at CODEC(Delta, ZSTD(1)),
    MODIFY COLUMN last_step CODEC(ZSTD(1)),
    MODIFY COLUMN value CODEC(ZSTD(1)),
    MODIFY COLUMN version CODEC(Delta, ZSTD(1)),
    MODIFY COLUMN stored_at CODEC(Delta, ZSTD(1));

-- Tiles in the order of time, so that the last minutes of all segments lie together. They are dropped: workers make
-- them anew from what the topics hold, which the new form of checkpoints asks for besides.
DROP TABLE IF EXISTS cx.tiles SYNC;
CREATE TABLE cx.tiles
(
    segment                      String,
    bucket                       DateTime64(3, 'UTC'),
    source                       String,
    search_opened                Int64,
    cart_opened                  Int64,
    checkout_opened              Int64,
    form_opened                  Int64,
    support_opened               Int64,
    queue_opened                 Int64,
    basket_opened                Int64,
    by_age                       Map(String, Int64) CODEC(ZSTD(3)),
    by_step                      Map(String, Int64) CODEC(ZSTD(3)),
    events                       Int64,
    friction                     Int64,
    csat_answers                 Int64,
    csat_satisfied               Int64,
    nps_answers                  Int64,
    nps_promoters                Int64,
    nps_detractors               Int64,
    ces_answers                  Int64,
    ces_sum                      Int128,
    ces_sum_sq                   Int256,
    search_completed             Int64,
    search_abandoned             Int64,
    search_value_abandoned       Int128,
    search_value_abandoned_sq    Int256,
    cart_completed               Int64,
    cart_abandoned               Int64,
    cart_value_abandoned         Int128,
    cart_value_abandoned_sq      Int256,
    checkout_completed           Int64,
    checkout_abandoned           Int64,
    checkout_value_abandoned     Int128,
    checkout_value_abandoned_sq  Int256,
    form_completed               Int64,
    form_abandoned               Int64,
    form_value_abandoned         Int128,
    form_value_abandoned_sq      Int256,
    support_completed            Int64,
    support_abandoned            Int64,
    support_value_abandoned      Int128,
    support_value_abandoned_sq   Int256,
    queue_completed              Int64,
    queue_abandoned              Int64,
    queue_value_abandoned        Int128,
    queue_value_abandoned_sq     Int256,
    basket_completed             Int64,
    basket_abandoned             Int64,
    basket_value_abandoned       Int128,
    basket_value_abandoned_sq    Int256,
    version                      UInt64 CODEC(Delta, ZSTD(1)),
    stored_at                    DateTime('UTC') DEFAULT now() CODEC(Delta, ZSTD(1))
)
ENGINE = ReplacingMergeTree(version)
PARTITION BY toYear(bucket)
ORDER BY (bucket, segment, source);

-- The signals of the windows that end with the newest bucket stored. An event may lie five minutes in the future: its
-- bucket is not the present yet. Sums are in the order of the names with which they are joined further down.
CREATE VIEW cx.signals_now AS
WITH
    1.959963984540054 AS z,
    (SELECT least(max(bucket), toStartOfInterval(now64(3, 'UTC'), INTERVAL 10 SECOND)) + INTERVAL 10 SECOND
     FROM cx.tiles) AS until
SELECT signal, segment, window, until AS window_end, numerator, n AS denominator, numerator / n AS value,
    multiIf(kind = 'share', if(total <= 0, 0., middle - half),
            kind = 'score', greatest(100 * least(middle - half, value / 100), -100.),
            value - half) AS lower,
    multiIf(kind = 'share', if(total >= n, 1., middle + half),
            kind = 'score', least(100 * greatest(middle + half, value / 100), 100.),
            value + half) AS upper
FROM
(
    SELECT segment, window, signal, kind, total, toFloat64(count) AS n,
        toFloat64(total) / multiIf(kind = 'mean', 10000., kind = 'score', 0.01, 1.) AS numerator,
        if(count > 1, toFloat64(squares * count - total * total) / (n * (n - 1)) / 1e8, 0.) AS variance,
        (toFloat64(squares + total) / 2 + 0.75) / (n + 3) AS plus,
        (toFloat64(squares - total) / 2 + 0.75) / (n + 3) AS minus,
        1 + z * z / n AS scale,
        if(kind = 'share', (numerator / n + z * z / (2 * n)) / scale, plus - minus) AS middle,
        multiIf(kind = 'share', z * sqrt(numerator / n * (1 - numerator / n) / n + z * z / (4 * n * n)) / scale,
                kind = 'score', z * sqrt((plus + minus - middle * middle) / (n + 3)),
                z * sqrt(variance / n)) AS half
    FROM
    (
        SELECT segment, window,
            [sum(search_completed), sum(cart_completed), sum(checkout_completed), sum(form_completed),
             sum(support_completed), sum(queue_completed), sum(basket_completed)] AS completed,
            [sum(search_abandoned), sum(cart_abandoned), sum(checkout_abandoned), sum(form_abandoned),
             sum(support_abandoned), sum(queue_abandoned), sum(basket_abandoned)] AS abandoned,
            [sum(search_value_abandoned), sum(cart_value_abandoned), sum(checkout_value_abandoned),
             sum(form_value_abandoned), sum(support_value_abandoned), sum(queue_value_abandoned),
             sum(basket_value_abandoned)] AS worth,
            [sum(search_value_abandoned_sq), sum(cart_value_abandoned_sq), sum(checkout_value_abandoned_sq),
             sum(form_value_abandoned_sq), sum(support_value_abandoned_sq), sum(queue_value_abandoned_sq),
             sum(basket_value_abandoned_sq)] AS worth_sq,
            [sum(csat_satisfied), sum(nps_promoters - nps_detractors), sum(ces_sum), sum(friction)] AS scores,
            [toInt256(0), sum(nps_promoters + nps_detractors), sum(ces_sum_sq), 0] AS scores_sq,
            [sum(csat_answers), sum(nps_answers), sum(ces_answers), sum(events)] AS answers
        FROM
        (
            SELECT '1m' AS window, * FROM cx.tiles FINAL
            WHERE bucket >= until - INTERVAL 1 MINUTE AND bucket < until
            UNION ALL
            SELECT '5m' AS window, * FROM cx.tiles FINAL
            WHERE bucket >= until - INTERVAL 5 MINUTE AND bucket < until
            UNION ALL
            SELECT '15m' AS window, * FROM cx.tiles FINAL
            WHERE bucket >= until - INTERVAL 15 MINUTE AND bucket < until
            UNION ALL
            SELECT '1h' AS window, * FROM cx.tiles FINAL
            WHERE bucket >= until - INTERVAL 1 HOUR AND bucket < until
        )
        GROUP BY segment, window
    )
    ARRAY JOIN
        ['search_abandonment', 'cart_abandonment', 'checkout_abandonment', 'form_abandonment',
         'support_abandonment', 'queue_abandonment', 'basket_abandonment', 'search_value_abandoned',
         'cart_value_abandoned', 'checkout_value_abandoned', 'form_value_abandoned', 'support_value_abandoned',
         'queue_value_abandoned', 'basket_value_abandoned', 'csat', 'nps', 'ces', 'friction'] AS signal,
        ['share', 'share', 'share', 'share', 'share', 'share', 'share', 'mean', 'mean', 'mean', 'mean', 'mean',
         'mean', 'mean', 'share', 'score', 'mean', 'share'] AS kind,
        CAST(arrayConcat(abandoned, worth, scores), 'Array(Int256)') AS total,
        arrayConcat(arrayResize(emptyArrayInt64(), 7), worth_sq, scores_sq) AS squares,
        arrayConcat(arrayMap((a, c) -> a + c, abandoned, completed), abandoned, answers) AS count
    WHERE count > 0
);
