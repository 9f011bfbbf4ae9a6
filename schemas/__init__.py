"""Contracts: what goes in, what comes out, and how input is decoded.

The pydantic models are the one source of truth. The JSON Schemas and the fast decoder are both
made from them. Nothing in this package knows Kafka, ClickHouse, Faust or the clock.
"""
