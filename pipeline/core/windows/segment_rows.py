"""Times of several groups in one ascending column of keys: one search, sort or sum serves all of them.

A key holds the group's number in the upper bits and the time in the lower ones, so that keys are in order of
group, then time.
"""

from collections.abc import Sequence
from typing import Final, Protocol

import numpy as np

from pipeline.core.statistics import Ints

_TIME_BITS: Final = 48
_BIAS_MS: Final = 1 << (_TIME_BITS - 1)
"""Times some 4,000 years around the epoch; groups up to 2^15."""

_NEVER_MS: Final = 1 << 62


class Rows(Protocol):
    """Rows by bucket: :class:`pipeline.core.windows.buckets.BucketRows`, or several of them in one."""

    @property
    def buckets(self) -> Ints:
        """Starts of the buckets, ascending, in ms."""
        ...

    @property
    def counts(self) -> Ints:
        """Shape: buckets, width."""
        ...


def keys_of(groups: Ints | int, times_ms: Ints) -> Ints:
    found: Ints = (groups << _TIME_BITS) + (times_ms + _BIAS_MS)
    return found


def groups_of(keys: Ints) -> Ints:
    found: Ints = keys >> _TIME_BITS
    return found


def times_of(keys: Ints) -> Ints:
    """In ms."""
    found: Ints = (keys & ((1 << _TIME_BITS) - 1)) - _BIAS_MS
    return found


def numbered(columns: Sequence[Ints]) -> tuple[Ints, Ints]:
    """Several columns after another, and before it of each entry the number of the column that it is from."""
    if not columns:
        return np.empty(0, dtype=np.int64), np.empty(0, dtype=np.int64)
    numbers = np.arange(len(columns), dtype=np.int64)
    return numbers.repeat([len(column) for column in columns]), np.concatenate(columns)


def buckets_since(parts: Sequence[Rows], from_ms: int | None) -> tuple[Ints, Ints]:
    """Numbers of the parts, and their buckets from a time on; None: all of them."""
    columns = [part.buckets for part in parts]
    if from_ms is not None:
        columns = [buckets[buckets.searchsorted(from_ms) :] for buckets in columns]
    return numbered(columns)


def spread(groups: Ints, first_ms: Ints, last_ms: Ints, step_ms: int) -> Ints:
    """Keys of every time from ``first_ms`` to ``last_ms`` in steps, for each entry; not in order."""
    counts: Ints = np.maximum((last_ms - first_ms) // step_ms + 1, 0)
    until = counts.cumsum()
    # Less the steps of the entries before, so that all together are counted through.
    begins = keys_of(groups, first_ms - (until - counts) * step_ms)
    found: Ints = begins.repeat(counts) + np.arange(0, (until[-1] if len(until) else 0) * step_ms, step_ms)
    return found


def hold_any(keys: Ints, groups: Ints, starts_ms: Ints, ends_ms: Ints) -> np.typing.NDArray[np.bool_]:
    """Whether any of the keys (ascending) is of the group and in [start, end)."""
    return keys.searchsorted(keys_of(groups, ends_ms)) > keys.searchsorted(keys_of(groups, starts_ms))


class SegmentRows:
    """Rows by bucket of several groups, one group after the other: of each those that its windows need."""

    def __init__(
        self, parts: Sequence[Rows], groups: Ints, starts_ms: Ints, ends_ms: Ints, back_ms: int = 0
    ) -> None:
        """``groups``: of each window its part's number. ``back_ms``: looked at before the first window's start."""
        since, until = np.full(len(parts), _NEVER_MS), np.full(len(parts), -_NEVER_MS)
        np.minimum.at(since, groups, starts_ms - back_ms)
        np.maximum.at(until, groups, ends_ms)
        bounds = zip(parts, since.tolist(), until.tolist(), strict=True)
        self._pairs = pairs = [(part, _between(part.buckets, first, last)) for part, first, last in bounds]
        numbers, self.buckets = numbered([part.buckets[at] for part, at in pairs])
        self.keys: Final = keys_of(numbers, self.buckets)
        self.begins: Final[Ints] = numbers.searchsorted(np.arange(len(parts) + 1))
        """Of each group the first row; and where the last one ends."""
        self.counts: Final[Ints] = np.concatenate([part.counts[at] for part, at in pairs])

    def after(self) -> Ints:
        """Of each group the sum of the rows that come later. Shape: groups, width."""
        found: Ints = np.stack([part.counts[at.stop :].sum(axis=0) for part, at in self._pairs])
        return found

    def places(self, groups: Ints, times_ms: Ints) -> Ints:
        """Of the first row of the group at or after the time; the group's end where there is none."""
        return self.keys.searchsorted(keys_of(groups, times_ms))

    def sums(self, groups: Ints, starts_ms: Ints, ends_ms: Ints) -> Ints:
        """Sums of the group's rows in [start, end). Shape: windows, width."""
        return self.sums_of(self.counts, groups, starts_ms, ends_ms)

    def sums_of(self, counts: Ints, groups: Ints, starts_ms: Ints, ends_ms: Ints) -> Ints:
        """The same of other columns that belong to these rows."""
        running = running_sums(counts)
        found: Ints = running[self.places(groups, ends_ms)] - running[self.places(groups, starts_ms)]
        return found


def _between(buckets: Ints, since_ms: int, until_ms: int) -> slice:
    first, behind = buckets.searchsorted((since_ms, until_ms)).tolist()
    return slice(first, max(first, behind))


def running_sums(counts: Ints) -> Ints:
    """Of the rows before each; one more than there are rows. They may pass 64 bits: their differences do not."""
    found = np.zeros((len(counts) + 1, counts.shape[1]), dtype=np.int64)
    counts.cumsum(axis=0, out=found[1:])
    return found
