"""Checkpoints: what is kept of each state, where, and how it comes back.

``checkpointer`` cuts states and writes shards and manifests; ``recovery`` brings a state back; ``store`` is the
Protocol of the place where they lie, ``kafka`` the compacted topics, ``memory`` the same without a broker.
"""
