"""Why a record is not taken, and its dead letter."""

import json
from typing import Final, NamedTuple

from pipeline.model.erasure import Erased
from pipeline.model.privacy import fingerprint
from pipeline.model.records import ClockRefusal, DeadLetter, Record
from schemas.facts import CUSTOMER, VISITOR
from schemas.reasons import CLOCK_ERROR, Reason, Refusal
from schemas.touchpoint import Touchpoint

_ERASED: Final = "erased"
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
    letter = dead_letter(record, limits.fetched_ms, refusal, limits.customer_key)
    return letter._replace(by_clock=refusal.error.startswith(CLOCK_ERROR))


def too_far_back(most_later: int) -> Refusal:
    """Why an event is not taken that has so many later ones in its session."""
    return Refusal(
        Reason.TOO_LATE,
        f"occurred_at: {most_later} later events of its session have been taken, none is put before them any more "
        "(is one session_id used for many visitors?)",
    )


def refused_tick(record: Record, fetched_ms: int, customer_key: bytes) -> DeadLetter | None:
    """The letter of a tick that the wall clock of this reading refuses; None where the record itself tells."""
    assert record.tick_ms is not None
    if 0 <= record.timestamp_ms < record.tick_ms - FUTURE_MS:
        return None
    ahead = (record.tick_ms - fetched_ms) / 1000
    refusal = Refusal(Reason.IN_FUTURE, f"{CLOCK_ERROR}: a tick {ahead:.3f} s past its fetch")
    return dead_letter(record, fetched_ms, refusal, customer_key)._replace(by_clock=True)


def is_tick_ahead(record: Record, fetched_ms: int) -> bool:
    """Whether a tick's time lies too far past its record's, or past its fetch, to move anything (law 4)."""
    tick_ms, stamp_ms = record.tick_ms, record.timestamp_ms
    assert tick_ms is not None
    return tick_ms > fetched_ms + FUTURE_MS or 0 <= stamp_ms < tick_ms - FUTURE_MS


def dead_letter(record: Record, fetched_ms: int, refusal: Refusal, customer_key: bytes) -> DeadLetter:
    received = fetched_ms if record.timestamp_ms < 0 else min(fetched_ms, record.timestamp_ms)
    return DeadLetter.of(record.offset, received, refusal, record.value or b"", customer_key)


def without_erased(letter: DeadLetter, erased: Erased) -> DeadLetter:
    """The letter, without what it holds where that names somebody who is erased."""
    try:
        message = json.loads(letter.payload)
    except (ValueError, RecursionError):
        return letter
    named = [] if not isinstance(message, dict) else [(CUSTOMER, "customer_id"), (VISITOR, "visitor_id")]
    if any(isinstance(one := message.get(field), str) and erased.has(kind + one) for kind, field in named):
        return letter._replace(payload=b"", error=letter.error if letter.by_clock else _ERASED)
    return letter


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
    if stamp_ms < 0 and at_ms > limits.fetched_ms + FUTURE_MS:
        ahead = (at_ms - limits.fetched_ms) / 1000
        return Refusal(Reason.IN_FUTURE, f"{CLOCK_ERROR}: there is none; occurred_at {ahead:.3f} s past the fetch")
    if stamp_ms > limits.fetched_ms + FUTURE_MS:
        ahead = (stamp_ms - limits.fetched_ms) / 1000
        return Refusal(Reason.IN_FUTURE, f"{CLOCK_ERROR}: {ahead:.3f} s past its fetch")
    behind, allowed = (limits.cutoff_ms + limits.lateness_ms - at_ms) / 1000, limits.lateness_ms / 1000
    return Refusal(Reason.TOO_LATE, f"occurred_at: {behind:.3f} s behind the watermark, {allowed:g} s are allowed")
