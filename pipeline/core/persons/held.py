"""The facts of one person, or of one visitor, while a batch changes them."""

from collections.abc import Iterable, Iterator

from pipeline.model.facts import HORIZON_MS, KEPT_MS, PURCHASES_KEPT_MS, Held
from schemas.facts import CANCELLATION, PURCHASE, Fact, FactKey, key_of

Taken = tuple[bool, bool]
"""What a statement has changed. The first: nothing had been told of the fact before. The second: nothing as new
had been told by the same source."""


class HeldFacts:
    """By key of the fact and number of the source that told it."""

    def __init__(self, held: Iterable[Held] = ()) -> None:
        self._held: dict[tuple[FactKey, int], Held] = {}
        self._told: dict[FactKey, int] = {}
        """Of each fact how many have told it."""
        self._orders: dict[str, set[tuple[FactKey, int]]] = {}
        for one in held:
            self._add((key_of(one.fact), one.source), one)

    def __len__(self) -> int:
        return len(self._held)

    def all(self) -> list[Held]:
        return list(self._held.values())

    def _add(self, which: tuple[FactKey, int], one: Held) -> None:
        if which not in self._held:
            self._told[which[0]] = self._told.get(which[0], 0) + 1
        self._held[which] = one
        if one.fact.order_id is not None:
            self._orders.setdefault(one.fact.order_id, set()).add(which)

    def _drop(self, one: Held) -> None:
        which = key_of(one.fact), one.source
        del self._held[which]
        self._told[which[0]] -= 1
        if not self._told[which[0]]:
            del self._told[which[0]]
        if one.fact.order_id is not None:
            self._orders[one.fact.order_id].discard(which)

    def take(self, key: FactKey, source: int, version: int, holds: bool, fact: Fact) -> Taken:
        """Note what a source says of the fact with this key. What it said before is replaced."""
        which = key, source
        before = self._held.get(which)
        if before is not None and version <= before.version:
            return False, False
        is_new = which[0] not in self._told
        self._add(which, Held(source, version, holds, before is not None and before.is_settled, fact))
        return is_new, True

    def that_hold(self) -> dict[FactKey, Held]:
        """The facts that hold by one source or another, as told last."""
        found: dict[FactKey, Held] = {}
        for which, one in self._held.items():
            if one.holds:
                before = found.get(which[0])
                if before is None or (before.version, before.source) < (one.version, one.source):
                    found[which[0]] = one
        return found

    def has_another_of_order(self, fact: Fact) -> bool:
        """Whether there is another purchase, or a cancellation, of the same order."""
        if fact.order_id is None:
            return False
        key = key_of(fact)
        return any(other != key for other, _ in self._orders.get(fact.order_id, ()))

    def has_due(self, passed_ms: int) -> bool:
        """Whether anything is too old to matter once all of this time has been passed."""
        return any(due_ms(one.fact) < passed_ms for one in self._held.values())

    def forget(self, passed_ms: int) -> list[Held]:
        """Let go what is too old to matter once all of this time has passed; gives what was let go."""
        old = [one for one in self._held.values() if due_ms(one.fact) < passed_ms]
        for one in old:
            self._drop(one)
        self._settle(old)
        return old

    def shorten(self, most: int) -> int:
        """Let the oldest go where there are more; gives how many."""
        if len(self._held) <= most:
            return 0
        held = sorted(self._held.items(), key=lambda item: (item[1].fact.ended_ms, item[0]))
        surplus = [one for _, one in held[: len(held) - most]]
        for one in surplus:
            self._drop(one)
        self._settle(surplus)
        return len(surplus)

    def _settle(self, gone: list[Held]) -> None:
        """What these have made void, or a copy, stays so without them."""
        for one in gone:
            fact = one.fact
            if one.holds and fact.kind in (PURCHASE, CANCELLATION) and fact.order_id is not None:
                for key, other in list(self._followers(fact)):
                    self._held[key] = Held(other.source, other.version, other.holds, True, other.fact)

    def _followers(self, fact: Fact) -> Iterator[tuple[tuple[FactKey, int], Held]]:
        """The purchases that are void, or copies, because of it."""
        for key in self._orders.get(fact.order_id or "", ()):
            other = self._held[key]
            if other.fact.kind == PURCHASE:
                apart_ms = other.fact.at_ms - fact.at_ms
                if apart_ms <= HORIZON_MS and (fact.kind == CANCELLATION or apart_ms >= 0):
                    yield key, other


def due_ms(fact: Fact) -> int:
    """When a fact is let go."""
    return fact.ended_ms + (PURCHASES_KEPT_MS if fact.kind in (PURCHASE, CANCELLATION) else KEPT_MS)
