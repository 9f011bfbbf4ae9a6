"""Counts by bucket of event time: a row of int64 for each bucket that has any."""

from typing import Final

import numpy as np

from pipeline.core.statistics import Ints
from pipeline.model.tiles import BUCKET_MS

_LEAST_ROOM: Final = 16


class BucketRows:
    """Rows of a matrix, one for each bucket, made as they are asked for; read in order of time."""

    def __init__(self, width: int) -> None:
        self.width: Final = width
        self._rows: dict[int, int] = {}
        """Row of each bucket in the two arrays, which are in order of time once ``_settle`` was called."""
        self._buckets = np.empty(_LEAST_ROOM, dtype=np.int64)
        self._counts = np.zeros((_LEAST_ROOM, width), dtype=np.int64)
        self._flat = self._counts.reshape(-1).data
        """The counts row after row: one number is changed in half of the time that an array takes."""
        self._in_order = True

    def __len__(self) -> int:
        return len(self._rows)

    @property
    def buckets(self) -> Ints:
        """Starts of the buckets, ascending, in ms."""
        self._settle()
        return self._buckets[: len(self._rows)]

    @property
    def counts(self) -> Ints:
        """Shape: buckets, width."""
        self._settle()
        return self._counts[: len(self._rows)]

    def row(self, bucket_ms: int) -> memoryview:
        """The bucket's row, to be changed at once: it may move when another one is made."""
        at = self._rows.get(bucket_ms)
        if at is None:
            at = len(self._rows)
            if at == len(self._buckets):
                self._buckets = np.concatenate([self._buckets, np.empty(at, dtype=np.int64)])
                self._counts = np.concatenate([self._counts, np.zeros_like(self._counts)])
                self._flat = self._counts.reshape(-1).data
            self._in_order = self._in_order and (at == 0 or bool(bucket_ms > self._buckets[at - 1]))
            self._buckets[at] = bucket_ms
            self._counts[at] = 0
            self._rows[bucket_ms] = at
        return self._flat[at * self.width : (at + 1) * self.width]

    def forget(self, before_ms: int) -> list[int]:
        """Drop the buckets that end at or before the time, and say which."""
        count = int(np.searchsorted(self.buckets, before_ms - BUCKET_MS, side="right"))
        if not count:
            return []
        dropped: list[int] = self.buckets[:count].tolist()
        self._keep(np.arange(count, len(self._rows)))
        return dropped

    def _settle(self) -> None:
        # Tiles of history come source by source: sorting once before the rows are read, instead of
        # making room for each, takes a replayed month from 40 s to 2 s.
        if not self._in_order:
            self._keep(np.argsort(self._buckets[: len(self._rows)]))
            self._in_order = True

    def _keep(self, order: Ints) -> None:
        """Keep these rows, in this order."""
        room = max(_LEAST_ROOM, len(order))
        buckets, counts = np.empty(room, dtype=np.int64), np.zeros((room, self.width), dtype=np.int64)
        buckets[: len(order)], counts[: len(order)] = self._buckets[order], self._counts[order]
        self._buckets, self._counts, self._flat = buckets, counts, counts.reshape(-1).data
        self._rows = {bucket: at for at, bucket in enumerate(buckets[: len(order)].tolist())}
