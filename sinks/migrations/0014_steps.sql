-- The way that a journey took: the steps it came to, and how long after its opening.

ALTER TABLE cx.journeys
    ADD COLUMN steps Array(LowCardinality(String)) CODEC(ZSTD(1)) AFTER last_step,
    ADD COLUMN step_after_ms Array(UInt32) CODEC(ZSTD(1)) AFTER steps;
ALTER TABLE cx.journeys_by_entry
    ADD COLUMN steps Array(LowCardinality(String)) CODEC(ZSTD(1)) AFTER last_step,
    ADD COLUMN step_after_ms Array(UInt32) CODEC(ZSTD(1)) AFTER steps;
ALTER TABLE cx.journeys_by_entry_feed MODIFY QUERY
SELECT funnel, channel, session_id, journey_id, entered_at, ended_at, store_id, region, device, outcome, reason,
       last_step, steps, step_after_ms, value, version
FROM cx.journeys;
