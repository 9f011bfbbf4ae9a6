"""What a late event has written again of tiles: all that could have been told, and nothing else."""

from pipeline.core.sessions.partition import Partition
from tests.support import FETCHED_MS, RULES, START_MS, event_json, log_of

MINUTE = 60_000


def test_nothing_is_written_of_a_time_that_the_log_has_not_come_to() -> None:
    """The cart would time out half an hour later; the newest bucket stored is taken for the present."""
    events = [
        event_json(0, type="product_added", event_id="a"),
        event_json(20 * MINUTE, type="product_added", event_id="c"),
        event_json(10 * MINUTE, type="product_added", event_id="b"),  # late within its session
    ]
    partition = Partition("web", RULES)
    out = partition.process(log_of(events), fetched_ms=FETCHED_MS)
    buckets = {tile.bucket_ms - START_MS for tile in out.tiles}
    assert {0, 10 * MINUTE, 20 * MINUTE} <= buckets
    assert max(buckets) == 20 * MINUTE
    partition.process(log_of([60 * MINUTE], 3), fetched_ms=FETCHED_MS)
    out = partition.process(log_of([event_json(25 * MINUTE, event_id="d")], 4), fetched_ms=FETCHED_MS)
    buckets = {tile.bucket_ms - START_MS for tile in out.tiles}
    assert {25 * MINUTE, 50 * MINUTE, 55 * MINUTE} <= buckets, "without it the cart has ended after 50 minutes"
