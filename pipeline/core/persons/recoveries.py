"""What has become of a person's abandoned journeys: a function of the set of the person's facts."""

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from pipeline.model.facts import HORIZON_MS, Held, step_of
from schemas.facts import ABANDONED, CANCELLATION, PURCHASE, Fact, FactKey, key_of
from schemas.recoveries import ELSEWHERE, LOST, OPEN, RECOVERED


class Recovery(NamedTuple):
    """What has become of one journey."""

    journey: Fact
    status: str
    purchase: Fact | None
    """What it was completed or recovered by."""
    value: float
    """What counts of the purchase."""


def recoveries(facts: Iterable[Held], passed_ms: int | None) -> dict[FactKey, Recovery]:
    """By key what has become of each journey. ``facts``: those that hold, each once.

    ``passed_ms``: what all sources have passed. Only whole steps of it count, for watermarks are told by those.
    """
    held = list(facts)
    journeys = [one.fact for one in held if one.fact.kind == ABANDONED]
    if not journeys:
        return {}
    bought = [one.fact for one in purchases(held)]
    times = [one.at_ms for one in bought]
    passed = None if passed_ms is None else step_of(passed_ms)
    found = {key_of(one): _of(one, _first(bought, times, one), passed) for one in journeys}
    _count_once(found)
    return found


def purchases(held: Sequence[Held]) -> Iterator[Held]:
    """Those that are neither void nor the copy of an earlier one, in order."""
    cancelled: dict[str, list[int]] = {}
    for one in held:
        if one.fact.kind == CANCELLATION and one.fact.order_id is not None:
            cancelled.setdefault(one.fact.order_id, []).append(one.fact.at_ms)
    last: dict[str, int] = {}
    for one in sorted([one for one in held if one.fact.kind == PURCHASE], key=_order):
        order, at_ms = one.fact.order_id, one.fact.at_ms
        if order is None:
            yield one
            continue
        before_ms, last[order] = last.get(order), at_ms
        is_void = any(abs(at_ms - other_ms) <= HORIZON_MS for other_ms in cancelled.get(order, ()))
        is_copy = before_ms is not None and at_ms - before_ms <= HORIZON_MS
        if not (is_void or is_copy or one.is_settled):
            yield one


def _order(one: Held) -> tuple[int, str, str, str]:
    fact = one.fact
    return fact.at_ms, fact.event_id, fact.channel, fact.session_id


def _first(bought: Sequence[Fact], times: Sequence[int], journey: Fact) -> Fact | None:
    """The earliest purchase after the journey was entered."""
    at = bisect_right(times, journey.at_ms)
    return bought[at] if at < len(bought) else None


def _of(journey: Fact, purchase: Fact | None, passed_ms: int | None) -> Recovery:
    if purchase is not None:
        if purchase.at_ms <= journey.ended_ms:
            return Recovery(journey, ELSEWHERE, purchase, purchase.value)
        if purchase.at_ms <= journey.ended_ms + HORIZON_MS:
            return Recovery(journey, RECOVERED, purchase, purchase.value)
    is_over = passed_ms is not None and passed_ms > journey.ended_ms + HORIZON_MS
    return Recovery(journey, LOST if is_over else OPEN, None, 0.0)


def _count_once(found: dict[FactKey, Recovery]) -> None:
    """Of several recovered journeys of a funnel the one that ended last has the purchase's value."""
    last: dict[tuple[str, FactKey], FactKey] = {}
    for key, one in found.items():
        if one.status == RECOVERED and one.purchase is not None:
            which = one.journey.funnel, key_of(one.purchase)
            before = last.get(which)
            if before is None or _end(found[before].journey) < _end(one.journey):
                last[which] = key
    having = set(last.values())
    for key, one in found.items():
        if one.status == RECOVERED and key not in having:
            found[key] = one._replace(value=0.0)


def _end(journey: Fact) -> tuple[int, str, str, str, int]:
    """By which the last of several is told: its end, then its id."""
    return journey.ended_ms, journey.event_id, journey.channel, journey.session_id, journey.at_ms
