"""A timer wheel: things by when something is due for them, in slots of time."""

import heapq
from typing import Final, Generic, TypeVar

T = TypeVar("T")


class TimerWheel(Generic[T]):
    """What is to be looked at when. One may be in it several times, and is not taken out of it."""

    def __init__(self, slot_ms: int) -> None:
        self._slot_ms: Final = slot_ms
        self._slots: dict[int, list[T]] = {}
        self._order: list[int] = []
        """The beginnings of the slots, as a heap."""

    def add(self, at_ms: int, thing: T) -> None:
        slot = self.slot_of(at_ms)
        there = self._slots.get(slot)
        if there is None:
            self._slots[slot] = [thing]
            heapq.heappush(self._order, slot)
        else:
            there.append(thing)

    def slot_of(self, at_ms: int) -> int:
        """When the slot begins that the time is in."""
        return at_ms - at_ms % self._slot_ms

    def take(self, before_ms: int) -> list[T]:
        """Take out the slots that begin before the time: some of the last one may be due only after it."""
        taken: list[T] = []
        while self._order and self._order[0] < before_ms:
            taken += self._slots.pop(heapq.heappop(self._order))
        return taken
