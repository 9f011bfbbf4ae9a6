"""The shops that ``make bench-alerts`` draws are counted as phases one and two count the same journeys."""

from collections.abc import Iterator

import numpy as np

from pipeline.core.sessions.partition import Partition
from pipeline.core.statistics import Floats
from pipeline.core.usual.measures import Measures
from pipeline.core.windows.windows import Windows
from pipeline.model.ages import age_counters
from pipeline.model.evidence import STEP_MS
from tests.benchmarks.alerts.shop import HOUR, NEVER, Counter, Day, Journeys, Shop, Trouble
from tests.support import FETCHED_MS, RULES, START_MS, event_json, log_of

FROM, UNTIL = 10 * HOUR, 12 * HOUR
AGES = age_counters((funnel.name, funnel.timeout_ms) for funnel in RULES.funnels.all)
MEASURES = Measures(AGES)


def events(shop: Shop, journeys: Journeys) -> Iterator[tuple[int, str, bytes]]:
    """Time, channel, event; each journey a session of its own."""
    rows = zip(journeys.leaf, journeys.opened, journeys.ended, journeys.completed, journeys.last, strict=True)
    for number, (leaf, opened, ended, completed, last) in enumerate(rows):
        channel, device, region, _ = shop.leaves[leaf]
        moments = [(opened, "checkout_started")]
        if ended == NEVER and last > opened:
            moments.append((last, "checkout_step_viewed"))
        if ended < NEVER:
            moments.append((ended, "order_completed" if completed else "order_cancelled"))
        for at, (at_ms, kind) in enumerate(moments):
            fields = {"device": device, "region": region, "event_id": str(at), "session_id": f"s{number}"}
            yield int(at_ms), channel, event_json(int(at_ms), channel=channel, type=kind, **fields)


def counted(shop: Shop, journeys: Journeys) -> dict[str, dict[int, Floats]]:
    """By segment and step, what the pipeline makes of the events."""
    sent = sorted(events(shop, journeys))
    windows = Windows(RULES.funnels, RULES.lateness_ms)
    for channel in ("web", "app"):
        log = log_of([*(event for _, of, event in sent if of == channel), 20 * HOUR])
        out = Partition(channel, RULES).process(log, fetched_ms=FETCHED_MS)
        tiles = [(tile.segment, tile.bucket_ms, tile.counters) for tile in out.tiles]
        windows.merge(f"touchpoints.{channel}:0", out.version, out.watermark_ms, tiles)
    found: dict[str, dict[int, Floats]] = {}
    while windows.is_behind():
        windows.pass_over()
        for segment, start, counters in windows.take_told().steps:
            found.setdefault(segment, {})[start - START_MS] = MEASURES.row(counters)
    return found


def test_a_drawn_shop_is_counted_as_its_events_are() -> None:
    slow = Trouble("checkout-slow", FROM, UNTIL, 2.0)
    shop = Shop(1.0, 5, (slow,))
    drawn = shop.day(0).online["checkout"]
    some = (drawn.opened >= FROM - HOUR) & (drawn.opened < UNTIL)
    checkouts = Journeys(*(getattr(drawn, name)[some] for name in Journeys.__annotations__))
    assert len(checkouts.leaf) > 100
    day = Day(online={"checkout": checkouts})
    counter = Counter(shop, MEASURES, AGES)
    life, opened = MEASURES.life["checkout"], MEASURES.columns["checkout_opened"]
    columns = [*range(life.completed.start, life.at_risk.stop), opened]
    theirs = counted(shop, checkouts)
    nothing = np.zeros(len(MEASURES.columns))
    compared = 0
    for start, counts in counter.steps([day], FROM, UNTIL):
        for row, segment in enumerate(counter.names[: counter.compared]):
            expected = theirs.get(segment, {}).get(start, nothing)
            assert counts[row, columns].tolist() == expected[columns].tolist(), (segment, start)
            compared += bool(counts[row, columns].any())
    assert compared > 1_000
    assert UNTIL - FROM == 240 * STEP_MS
