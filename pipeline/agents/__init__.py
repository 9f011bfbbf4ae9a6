"""Thin stages between Kafka and the core: one module each.

``ownership`` holds the state of the partitions that this worker has; ``journeys`` is phase one,
``signals`` phase two, ``ticks`` the clock of idle partitions; ``outbox`` encodes and publishes.
"""
