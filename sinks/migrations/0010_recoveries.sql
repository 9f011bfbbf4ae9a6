-- What has become of the abandoned journeys of somebody known (docs/persons.md).

CREATE TABLE cx.recoveries
(
    person            String CODEC(ZSTD(3)),
    funnel            LowCardinality(String),
    channel           LowCardinality(String),
    session_id        String CODEC(ZSTD(3)),
    journey_id        String CODEC(ZSTD(3)),
    entered_at        DateTime64(3, 'UTC') CODEC(Delta, ZSTD(1)),
    ended_at          DateTime64(3, 'UTC') CODEC(Delta, ZSTD(1)),
    value             Float64 CODEC(ZSTD(1)),
    status            LowCardinality(String),
    recovered_at      Nullable(DateTime64(3, 'UTC')),
    recovered_channel LowCardinality(String),
    recovered_session String CODEC(ZSTD(3)),
    recovered_value   Float64 CODEC(ZSTD(1)),
    store_id          LowCardinality(String),
    region            LowCardinality(String),
    device            LowCardinality(String),
    version           UInt64 CODEC(Delta, ZSTD(1)),
    stored_at         DateTime('UTC') DEFAULT now() CODEC(Delta, ZSTD(1))
)
ENGINE = ReplacingMergeTree(version)
PARTITION BY toYear(entered_at)
ORDER BY (toStartOfHour(entered_at), person, channel, session_id, journey_id, entered_at);
