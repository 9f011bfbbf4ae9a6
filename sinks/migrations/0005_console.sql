-- What the console and the HTTP API show as the present: the rows of all windows by time, kept for hours only.

CREATE TABLE cx.signals_recent
(
    window      String,
    window_end  DateTime64(3, 'UTC'),
    signal      String,
    segment     String,
    numerator   Float64,
    denominator Float64,
    value       Float64,
    lower       Float64,
    upper       Float64,
    version     UInt64,
    stored_at   DateTime('UTC') DEFAULT now()
)
ENGINE = ReplacingMergeTree(version)
PARTITION BY window
ORDER BY (window, window_end, signal, segment);

CREATE MATERIALIZED VIEW cx.signals_recent_feed TO cx.signals_recent AS
SELECT window, window_end, signal, segment, numerator, denominator, value, lower, upper, version
FROM cx.signals;
