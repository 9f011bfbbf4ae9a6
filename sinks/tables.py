"""The tables of the database ``cx``: the columns that are written (``stored_at`` has a default)."""

import base64
import json
from collections.abc import Mapping
from typing import Any, Final

from pipeline.model.funnels import STANDARD
from pipeline.model.tiles import counter_names

SIGNALS: Final = "signals"
JOURNEYS: Final = "journeys"
TILES: Final = "tiles"
DEAD_LETTERS: Final = "dead_letters"
ALERTS: Final = "alerts"
RECOVERIES: Final = "recoveries"
MOMENTS: Final = "moments"
PURCHASES: Final = "purchases"
SOURCES: Final = "sources"

COUNTERS: Final = counter_names(STANDARD)
"""Those with a column of their own; of funnels of the shop's they are in ``by_funnel``."""

COLUMNS: Final[dict[str, tuple[str, ...]]] = {
    SIGNALS: (
        "signal",
        "segment",
        "window",
        "window_end",
        "numerator",
        "denominator",
        "value",
        "lower",
        "upper",
        "complete",
        "version",
    ),
    JOURNEYS: (
        "journey_id",
        "funnel",
        "session_id",
        "customer_id",
        "visitor_id",
        "channel",
        "store_id",
        "region",
        "device",
        "entered_at",
        "ended_at",
        "outcome",
        "reason",
        "last_step",
        "steps",
        "step_after_ms",
        "value",
        "version",
    ),
    RECOVERIES: (
        "person",
        "funnel",
        "channel",
        "session_id",
        "journey_id",
        "entered_at",
        "ended_at",
        "value",
        "status",
        "recovered_at",
        "recovered_channel",
        "recovered_session",
        "recovered_value",
        "store_id",
        "region",
        "device",
        "version",
    ),
    MOMENTS: (
        "moment_id",
        "rule",
        "person",
        "channel",
        "session_id",
        "at",
        "status",
        "events",
        "store_id",
        "region",
        "device",
        "is_held",
        "holdout",
        "version",
    ),
    PURCHASES: ("person", "channel", "session_id", "event_id", "at", "value", "status", "version"),
    TILES: ("segment", "bucket", "source", *COUNTERS, "by_age", "by_step", "by_funnel", "by_person", "version"),
    ALERTS: (
        "alert_id",
        "rule",
        "signal",
        "segment",
        "status",
        "opened_at",
        "updated_at",
        "resolved_at",
        "observed",
        "expected",
        "n",
        "window_s",
        "cause_where",
        "cause_share",
        "missing",
        "at_stake",
        "currency",
        "severity",
        "explanation",
        "version",
    ),
    SOURCES: (
        "source",
        "kind",
        "collector",
        "at",
        "requests",
        "mapped",
        "ignored",
        "invalid",
        "copies",
        "orders_again",
        "too_late",
        "newest_at",
    ),
    DEAD_LETTERS: (
        "received_at",
        "topic",
        "partition",
        "offset",
        "reason",
        "error",
        "payload",
        "size",
        "sha256",
    ),
}

#: Of a table that gets the same row again and again, grown: what tells it from others. A tile is written by every
#: batch that counts in it, and several batches of a partition go into one insert.
KEYS: Final[dict[str, tuple[str, ...]]] = {TILES: ("segment", "bucket", "source")}


def row_as_json(row: Mapping[str, Any]) -> bytes:
    """A row as JSON; bytes become Base64. The same row gives the same text."""
    return json.dumps(row, sort_keys=True, default=lambda raw: base64.b64encode(raw).decode()).encode()
