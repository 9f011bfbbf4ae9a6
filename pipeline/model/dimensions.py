"""Which values of a dimension, and which steps, are told apart; all others are ``other``.

Where the shop has listed its values these are told apart. Elsewhere anybody who can send an event can make one up,
and each has segments of its own, so only the first ``most`` are admitted: in the order of a list that grows and
that all workers share (decisions/0017). Once decided a value stays what it is, so what a partition contributes
remains a function of its log (law 2).
"""

from collections.abc import Collection, Iterable, Mapping
from typing import Final

OTHER: Final = "other"
STEP: Final = "step"
"""Not a dimension: what tiles count by besides."""
#: Of these the contract lists all values.
_CLOSED: Final = frozenset({"channel"})

Value = tuple[str, str]
"""Dimension, or ``step``, and what an event says of it."""


class Values:
    """The values told apart. ``known``: by dimension what the shop has listed; ``most``: of any other."""

    def __init__(self, most: int, known: Mapping[str, Collection[str]] | None = None) -> None:
        self.most: Final = most
        self._known: Final = {name: frozenset(values) for name, values in (known or {}).items()}
        self._admitted: dict[str, set[str]] = {}

    def admit(self, values: Iterable[Value]) -> None:
        """Take the next values of the list, in its order: each as long as there is room for it."""
        for dimension, value in values:
            if dimension in self._known or dimension in _CLOSED:
                continue
            admitted = self._admitted.setdefault(dimension, set())
            if len(admitted) < self.most:
                admitted.add(value)

    def is_decided(self, dimension: str, value: str) -> bool:
        """Whether it is known for ever what this value counts as."""
        if dimension in self._known or dimension in _CLOSED:
            return True
        admitted = self._admitted.get(dimension)
        return admitted is not None and (value in admitted or len(admitted) >= self.most)

    def of(self, dimension: str, value: str) -> str:
        """What the value counts as: itself or ``other``. It must be decided."""
        if dimension in _CLOSED:
            return value
        known = self._known.get(dimension)
        told_apart = value in (self._admitted[dimension] if known is None else known)
        return value if told_apart else OTHER

    def counts(self) -> dict[str, int]:
        """By dimension without a list of the shop's: how many are told apart."""
        return {dimension: len(admitted) for dimension, admitted in self._admitted.items()}


Dims = tuple[str | None, ...]
"""Values of the dimensions of the shop's vocabulary (:mod:`schemas.vocabulary`), in that order."""
