"""Stages between Kafka and the core: one module for each agent.

``journeys`` reads touchpoints, ``signals`` tiles, ``alerts`` evidence. ``lease`` holds the state of the partitions
that this worker has, ``outbox`` encodes and publishes, ``ticks`` is the clock of idle partitions.
"""
