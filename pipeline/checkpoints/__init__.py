"""Where checkpoints are kept: one Protocol, the compacted Kafka topics, a store in memory."""
