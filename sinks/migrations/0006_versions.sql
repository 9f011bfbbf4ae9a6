-- Versions stay below 2^53 now (generation x 2^44 + offset, before it was x 2^48), so that every reader of JSON holds
-- them exactly. Rows under the former ones would win against all that come. Tiles and signals are dropped: workers
-- make them anew from what the topics hold. Journeys and alerts, which are kept for longer than topics, are converted.

ALTER TABLE cx.tiles DELETE WHERE version >= 281474976710656 SETTINGS mutations_sync = 2;
ALTER TABLE cx.signals DELETE WHERE version >= 281474976710656 SETTINGS mutations_sync = 2;
ALTER TABLE cx.signals_hourly DELETE WHERE version >= 281474976710656 SETTINGS mutations_sync = 2;
ALTER TABLE cx.signals_by_time DELETE WHERE version >= 281474976710656 SETTINGS mutations_sync = 2;
ALTER TABLE cx.signals_recent DELETE WHERE version >= 281474976710656 SETTINGS mutations_sync = 2;

CREATE TABLE cx.journeys_converted
(
    journey_id  String,
    funnel      String,
    session_id  String,
    customer_id String,
    channel     String,
    store_id    String,
    region      String,
    device      String,
    entered_at  DateTime64(3, 'UTC'),
    ended_at    DateTime64(3, 'UTC'),
    outcome     String,
    reason      String,
    last_step   String,
    value       Float64,
    version     UInt64,
    stored_at   DateTime('UTC')
)
ENGINE = ReplacingMergeTree(version)
ORDER BY (channel, session_id, journey_id, entered_at);

INSERT INTO cx.journeys_converted
SELECT journey_id, funnel, session_id, customer_id, channel, store_id, region, device, entered_at, ended_at, outcome,
       reason, last_step, value, bitShiftLeft(bitShiftRight(version, 48), 44) + bitAnd(version, 281474976710655),
       stored_at
FROM cx.journeys FINAL
WHERE version >= 281474976710656;

ALTER TABLE cx.journeys DELETE WHERE version >= 281474976710656 SETTINGS mutations_sync = 2;
ALTER TABLE cx.journeys_by_entry DELETE WHERE version >= 281474976710656 SETTINGS mutations_sync = 2;

INSERT INTO cx.journeys (journey_id, funnel, session_id, customer_id, channel, store_id, region, device, entered_at,
                         ended_at, outcome, reason, last_step, value, version, stored_at)
SELECT journey_id, funnel, session_id, customer_id, channel, store_id, region, device, entered_at, ended_at, outcome,
       reason, last_step, value, version, stored_at
FROM cx.journeys_converted;

DROP TABLE IF EXISTS cx.journeys_converted;

CREATE TABLE cx.alerts_converted
(
    alert_id    String,
    rule        String,
    signal      String,
    segment     String,
    status      String,
    opened_at   DateTime64(3, 'UTC'),
    updated_at  DateTime64(3, 'UTC'),
    resolved_at Nullable(DateTime64(3, 'UTC')),
    observed    Float64,
    expected    Float64,
    severity    String,
    explanation String,
    version     UInt64,
    stored_at   DateTime('UTC')
)
ENGINE = ReplacingMergeTree(version)
ORDER BY alert_id;

INSERT INTO cx.alerts_converted
SELECT alert_id, rule, signal, segment, status, opened_at, updated_at, resolved_at, observed, expected, severity,
       explanation, bitShiftLeft(bitShiftRight(version, 48), 44) + bitAnd(version, 281474976710655), stored_at
FROM cx.alerts FINAL
WHERE version >= 281474976710656;

ALTER TABLE cx.alerts DELETE WHERE version >= 281474976710656 SETTINGS mutations_sync = 2;

INSERT INTO cx.alerts (alert_id, rule, signal, segment, status, opened_at, updated_at, resolved_at, observed, expected,
                       severity, explanation, version, stored_at)
SELECT alert_id, rule, signal, segment, status, opened_at, updated_at, resolved_at, observed, expected, severity,
       explanation, version, stored_at
FROM cx.alerts_converted;

DROP TABLE IF EXISTS cx.alerts_converted;
