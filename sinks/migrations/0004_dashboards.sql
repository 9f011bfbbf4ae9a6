-- What dashboards read besides the tables of the first migration, fed as those are written. Rows are whole
-- results under the same versions as their originals, so doing a piece again replaces here as well.

-- Long spans: of the 1h windows those that end on a full hour.
CREATE TABLE cx.signals_hourly
(
    signal      String,
    segment     String,
    window_end  DateTime64(3, 'UTC'),
    numerator   Float64,
    denominator Float64,
    value       Float64,
    lower       Float64,
    upper       Float64,
    version     UInt64,
    stored_at   DateTime('UTC') DEFAULT now()
)
ENGINE = ReplacingMergeTree(version)
PARTITION BY toYear(window_end)
ORDER BY (signal, segment, window_end);

CREATE MATERIALIZED VIEW cx.signals_hourly_feed TO cx.signals_hourly AS
SELECT signal, segment, window_end, numerator, denominator, value, lower, upper, version
FROM cx.signals
WHERE window = '1h' AND toUnixTimestamp64Milli(window_end) % 3600000 = 0;

INSERT INTO cx.signals_hourly (signal, segment, window_end, numerator, denominator, value, lower, upper, version)
SELECT signal, segment, window_end, numerator, denominator, value, lower, upper, version
FROM cx.signals
WHERE window = '1h' AND toUnixTimestamp64Milli(window_end) % 3600000 = 0;

-- All segments at one moment: the same rows of the 15m windows, by time. Kept for days, whatever they are of.
CREATE TABLE cx.signals_by_time
(
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
PARTITION BY toYear(window_end)
ORDER BY (window_end, signal, segment);

CREATE MATERIALIZED VIEW cx.signals_by_time_feed TO cx.signals_by_time AS
SELECT window_end, signal, segment, numerator, denominator, value, lower, upper, version
FROM cx.signals
WHERE window = '15m';

-- Journeys by the time they began: the same key (the funnel is part of the journey's id), in another order.
CREATE TABLE cx.journeys_by_entry
(
    funnel      String,
    channel     String,
    session_id  String,
    journey_id  String,
    entered_at  DateTime64(3, 'UTC'),
    ended_at    DateTime64(3, 'UTC'),
    store_id    String,
    region      String,
    device      String,
    outcome     String,
    reason      String,
    last_step   String,
    value       Float64,
    version     UInt64,
    stored_at   DateTime('UTC') DEFAULT now()
)
ENGINE = ReplacingMergeTree(version)
PARTITION BY toYear(entered_at)
ORDER BY (funnel, toStartOfHour(entered_at), channel, session_id, journey_id, entered_at);

CREATE MATERIALIZED VIEW cx.journeys_by_entry_feed TO cx.journeys_by_entry AS
SELECT funnel, channel, session_id, journey_id, entered_at, ended_at, store_id, region, device, outcome, reason,
       last_step, value, version
FROM cx.journeys;

INSERT INTO cx.journeys_by_entry (funnel, channel, session_id, journey_id, entered_at, ended_at, store_id, region,
                                  device, outcome, reason, last_step, value, version)
SELECT funnel, channel, session_id, journey_id, entered_at, ended_at, store_id, region, device, outcome, reason,
       last_step, value, version
FROM cx.journeys;

-- Alerts that have fired: one that was pending only, and went away, also ends as resolved.
CREATE TABLE cx.alerts_fired
(
    alert_id  String,
    stored_at DateTime('UTC') DEFAULT now()
)
ENGINE = ReplacingMergeTree
ORDER BY alert_id;

CREATE MATERIALIZED VIEW cx.alerts_fired_feed TO cx.alerts_fired AS
SELECT alert_id FROM cx.alerts WHERE status = 'firing';

INSERT INTO cx.alerts_fired (alert_id) SELECT alert_id FROM cx.alerts WHERE status = 'firing';
