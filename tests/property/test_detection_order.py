"""Which alerts there are is a function of the evidence, not of the order in which it is heard or of restarts."""

import random
from collections.abc import Iterable, Iterator
from functools import cache
from typing import Any

import numpy as np
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from pipeline.core.detection.detector import Detector
from pipeline.core.detection.incidents import FIRING, RETRACTED, Alert
from pipeline.core.usual.measures import Measures
from pipeline.model.ages import age_counters
from pipeline.model.evidence import HOUR_MS, STEP_MS, Evidence, final_after
from pipeline.model.tiles import STEP_COUNTERS, Counters
from tests.support import DETECTOR_RULES, RULES

MONDAY = 4 * 24 * HOUR_MS
AGES = age_counters((f.name, f.timeout_ms) for f in RULES.funnels.all)
DEVICES = ("desktop", "mobile", "tablet")
SEGMENTS = ("all", "channel=web", *(f"channel=web|device={device}" for device in DEVICES))
SOURCE_OF = {name: f"cx.tiles:{at % 2}" for at, name in enumerate(SEGMENTS)}
SOURCES = sorted(set(SOURCE_OF.values()))
PIECE_MS = 10 * 60_000
END_MS = MONDAY + 6 * HOUR_MS
QUIET = (MONDAY + 4 * HOUR_MS, MONDAY + 4 * HOUR_MS + 10 * 60_000)
"""Nothing comes in: restored windows have to be as long as they were."""


def counters(completed: int) -> Counters:
    ages = AGES["checkout"]
    viewed, done = STEP_COUNTERS["checkout_step_viewed"], STEP_COUNTERS["checkout_step_completed"]
    steps = {f"{viewed}pay": 2 * completed, f"{viewed}ship": completed, f"{done}pay": completed}
    return {ages.completed[3]: completed, ages.at_risk[3]: 240_000, "events": 50, **steps}


def shop() -> tuple[list[Evidence], list[Evidence]]:
    """Steps and hours of five and a half sound hours, and half an hour in which mobile is broken."""
    chance = np.random.default_rng(7)
    steps, hours = [], dict[tuple[int, str], Counters]()
    for start in range(MONDAY, END_MS, STEP_MS):
        if QUIET[0] <= start < QUIET[1]:
            continue
        mobile = 0.2 if start >= END_MS - HOUR_MS // 2 else 4.0
        of_device = [int(chance.poisson(mean)) for mean in (4.0, mobile, 4.0)]
        whole = sum(of_device)
        for name, count in zip(SEGMENTS, (whole, whole, *of_device), strict=True):
            if not (name.endswith("tablet") and start < MONDAY + HOUR_MS):  # one that comes later
                found = counters(count)
                steps.append(Evidence(name, start, found))
                hour = hours.setdefault((start - start % HOUR_MS, name), {})
                for key, value in found.items():
                    hour[key] = hour.get(key, 0) + value
    return steps, [Evidence(name, start, found) for (start, name), found in hours.items()]


STEPS, HOURS = shop()


def told(source: str, after_ms: int, until_ms: int) -> tuple[list[Evidence], list[Evidence]]:
    """What a source tells when it is complete up to a time: hours, when nothing can change them any more."""
    steps = [e for e in STEPS if SOURCE_OF[e[0]] == source and after_ms <= e[1] < until_ms]
    final = final_after(HOUR_MS)
    hours = [e for e in HOURS if SOURCE_OF[e[0]] == source and after_ms < e[1] + final <= until_ms]
    return steps, hours


def shown(alerts: list[Any], at_ms: int) -> Iterator[tuple[Any, ...]]:
    for alert in alerts:
        latest = alert.latest
        yield (
            at_ms,
            alert.alert_id,
            alert.rule.name,
            alert.segment,
            alert.status,
            alert.opened_ms,
            alert.resolved_ms,
            latest.window_ms,
            latest.observed,
            latest.expected,
            latest.score,
            tuple((part.where, part.share) for part in alert.causes),
        )


def final(found: Iterable[Alert]) -> dict[str, tuple[Any, ...]]:
    """By id, all that is said of the alerts that there were in the end."""
    latest = {alert.alert_id: alert for alert in found}
    return {name: alert.content() for name, alert in latest.items() if alert.status != RETRACTED}


def new_detector() -> Detector:
    return Detector(Measures(AGES), DETECTOR_RULES, sources=len(SOURCES))


def restarted(detector: Detector, shards: dict[str, Any]) -> Detector:
    made = detector.snapshot()
    shards.update(made.changed)
    for name in made.gone:
        shards.pop(name, None)
    found = new_detector()
    found.restore(made.head, shards)
    return found


@cache
def in_order() -> list[tuple[Any, ...]]:
    detector, found = new_detector(), list[tuple[Any, ...]]()
    for end in range(MONDAY + PIECE_MS, END_MS + 1, PIECE_MS):
        for source in SOURCES:
            detector.take(source, end, end, *told(source, end - PIECE_MS, end))
        for decided in detector.decide():
            found.extend(shown(decided.alerts, decided.at_ms))
    return found


def test_the_broken_half_hour_is_found() -> None:
    firing = {row[1] for row in in_order() if row[4] == FIRING}
    assert len(firing) == 1
    assert all(row[0] > END_MS - HOUR_MS // 2 for row in in_order() if row[4] == FIRING)


@settings(max_examples=12, deadline=None, phases=[Phase.generate])
@given(st.integers(0, 2**32))
def test_alerts_do_not_depend_on_order_repetition_or_restarts(seed: int) -> None:
    chance = random.Random(seed)
    detector, found, shards = new_detector(), list[tuple[Any, ...]](), dict[str, Any]()
    at = dict.fromkeys(SOURCES, MONDAY)
    while min(at.values()) < END_MS:
        source = chance.choice([name for name, end in at.items() if end < END_MS])
        end = min(END_MS, at[source] + chance.choice((STEP_MS, PIECE_MS, HOUR_MS)))
        first = chance.choice((at[source], MONDAY)) if chance.random() < 0.3 else at[source]  # told again
        steps, hours = told(source, first, end)
        chance.shuffle(steps)
        chance.shuffle(hours)
        shuffled = [Evidence(n, s, dict(chance.sample(sorted(c.items()), len(c)))) for n, s, c in steps]
        detector.take(source, end, end, shuffled, hours)
        at[source] = end
        for decided in detector.decide():
            found.extend(shown(decided.alerts, decided.at_ms))
        if chance.random() < 0.1:
            detector = restarted(detector, shards)
    assert found == in_order()


LATENESS_MS = HOUR_MS
AFTERWARDS_MS = END_MS + 2 * LATENESS_MS
"""All is settled."""


def as_seen_before(chance: random.Random, one: Evidence) -> Evidence:
    """A step as it looks when some of its events are missing: with fewer completions, more, or nothing in it."""
    drawn = chance.random()
    if drawn < 0.4:
        return Evidence(one.segment, one.start_ms, counters(0))
    return Evidence(one.segment, one.start_ms, {} if drawn < 0.6 else counters(chance.randrange(12)))


def late_story(chance: random.Random, share: float) -> list[tuple[int, str, list[Evidence]]]:
    """(when, source, steps): a share of the steps told otherwise first, and as they are within the lateness.

    Where a segment is silent, phantoms are told of as well, and taken back.
    """
    told_of = {(one.segment, one.start_ms): one for one in STEPS}
    nothing = [
        Evidence(name, start, {})
        for start in range(MONDAY - HOUR_MS, END_MS, STEP_MS)
        for name in SEGMENTS
        if (name, start) not in told_of and start >= MONDAY
    ]
    story = []
    for one in (*STEPS, *nothing):
        at = one.start_ms - one.start_ms % PIECE_MS + PIECE_MS
        first = one
        if chance.random() < share:
            first = as_seen_before(chance, one)
            story.append((at + chance.randrange(PIECE_MS, LATENESS_MS, PIECE_MS), SOURCE_OF[one.segment], [one]))
        story.append((at, SOURCE_OF[one.segment], [first]))
    return story


def told_late(seed: int, share: float, restarts: float) -> list[Alert]:
    """Everything that was given of alerts."""
    chance = random.Random(seed)
    detector, given, shards = new_detector(), list[Alert](), dict[str, Any]()
    story = late_story(chance, share)
    by_time: dict[tuple[int, str], list[Evidence]] = {}
    for when, source, steps in story:
        by_time.setdefault((when, source), []).extend(steps)
    version = 0
    for end in range(MONDAY + PIECE_MS, AFTERWARDS_MS + 1, PIECE_MS):
        for source in SOURCES:
            version += 1
            steps = by_time.get((end, source), [])
            # The first look at a step comes before what corrects it.
            now = [one for one in steps if one.start_ms >= end - PIECE_MS]
            before = [one for one in steps if one.start_ms < end - PIECE_MS]
            detector.take(source, version, None, [*before, *now], [])
            detector.take(source, version, end, [], told(source, end - PIECE_MS, end)[1])
            for decided in detector.decide():
                given.extend(alert.copy() for alert in decided.alerts)
            if chance.random() < restarts:
                detector = restarted(detector, shards)
    return given


@cache
def in_the_end() -> dict[Any, Any]:
    return final(told_late(0, share=0.0, restarts=0.0))


def test_the_story_has_alerts() -> None:
    assert any(alert[2] == "resolved" or alert[2] == FIRING for alert in in_the_end().values())


@settings(max_examples=8, deadline=None, phases=[Phase.generate])
@given(st.integers(0, 2**32), st.sampled_from((0.02, 0.3)))
def test_late_evidence_changes_nothing_of_what_there_is_in_the_end(seed: int, share: float) -> None:
    given = told_late(seed, share, restarts=0.05)
    assert final(given) == in_the_end()
