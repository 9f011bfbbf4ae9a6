"""How far the sources of a stage are: what each has passed, and what all have.

A source is one partition of the topic before (``topic:partition``).
"""

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

APART_MS: Final = 600_000
"""Sources further apart than this are still catching up."""


def later(before_ms: int | None, at_ms: int | None) -> int | None:
    """Of two times the later; None is before all."""
    if before_ms is None or at_ms is None:
        return at_ms if before_ms is None else before_ms
    return max(before_ms, at_ms)


class Progress(NamedTuple):
    """How far the sources are whose rows wait for each other."""

    newest_ms: int | None
    """What the first of them has passed."""
    passed_ms: int | None
    """What all have."""
    is_apart: bool
    """Whether they are further apart than they are when all are read to their ends."""


class Sources:
    """What has been heard of each source."""

    def __init__(self, first_version: int, count: int) -> None:
        """``first_version``: of this generation. ``count``: how many sources there are, heard of or not."""
        self.first_version: Final = first_version
        self._count: Final = count
        self._mid_batch: set[str] = set()
        """Sources of which a part of a batch has come, and not all of it."""
        self._again: set[str] = set()
        """Sources that have crashed and tell again, in other batches: what they have said since and take back once
        they are as far as they were is not taken back yet."""
        self.versions: dict[str, int] = {}
        """By source: the highest version received."""
        self.watermarks: dict[str, int] = {}
        """By source, ms."""
        self.empty: dict[str, int | None] = {}
        """By source of which nothing has come yet: how far the others were when it was last said to be empty."""

    def hear(self, source: str, version: int, watermark_ms: int | None, more: bool = False) -> bool:
        """Note what a message says; False where it is of an earlier generation: that log is told anew.

        ``more``: it is a part of what a batch gave, and others follow.
        """
        if version < self.first_version:
            return False
        highest = self.versions[source] = max(version, self.versions.get(source, version))
        (self._mid_batch.add if more else self._mid_batch.discard)(source)
        (self._again.add if version < highest else self._again.discard)(source)
        if watermark_ms is not None:
            # One that tells again what a run that has crashed told takes nothing back.
            self.watermarks[source] = max(watermark_ms, self.watermarks.get(source, watermark_ms))
            self.empty.pop(source, None)
        elif not more and source not in self.watermarks:
            self.empty[source] = min(self.watermarks.values(), default=None)
        return True

    @property
    def is_mid_batch(self) -> bool:
        """Whether a part of a batch is missing yet."""
        return bool(self._mid_batch)

    @property
    def is_told_again(self) -> bool:
        """Whether what is known of a source need not be what its version says."""
        return bool(self._again)

    @property
    def version(self) -> int:
        """Of a row as it is now: the generation, and the sum over all sources of how far each was read."""
        first = self.first_version
        return first + sum([version - first for version in self.versions.values()])

    @property
    def newest_ms(self) -> int | None:
        """The newest of the watermarks."""
        return max(self.watermarks.values(), default=None)

    def smallest_ms(self) -> int | None:
        """What all sources heard of have passed, ms; None while one has passed nothing, or does not say.

        An empty source is taken to have passed what the others had when it was last said to be empty. What has
        come to it since may be as old as anything.
        """
        is_told = len(self.watermarks) + len(self.empty) == len(self.versions)
        if not self.watermarks or not is_told or None in self.empty.values():
            return None
        return min([*self.watermarks.values(), *(at_ms for at_ms in self.empty.values() if at_ms is not None)])

    def all_passed_ms(self) -> int | None:
        """What all sources have passed, ms; None while there is one that is not heard of."""
        return self.smallest_ms() if len(self.versions) >= self._count else None

    def progress(self) -> Progress:
        newest, smallest = self.newest_ms, self.smallest_ms()
        is_apart = newest is None or smallest is None or newest - smallest > APART_MS
        return Progress(newest, self.all_passed_ms(), is_apart)

    def head(self) -> dict[str, Any]:
        """For a cut: versions, watermarks, empty sources, and of which something is still to come."""
        return {
            "versions": self.versions,
            "watermarks": self.watermarks,
            "empty": self.empty,
            "mid_batch": sorted(self._mid_batch),
            "again": sorted(self._again),
        }

    def restore(self, content: Mapping[str, Any]) -> None:
        self.versions = dict(content["versions"])
        self.watermarks = dict(content["watermarks"])
        self.empty = dict(content["empty"])
        self._mid_batch = set(content.get("mid_batch", ()))
        self._again = set(content.get("again", ()))
