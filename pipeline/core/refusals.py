"""Why a record is not taken, and its dead letter."""

from typing import Final, NamedTuple

from pipeline.core.records import ClockRefusal, DeadLetter, Record
from schemas.privacy import fingerprint
from schemas.reasons import CLOCK_ERROR, Reason, Refusal
from schemas.touchpoint import Touchpoint

FUTURE_MS: Final = 300_000
"""So far may an event's time lie past its record's, and that past its fetch."""


class Limits(NamedTuple):
    """What a partition takes. Times in ms since the epoch."""

    channel: str
    fetched_ms: int
    cutoff_ms: int
    """Events before it are too late: the watermark less the allowed lateness."""
    lateness_ms: int
    customer_key: bytes = b""


def refused(record: Record, event: Touchpoint, limits: Limits) -> DeadLetter:
    """The letter of a well-formed event that does not belong where, or when, it came."""
    refusal = _refusal(record.timestamp_ms, event, limits)
    by_clock = refusal.reason is Reason.IN_FUTURE and event.at_ms - FUTURE_MS <= record.timestamp_ms
    letter = dead_letter(record, limits.fetched_ms, refusal, limits.customer_key)
    return letter._replace(by_clock=by_clock)


def dead_letter(record: Record, fetched_ms: int, refusal: Refusal, customer_key: bytes) -> DeadLetter:
    received = fetched_ms if record.timestamp_ms < 0 else min(fetched_ms, record.timestamp_ms)
    return DeadLetter.of(record.offset, received, refusal, record.value or b"", customer_key)


def refused_again(record: Record, before: ClockRefusal, customer_key: bytes) -> DeadLetter | None:
    """The letter of an earlier reading, if it was of this record."""
    payload = record.value or b""
    if fingerprint(customer_key, payload) != before.sha256:
        return None
    refusal = Refusal(Reason.IN_FUTURE, before.error)
    letter = DeadLetter.of(record.offset, before.received_ms, refusal, payload, customer_key)
    return letter._replace(by_clock=True)


def _refusal(stamp_ms: int, event: Touchpoint, limits: Limits) -> Refusal:
    """By the first check that it failed."""
    at_ms, channel = event.at_ms, limits.channel
    if event.channel != channel:
        return Refusal(
            Reason.WRONG_TOPIC,
            f"channel: {event.channel} events belong in touchpoints.{event.channel}, "
            f"this is touchpoints.{channel}",
        )
    if stamp_ms >= 0 and at_ms > stamp_ms + FUTURE_MS:
        ahead = (at_ms - stamp_ms) / 1000
        return Refusal(Reason.IN_FUTURE, f"occurred_at: {ahead:.3f} s past the record's time")
    if stamp_ms > limits.fetched_ms + FUTURE_MS:
        ahead = (stamp_ms - limits.fetched_ms) / 1000
        return Refusal(Reason.IN_FUTURE, f"{CLOCK_ERROR}: {ahead:.3f} s past its fetch")
    behind, allowed = (limits.cutoff_ms + limits.lateness_ms - at_ms) / 1000, limits.lateness_ms / 1000
    return Refusal(Reason.TOO_LATE, f"occurred_at: {behind:.3f} s behind the watermark, {allowed:g} s are allowed")
