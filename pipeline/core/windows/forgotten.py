"""Where buckets were dropped: rows that depend on them cannot be made any more."""

from bisect import bisect_right
from collections.abc import Iterable


class Forgotten:
    """Stretches of event time in which buckets were dropped, further apart than ``reach_ms``."""

    def __init__(self, reach_ms: int, stretches: Iterable[tuple[int, int]] = ()) -> None:
        self.reach_ms = reach_ms
        self.stretches: list[tuple[int, int]] = list(stretches)

    def add(self, buckets: list[int]) -> None:
        stretches = sorted([*self.stretches, *((bucket, bucket) for bucket in buckets)])
        self.stretches = stretches[:1]
        for first, last in stretches[1:]:
            if first - self.stretches[-1][1] <= self.reach_ms:
                first_before, last_before = self.stretches[-1]
                self.stretches[-1] = (first_before, max(last, last_before))
            else:
                self.stretches.append((first, last))

    def touches(self, bucket_ms: int) -> bool:
        """Whether a row can depend on both this bucket and a dropped one."""
        # They are in order and further apart than the reach: only the two around it can.
        at = bisect_right(self.stretches, (bucket_ms, bucket_ms))
        reach = self.reach_ms
        near = self.stretches[max(0, at - 1) : at + 1]
        return any(first - reach < bucket_ms < last + reach for first, last in near)
