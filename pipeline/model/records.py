"""What goes into phase one and what comes out of it."""

from typing import NamedTuple

from pipeline.model.privacy import Pseudonyms, fingerprint
from schemas.deadletters import KEPT_PAYLOAD_BYTES
from schemas.reasons import Reason, Refusal


class Record(NamedTuple):
    """One record of a touchpoint topic."""

    offset: int
    timestamp_ms: int
    """The broker's or producer's time of the record; negative where there is none."""
    value: bytes | None
    tick_ms: int | None = None
    """The time of a tick; None for all other records."""


class ClockRefusal(NamedTuple):
    """A record that an earlier reading refused by its wall clock."""

    received_ms: int
    error: str
    sha256: str
    """Of the record's value: an offset of a log that started anew is another record."""


class DeadLetter(NamedTuple):
    """A record that is no event, with everything needed to see why and to find it again."""

    offset: int
    received_ms: int
    reason: Reason
    error: str
    payload: bytes
    """What is kept of it: the first 64 KiB, without customer ids where a key is set."""
    size: int
    """Bytes of the whole record."""
    sha256: str
    """Of the whole record, as it came; where a key is set, its HMAC under that key."""
    by_clock: bool = False
    """Refused by the wall clock of this reading: a later one must find this letter, or would differ."""

    @classmethod
    def of(
        cls, offset: int, received_ms: int, refusal: Refusal, record: bytes, customer_key: bytes = b""
    ) -> "DeadLetter":
        kept, error = record, refusal.error
        if customer_key:
            pseudonyms = Pseudonyms(customer_key)
            kept, error = pseudonyms.in_payload(record), pseudonyms.in_error(error)
        sha256 = fingerprint(customer_key, record)
        return cls(offset, received_ms, refusal.reason, error, kept[:KEPT_PAYLOAD_BYTES], len(record), sha256)
