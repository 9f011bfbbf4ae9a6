"""Kafka through librdkafka (confluent-kafka): producing, topics, whole logs, record batches."""
