"""Kafka and ClickHouse on this machine, with nothing installed but Python packages.

``kafka`` starts the Tansu broker; ``clickhouse`` serves ClickHouse's engine (chdb) on the native TCP
protocol. The pipeline, the sink and the command line talk to both as they talk to real servers.
"""
