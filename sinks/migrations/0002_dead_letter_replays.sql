-- Which dead letters `cx-signals deadletters replay` has sent again: none is sent twice, and one that is
-- refused again (the same bytes) is not sent in a circle.

CREATE TABLE cx.dead_letter_replays
(
    topic     String,
    partition UInt32,
    offset    UInt64,
    sha256    String,
    sent_to   String,
    stored_at DateTime('UTC') DEFAULT now()
)
ENGINE = ReplacingMergeTree
PARTITION BY topic
ORDER BY (topic, partition, offset);
