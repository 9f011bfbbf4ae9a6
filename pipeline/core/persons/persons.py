"""The facts of persons, what has become of their journeys, their moments, and what is counted (docs/persons.md).

What is put out of a person is a function of the set of the person's facts, and of what all sources have passed.
What differs is told (``changing``).
"""

from collections.abc import Iterable, Sequence
from typing import Final

from pipeline.core.cuts import Cut, Head, Shards
from pipeline.core.persons.changing import Changing, MomentRow, PurchaseRow, RecoveryRow
from pipeline.core.persons.counts import Place, buckets, counted, dims_of, next_asked_ms
from pipeline.core.persons.held import due_ms
from pipeline.core.persons.kept import Kept
from pipeline.core.persons.tiles import PersonTiles
from pipeline.core.sources import later
from pipeline.model.dimensions import Value
from pipeline.model.erasure import NONE, Erased
from pipeline.model.event_time import NEVER_MS
from pipeline.model.facts import HORIZON_MS, KEPT_MS, MOST_FACTS, Held, step_of, unpack_person
from pipeline.model.moments import MomentRule
from pipeline.model.segments import Segmenter
from pipeline.model.tiles import Counters, Tile, add
from schemas.facts import ABANDONED, KNOWN, SESSION, Statement

_VIA_BITS: Final = 16
_MOST_UNTOLD: Final = 5_000
"""Tiles that wait for the next step of time."""


class Persons:
    """State of one partition of ``cx.facts``."""

    def __init__(
        self,
        first_version: int,
        sources: int,
        lateness_ms: int,
        segmenter: Segmenter,
        rules: Sequence[MomentRule] = (),
        erased: Erased = NONE,
    ) -> None:
        """``sources``: how many there are, heard of or not. ``rules``: of moments."""
        self._rules: Final = tuple(rules)
        self._moments: list[MomentRow] = []
        self._purchases: list[PurchaseRow] = []
        self.kept: Final = Kept(first_version, sources, lateness_ms)
        self.segmenter: Final = segmenter
        self.tiles: Final = PersonTiles([rule.name for rule in rules])
        self._lateness_ms: Final = lateness_ms
        self._told_ms: int | None = None
        """What all sources had passed when rows were put out last."""
        self._tiles_told_ms: int | None = None
        """The step of that when tiles were."""
        self._changing: dict[str, Changing] = {}
        self._deltas: dict[Place, Counters] = {}
        self._rewritten: set[Place] = set()
        self.shortened = 0
        """Facts let go because there were too many of one person."""
        self.is_catching_up = True
        """Whether a run that has crashed may have told more than this state knows of."""
        self.erased = erased

    def __len__(self) -> int:
        return len(self.kept.book)

    def version_at(self, offset: int) -> int:
        """Of what follows from the records before the offset."""
        return self.kept.sources.first_version + offset

    def facts(self) -> int:
        """How many facts are kept: to be measured, for it looks at every person."""
        return sum(len(unpack_person(self.kept.book.get(person) or b"")[0]) for person in self.kept.book)

    def take(
        self,
        source: str,
        version: int,
        watermark_ms: int | None,
        more: bool,
        statements: Iterable[Statement],
    ) -> None:
        """Take what one source sent after one batch."""
        number = self.kept.hear(source, version, watermark_ms, more)
        if number is None:
            return
        erased = self.erased if self.erased.marks else None
        for statement in statements:
            if erased is not None and erased.has(statement.who):
                continue
            # What was let go is told again by a run that has crashed only.
            if statement.who.startswith((*KNOWN, SESSION)) and due_ms(statement.fact) >= self.kept.over_ms:
                one = self._of(statement.who)
                one.state(number | statement.via << _VIA_BITS, version, statement)
                if len(one.facts) > 2 * MOST_FACTS:
                    self.shortened += one.shorten()

    def _of(self, person: str) -> Changing:
        found = self._changing.get(person)
        if found is None:
            stored = self.kept.book.get(person)
            found = self._changing[person] = Changing(person, stored, self._told_ms, self._rules)
        return found

    def settle(self) -> list[RecoveryRow]:
        """What a batch leads to. Nothing else may be asked of the state before.

        What is counted of it is folded by ``fold``, when what is ``undecided`` has been decided.
        """
        # A partition that was taken for empty may begin with something old. What has been asked stays asked.
        passed_ms = later(self._told_ms, self.kept.sources.all_passed_ms())
        due = set() if passed_ms is None else self.kept.take_due(passed_ms)
        for person in due:
            if person in self.kept.book:
                self._of(person).look_again()
        rows: list[RecoveryRow] = []
        steps = _step(self._told_ms), _step(passed_ms)
        for person, one in self._changing.items():
            one.settle(passed_ms)
            rows += one.rows(person, self.is_catching_up)
            self._moments += one.moment_rows(person, self.is_catching_up)
            self._purchases += one.purchase_rows(person, self.is_catching_up)
            self._count(one, *steps)
            self.shortened += one.shorten()
            self._forget(one, passed_ms)
            self.kept.put(person, one.content(), self._next_due(one.facts.all(), steps[1]))
        self._changing.clear()
        self._told_ms = passed_ms
        return rows

    def _forget(self, one: Changing, passed_ms: int | None) -> None:
        """Let go what is too old; before that note what follows from it."""
        if passed_ms is None or not self.kept.may_forget:
            return
        over_ms = passed_ms - self._lateness_ms
        if one.facts.has_due(over_ms):
            one.settle_moments(over_ms - HORIZON_MS)
            one.facts.forget(over_ms)

    def take_moments(self) -> list[MomentRow]:
        """What batches settled since the last call have led to of moments."""
        taken, self._moments = self._moments, []
        return taken

    def take_purchases(self) -> list[PurchaseRow]:
        """The same of purchases."""
        taken, self._purchases = self._purchases, []
        return taken

    def _count(self, one: Changing, before_ms: int | None, now_ms: int | None) -> None:
        """Both by whole steps."""
        dimensions = self.segmenter.dimensions
        if one.before or one.now:
            for row, by_ms, times in one.changed(before_ms, now_ms):
                dims = dims_of(row.journey, dimensions)
                for bucket, counters in counted(row, by_ms):
                    add(self._deltas.setdefault((dims, bucket), {}), counters, times)
        for place, name, times in one.counted(dimensions):
            delta = self._deltas.setdefault(place, {})
            delta[name] = delta.get(name, 0) + times
        if self.is_catching_up:
            for journey in one.journeys():
                dims = dims_of(journey, dimensions)
                self._rewritten.update((dims, bucket) for bucket in buckets(journey, now_ms))
            self._rewritten.update(one.places(dimensions))

    def undecided(self) -> list[Value]:
        """What must be decided of what was settled before it can be folded, in an order of its own."""
        every = {dims for dims, _ in (*self._deltas, *self._rewritten)}
        return sorted({pair for dims in every for pair in self.segmenter.undecided(dims)})

    def fold(self) -> None:
        """Add what was settled to the tiles."""
        deltas = {place: {n: c for n, c in delta.items() if c} for place, delta in self._deltas.items()}
        changed = {place: delta for place, delta in deltas.items() if delta}
        self.tiles.fold(changed, self._rewritten, self.segmenter.segments)
        self._deltas.clear()
        self._rewritten.clear()

    def take_tiles(self, is_due: bool = False) -> list[Tile] | None:
        """The tiles that have changed, once time has come to another step or there are many; None: not yet.

        What is not told yet belongs to times that the watermark told has not passed, or corrects what has been.
        ``is_due``: it has waited long enough.
        """
        step, untold = self._tellable_ms(), self.tiles.untold
        if step is None or (step == self._tiles_told_ms and not (untold and (is_due or untold > _MOST_UNTOLD))):
            return None
        self._tiles_told_ms = step
        tiles = self.tiles.take_untold()
        # Time may have come far with this batch: what is told of it is of what was kept before.
        if self.kept.may_forget:  # else what is kept of persons is counted in them still
            self.tiles.forget(self.kept.over_ms - KEPT_MS)
        self.tiles.rest(step)
        return tiles

    def _tellable_ms(self) -> int | None:
        """What has been told stays as it is while something is on its way that is older than what all have passed:
        a time that is passed is one that nothing corrects far from.
        """
        return _step(self._told_ms) if self.kept.may_forget else self._tiles_told_ms

    @property
    def passed_ms(self) -> int | None:
        """What all sources have passed, by whole steps, as of when tiles were taken last."""
        return self._tiles_told_ms

    def _next_due(self, held: list[Held], step: int | None) -> int | None:
        """When something is to be told, or let go. ``step``: of what all sources have passed."""
        found = NEVER_MS
        for one in held:
            found = min(found, due_ms(one.fact) + self._lateness_ms)
            if one.holds and one.fact.kind == ABANDONED:
                found = min(found, next_asked_ms(one.fact, step))
        return None if found == NEVER_MS else found

    def end_catching_up(self) -> None:
        """All that such a run can have taken has been taken."""
        self.is_catching_up = False

    def erase(self, erased: Erased) -> None:
        """Keep nothing of who is erased, whatever is told of them. To be called between batches.

        What was counted of them stays counted.
        """
        self.erased = erased
        self.kept.erase([person for person in self.kept.book if erased.has(person)])

    def snapshot(self) -> Cut:
        """What has changed since the last one. To be made between batches."""
        told = {"told_ms": self._told_ms, "tiles_told_ms": self._tiles_told_ms}
        made = self.kept.snapshot(told | self.tiles.head())
        self.tiles.snapshot(made)
        return made

    def restore(self, head: Head, shards: Shards) -> None:
        """Bring a new state to what it was when the snapshot was made whose head this is."""
        self.kept.restore(head, shards)
        self._told_ms, self._tiles_told_ms = head["told_ms"], head["tiles_told_ms"]
        self.tiles.restore(head, shards)
        for person in self.kept.book:
            held, _, _ = unpack_person(self.kept.book.get(person) or b"")
            self.kept.note_due(person, self._next_due(held, _step(self._told_ms)))


def _step(passed_ms: int | None) -> int | None:
    return None if passed_ms is None else step_of(passed_ms)
