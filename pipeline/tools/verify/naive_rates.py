"""How many persons come, and how often rules fire, from whole logs. Written apart from the core."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping

from pipeline.tools.verify.naive_moments import Happened, Happenings, session_name
from pipeline.tools.verify.naive_persons import Seen, person_of
from pipeline.tools.verify.naive_returns import SOURCE
from pipeline.tools.verify.naive_tiles import segments_of
from pipeline.tools.verify.naive_types import BUCKET, NaiveRules, TileKey
from schemas.touchpoint import Touchpoint

HALF_AN_HOUR = 1_800_000


def tiles(
    seen: Seen,
    happened: Happenings,
    fired: Iterable[tuple[str, str, Happened, tuple[str, ...]]],
    rules: NaiveRules,
) -> Mapping[TileKey, Mapping[str, int]]:
    """``fired``: rule, person, at what, and after which events."""
    found: dict[TileKey, dict[str, int]] = defaultdict(lambda: defaultdict(int))

    def count(name: str, at_ms: int, event: Touchpoint) -> None:
        for segment in segments_of(event, rules):
            found[segment, at_ms // BUCKET * BUCKET, SOURCE][name] += 1

    if rules.moments:
        for at_ms, event in _comings(seen, happened):
            count("persons_seen", at_ms, event)
    for rule, _, one, _ in fired:
        count(f"{rule.replace('-', '_')}_moments", one.at_ms, one.event)
    return found


def _comings(seen: Seen, happened: Happenings) -> Iterator[tuple[int, Touchpoint]]:
    """When somebody came of whom there had been nothing for half an hour, and with which event."""
    facts: dict[str, dict[int, list[Touchpoint]]] = defaultdict(lambda: defaultdict(list))
    for who, at_ms, event in seen.facts:
        if person := person_of(who, at_ms, seen):
            facts[person][at_ms].append(event)
    for who, one in happened.all:
        facts[person_of(who, one.at_ms, seen) or session_name(one)][one.at_ms].append(one.event)
    for times in facts.values():
        last = None
        for at_ms, events in sorted(times.items(), key=lambda item: item[0]):
            if last is None or at_ms - last > HALF_AN_HOUR:
                yield at_ms, min(events, key=lambda event: [value or "" for value in event.dims])
            last = at_ms
