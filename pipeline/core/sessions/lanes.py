"""Whether there is a fast lane: it is compiled while the project is installed (decisions/0015)."""

from collections.abc import Callable, Sequence

from pipeline.model.ages import AgeCounters
from pipeline.model.event_time import WATERMARK_DELAY_MS
from pipeline.model.funnels import Funnels
from pipeline.model.records import Record

try:
    from pipeline.core.sessions.native.columns import RecordColumns
    from pipeline.core.sessions.native.lane import MOST_FUNNELS, Lane
except ImportError:  # it was not compiled
    IS_COMPILED = False
else:
    IS_COMPILED = True


def new_lane(
    channel: str, funnels: Funnels, currency: str, pseudonym: Callable[[str], str] | None, lateness_ms: int
) -> "Lane | None":
    """An empty lane; None where there is none, or where it does not hold so many funnels.

    ``pseudonym``: what customer ids are replaced by; None: they stay.
    """
    if not IS_COMPILED or len(funnels.all) > MOST_FUNNELS:
        return None
    opened = tuple(AgeCounters.of(funnel.name, funnel.timeout_ms).opened for funnel in funnels.all)
    return Lane(channel, funnels, opened, currency, pseudonym, WATERMARK_DELAY_MS, lateness_ms)


def by_column(records: Sequence[Record]) -> Sequence[Record]:
    """The records as a lane takes them, where there are lanes."""
    return RecordColumns(records) if IS_COMPILED and not isinstance(records, RecordColumns) else records
