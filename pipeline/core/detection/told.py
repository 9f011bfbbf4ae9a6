"""What the sources of evidence have told and may still tell anew."""

import json
import zlib
from collections.abc import Iterator
from typing import Final

from pipeline.model.tiles import Counters

_FAST: Final = 1

Versions = dict[str, tuple[int, Counters]]
"""By segment: the version of what was told last, and that."""


class Step:
    """What was told of one step. Those that are hardly told again are kept packed: there are hundreds."""

    __slots__ = ("_packed", "_told", "stamp")

    def __init__(self, told: Versions | None = None) -> None:
        self._told: Versions | None = {} if told is None else told
        self._packed = b""
        self.stamp = sum(version for version, _ in (told or {}).values())
        """Another one after each change."""

    def put(self, segment: str, version: int, counters: Counters) -> bool:
        """Take what was told; whether it says something else than what was known."""
        told = self._told = self.versions()
        known, before = told.get(segment, (-1, {}))
        if version < known:
            return False
        told[segment] = version, counters
        self.stamp += version - max(known, 0)
        return counters != before

    def versions(self) -> Versions:
        if self._told is not None:
            return self._told
        text = zlib.decompress(self._packed)
        return {segment: (version, counters) for segment, (version, counters) in json.loads(text).items()}

    def rows(self) -> dict[str, Counters]:
        """Counters by segment, in order of its name, where there are any."""
        return {segment: counters for segment, (_, counters) in sorted(self.versions().items()) if counters}

    def pack(self) -> None:
        if self._told is not None:
            self._packed, self._told = zlib.compress(json.dumps(self._told).encode(), _FAST), None


class Told:
    """Steps and hours that are not settled yet, and how far each source has told all."""

    def __init__(self) -> None:
        self.complete: dict[str, int] = {}
        """By source: the end of its last complete step."""
        self.steps: dict[int, Step] = {}
        """By start."""
        self.hours: dict[int, dict[str, Counters]] = {}
        """Whole hours that nothing can change any more, by start and segment."""

    def until_ms(self, sources: int) -> int | None:
        """What so many sources have told all of; None while not all are heard of."""
        return min(self.complete.values()) if self.complete and len(self.complete) >= sources else None

    def put_step(self, segment: str, start_ms: int, version: int, counters: Counters) -> bool:
        """Whether it is news."""
        return self.steps.setdefault(start_ms, Step()).put(segment, version, counters)

    def put_hour(self, segment: str, start_ms: int, counters: Counters) -> bool:
        """Whether it is news."""
        hour = self.hours.setdefault(start_ms, {})
        is_news = hour.get(segment) != counters
        hour[segment] = counters
        return is_news

    def rows(self, start_ms: int) -> dict[str, Counters]:
        """Of one step: counters by segment."""
        step = self.steps.get(start_ms)
        return step.rows() if step is not None else {}

    def first_ms(self, from_ms: int | None, until_ms: int) -> int:
        """Start of the first step from there on of which something was told; ``until_ms`` if there is none."""
        return min((at for at in self.steps if from_ms is None or at >= from_ms), default=until_ms)

    def hours_between(self, after_ms: int | None, last_ms: int) -> Iterator[tuple[int, dict[str, Counters]]]:
        """Starts in (after, last], ascending, with the counters in order of the segments' names."""
        for start in sorted(self.hours):
            if start <= last_ms and (after_ms is None or start > after_ms):
                yield start, dict(sorted(self.hours[start].items()))

    def forget(self, before_ms: int, learned_ms: int | None) -> None:
        """Drop steps that begin before, and hours up to and with the last that was learned."""
        for start in [start for start in self.steps if start < before_ms]:
            del self.steps[start]
        for start in [start for start in self.hours if learned_ms is not None and start <= learned_ms]:
            del self.hours[start]

    def pack(self, before_ms: int) -> None:
        """Keep steps that begin before in little room."""
        for start, step in self.steps.items():
            if start < before_ms:
                step.pack()
