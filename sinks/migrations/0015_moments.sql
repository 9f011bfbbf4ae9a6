-- What rules about single persons have told (docs/moments.md).

CREATE TABLE cx.moments
(
    moment_id  String CODEC(ZSTD(3)),
    rule       LowCardinality(String),
    person     String CODEC(ZSTD(3)),
    channel    LowCardinality(String),
    session_id String CODEC(ZSTD(3)),
    at         DateTime64(3, 'UTC') CODEC(Delta, ZSTD(1)),
    status     LowCardinality(String),
    events     Array(String) CODEC(ZSTD(3)),
    store_id   String,
    region     String,
    device     String,
    version    UInt64 CODEC(Delta, ZSTD(1)),
    stored_at  DateTime('UTC') DEFAULT now() CODEC(Delta, ZSTD(1))
)
ENGINE = ReplacingMergeTree(version)
PARTITION BY toYear(at)
ORDER BY (rule, person, moment_id, channel, session_id, at);
