"""Which parts of a segment account for a difference.

A part is what a further dimension's value, alone or with others, picks out of the segment. It explains the
difference if it holds more of it than of what was expected: half of the traffic with half of the losses
explains nothing, half of the traffic with all of them does.
"""

from collections.abc import Sequence
from typing import Final, NamedTuple

from pipeline.core.statistics import Floats
from pipeline.core.usual.measures import dimensions

_LEAST_SHARE: Final = 0.5
_LEAST_GAIN: Final = 0.15
_MOST: Final = 3


class Part(NamedTuple):
    """``where``: dimensions beyond the segment's; shares of the segment's difference and expected count."""

    where: str
    share: float
    of_expected: float


def parts(names: Sequence[str], segment: str, observed: Floats, expected: Floats) -> list[Part]:
    """Parts of the segment that explain its difference, the best first. Arrays by row of ``names``."""
    root = names.index(segment)
    if root >= len(observed):
        return []
    difference = expected[root] - observed[root]
    if not difference or not expected[root]:
        return []
    mine = dimensions(segment)
    sums: dict[tuple[frozenset[str], frozenset[str]], tuple[float, float]] = {}
    for row, name in enumerate(names[: len(observed)]):
        theirs = dimensions(name)
        more = theirs - mine
        if not more or not mine <= theirs:
            continue
        kind = frozenset(each.partition("=")[0] for each in more)
        for picked in {more, *(frozenset({each}) for each in more)}:
            before = sums.get((kind, picked), (0.0, 0.0))
            sums[kind, picked] = (
                before[0] + float(expected[row] - observed[row]),
                before[1] + float(expected[row]),
            )
    found: dict[str, Part] = {}
    for (_, picked), (missing, usual) in sums.items():
        part = Part("|".join(sorted(picked)), missing / float(difference), usual / float(expected[root]))
        if part.share >= _LEAST_SHARE and _gain(part) >= _LEAST_GAIN:
            other = found.get(part.where)
            if other is None or _gain(part) > _gain(other):
                found[part.where] = part
    return sorted(found.values(), key=lambda part: (-round(_gain(part), 2), part.where.count("|")))[:_MOST]


def with_step(found: list[Part], step: str, share: float) -> list[Part]:
    """The first part narrowed to a step of the journey, or the step alone where there is none."""
    first = found[0] if found else Part("", 1.0, 1.0)
    where = "|".join(filter(None, (first.where, f"step={step}")))
    return [Part(where, first.share * share, first.of_expected * share), *found]


def _gain(part: Part) -> float:
    return part.share - part.of_expected
