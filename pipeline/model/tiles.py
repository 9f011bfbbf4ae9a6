"""Tiles: mergeable counters per segment and 10 s bucket of event time.

A tile is sparse: a counter that is absent is 0. Money and scores are in units of 1/10,000, their
squares in units of 1/100,000,000; Python's integers keep them exact however large they grow.
"""

from collections.abc import Iterable
from functools import lru_cache
from typing import Final, NamedTuple

from pipeline.model.facts import ASKED_AFTER_MS

BUCKET_MS: Final = 10_000

EVENTS: Final = "events"
FRICTION: Final = "friction"
FRICTION_TYPES: Final = frozenset({"rage_clicked", "dead_clicked", "error_shown"})
_BY_STEP: Final = "step_"
STEP_COUNTERS: Final = {
    "checkout_step_viewed": f"{_BY_STEP}viewed_",
    "checkout_step_completed": f"{_BY_STEP}completed_",
    "error_shown": f"{_BY_STEP}errors_",
}
"""Counted by ``step`` as well, by event type: beginning of the counter's name."""
SURVEY_COUNTERS: Final = (
    "csat_answers",
    "csat_satisfied",
    "nps_answers",
    "nps_promoters",
    "nps_detractors",
    "ces_answers",
    "ces_sum",
    "ces_sum_sq",
)

SEEN: Final = "persons_seen"
"""Persons that come: of whom nothing has been heard for half an hour (``pipeline.core.persons.seen``)."""
_MOMENTS: Final = "_moments"

Counters = dict[str, int]


def funnel_counters(funnel: str) -> tuple[str, str, str, str]:
    """Names: completions, abandonments, sum and sum of squares of the abandoned journeys' value."""
    return (
        f"{funnel}_completed",
        f"{funnel}_abandoned",
        f"{funnel}_value_abandoned",
        f"{funnel}_value_abandoned_sq",
    )


def opened_counter(funnel: str) -> str:
    """Name: journeys opened in the bucket."""
    return f"{funnel}_opened"


def known_counter(funnel: str) -> str:
    """Name: abandonments, by their end, of somebody known."""
    return f"{funnel}_known"


def elsewhere_counter(funnel: str) -> str:
    """Name: of those, the ones completed on another way before their end."""
    return f"{funnel}_elsewhere"


def asked_counters(funnel: str, after: str) -> tuple[str, str]:
    """Names: of the others, so long after their end, how many there were; how many had been recovered by then."""
    return f"{funnel}_asked_{after}", f"{funnel}_recovered_{after}"


def recovered_value_counters(funnel: str) -> tuple[str, str]:
    """Names: what was paid for those recovered within seven days, and the sum of its squares."""
    return f"{funnel}_value_recovered_7d", f"{funnel}_value_recovered_7d_sq"


def moments_counter(rule: str) -> str:
    """Name: moments of a rule."""
    return f"{rule.replace('-', '_')}{_MOMENTS}"


def person_counters(funnels: Iterable[str]) -> tuple[str, ...]:
    """All that is counted of what became of these funnels' abandonments."""
    return tuple(
        name
        for funnel in funnels
        for name in (
            known_counter(funnel),
            elsewhere_counter(funnel),
            *(counter for after in ASKED_AFTER_MS for counter in asked_counters(funnel, after)),
            *recovered_value_counters(funnel),
        )
    )


_OF_PERSONS: Final = (*person_counters([""]), SEEN, _MOMENTS)


@lru_cache(maxsize=256)
def is_by_person(counter: str) -> bool:
    """Whether it is counted of persons, of whichever funnel or rule."""
    return counter.endswith(_OF_PERSONS)


def counter_names(funnels: Iterable[str]) -> tuple[str, ...]:
    """The counters of a tile that have a column of their own in the table ``tiles``, in its order.

    All others are by step, by age, or of a funnel that the shop has added or renamed.
    """
    of_funnels = [name for funnel in funnels for name in (*funnel_counters(funnel), opened_counter(funnel))]
    return (EVENTS, FRICTION, *SURVEY_COUNTERS, *of_funnels)


def is_by_step(counter: str) -> bool:
    return counter.startswith(_BY_STEP)


def is_by_age(counter: str) -> bool:
    """Whether its name ends with an age in seconds (``model.ages``)."""
    return counter[-1:] == "s" and counter[-2:-1].isdigit()


def bucket_of(at_ms: int) -> int:
    """Start of the bucket that holds the instant, in ms."""
    return at_ms - at_ms % BUCKET_MS


def add(into: Counters, other: Counters, times: int = 1) -> None:
    """Count so many times what the other has; -1 takes it back."""
    for name, count in other.items():
        into[name] = into.get(name, 0) + times * count


def survey_counters(survey: str, score: int, scale: int) -> Counters:
    """What one answer adds. ``score`` and ``scale`` in units of 1/10,000."""
    if survey == "csat":
        return {"csat_answers": 1, "csat_satisfied": int(5 * score >= 4 * scale)}
    if survey == "nps":
        return {
            "nps_answers": 1,
            "nps_promoters": int(score >= 90_000),
            "nps_detractors": int(score <= 60_000),
        }
    return {"ces_answers": 1, "ces_sum": score, "ces_sum_sq": score * score}


class Tile(NamedTuple):
    segment: str
    bucket_ms: int
    counters: Counters
