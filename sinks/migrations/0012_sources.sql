-- What each source of the collector has sent (docs/sources/): a row of each collector for every ten seconds in which
-- one of its sources sent anything.

CREATE TABLE cx.sources
(
    source       LowCardinality(String),
    kind         LowCardinality(String),
    collector    String CODEC(ZSTD(3)),
    at           DateTime64(3, 'UTC') CODEC(Delta, ZSTD(1)),
    requests     UInt64 CODEC(ZSTD(1)),
    mapped       UInt64 CODEC(ZSTD(1)),
    ignored      UInt64 CODEC(ZSTD(1)),
    invalid      UInt64 CODEC(ZSTD(1)),
    copies       UInt64 CODEC(ZSTD(1)),
    orders_again UInt64 CODEC(ZSTD(1)),
    too_late     UInt64 CODEC(ZSTD(1)),
    newest_at    DateTime64(3, 'UTC') CODEC(Delta, ZSTD(1)),
    stored_at    DateTime('UTC') DEFAULT now() CODEC(Delta, ZSTD(1))
)
ENGINE = ReplacingMergeTree
PARTITION BY toYYYYMM(at)
ORDER BY (source, at, collector)
TTL toDateTime(at) + INTERVAL 90 DAY;
