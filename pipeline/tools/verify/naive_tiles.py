"""What events and journeys are counted in. Written apart from the core."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

from pipeline.tools.verify.naive_nowcast import Stay, edges
from pipeline.tools.verify.naive_types import BUCKET, FunnelRule, JourneyValue, NaiveRules
from pipeline.tools.verify.naive_usual import HOUR
from schemas.touchpoint import Touchpoint


def segments_of(event: Touchpoint, rules: NaiveRules) -> Iterable[str]:
    for dimensions in rules.segments:
        parts = []
        for name in sorted(dimensions):
            further = dict(zip(rules.words.attributes, event.further, strict=True))
            value = further[name] if name in further else getattr(event, name)
            if value is None:
                break
            if name != "channel":
                value = _told_apart(name, value, rules)
            value = value.replace("%", "%25").replace("|", "%7C").replace("=", "%3D")
            parts.append(f"{name}={value}")
        else:
            yield "|".join(parts) or "all"


def _told_apart(name: str, value: str, rules: NaiveRules) -> str:
    """The value, or ``other``. What is not admitted yet is told apart while there is room."""
    if name in rules.known:
        return value if value in rules.known[name] else "other"
    admitted = rules.admitted.get(name, frozenset())
    return value if value in admitted or len(admitted) < rules.most_values else "other"


def count_event(event: Touchpoint, source: str, rules: NaiveRules, tiles: Any) -> None:
    for segment in segments_of(event, rules):
        tile = tiles[segment, event.at_ms // BUCKET * BUCKET, source]
        tile["events"] += 1
        kind = {"checkout_step_viewed": "viewed", "checkout_step_completed": "completed", "error_shown": "errors"}
        if event.step is not None and event.type in kind:
            step = _told_apart("step", event.step, rules)
            tile[f"step_{kind[event.type]}_{step}"] += 1
        if event.type in ("rage_clicked", "dead_clicked", "error_shown"):
            tile["friction"] += 1
        score = event.score_units
        if event.survey == "csat":
            tile["csat_answers"] += 1
            tile["csat_satisfied"] += 5 * score >= 4 * event.scale_units
        elif event.survey == "nps":
            tile["nps_answers"] += 1
            tile["nps_promoters"] += score >= 90_000
            tile["nps_detractors"] += score <= 60_000
        elif event.survey == "ces":
            tile["ces_answers"] += 1
            tile["ces_sum"] += score
            tile["ces_sum_sq"] += score**2


def count_journey(opening: Touchpoint, row: JourneyValue, source: str, rules: NaiveRules, tiles: Any) -> None:
    units = row.value_units
    if row.outcome == "emptied":
        return
    for segment in segments_of(opening, rules):
        tile = tiles[segment, row.ended_ms // BUCKET * BUCKET, source]
        tile[f"{row.funnel}_{row.outcome}"] += 1
        if row.outcome == "abandoned":
            tile[f"{row.funnel}_value_abandoned"] += units
            tile[f"{row.funnel}_value_abandoned_sq"] += units**2


def stay_of(opening: Touchpoint, row: JourneyValue | None) -> Stay:
    if row is None or row.reason in ("timeout", "emptied"):
        return Stay(opening.at_ms, None, completed=False)
    return Stay(opening.at_ms, row.ended_ms, row.outcome == "completed")


def count_stay(
    opening: Touchpoint, stay: Stay, funnel: FunnelRule, source: str, rules: NaiveRules, tiles: Any
) -> None:
    for segment in segments_of(opening, rules):
        first = tiles[segment, stay.opened_ms // BUCKET * BUCKET, source]
        first[f"{funnel.name}_opened"] += 1
        if stay.ended_ms is None or stay.ended_ms - stay.opened_ms >= funnel.timeout_ms:
            continue
        age = stay.ended_ms - stay.opened_ms
        low = max(edge for edge in edges(funnel.timeout_ms) if edge <= age)
        first[f"{funnel.name}_left_{low // 1000}s"] += 1
        last = tiles[segment, stay.ended_ms // BUCKET * BUCKET, source]
        last[f"{funnel.name}_{'completed' if stay.completed else 'abandoned'}_{low // 1000}s"] += 1
        last[f"{funnel.name}_lived_{low // 1000}s"] += age - low


def hours_with_any(tiles: Mapping[tuple[str, int, str], Mapping[str, int]]) -> dict[str, list[int]]:
    """By segment the hours in which anything was counted, ascending."""
    found = defaultdict(set)
    for (segment, bucket, _), counters in tiles.items():
        # By age and by step is counted what is counted already.
        if any(count for name, count in counters.items() if not _is_detail(name)):
            found[segment].add(bucket // HOUR * HOUR)
    return {segment: sorted(hours) for segment, hours in found.items()}


def _is_detail(counter: str) -> bool:
    return counter.startswith("step_") or counter.endswith("_opened") or counter[-2:-1].isdigit()
