"""Segments: ``all``, and one for each configured combination of dimensions that an event carries."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from pipeline.model.dimensions import Dims, Value, Values
from schemas.vocabulary import CONTRACT, Vocabulary

ALL: Final = "all"
_MAX_CACHED: Final = 200_000


def _escape(text: str) -> str:
    return text.replace("%", "%25").replace("|", "%7C").replace("=", "%3D")


def canonical(pairs: Mapping[str, str]) -> str:
    """``channel=web|device=mobile``: dimensions in alphabetical order, values percent-encoded."""
    if not pairs:
        return ALL
    return "|".join(f"{name}={_escape(pairs[name])}" for name in sorted(pairs))


class Segmenter:
    """Maps the dimensions of an event to its segments' canonical texts.

    ``combinations``: which dimensions make a segment, such as ``("channel", "device")``; the empty
    one is ``all``. ``values``: which values are told apart; others are ``other``.
    """

    def __init__(
        self, combinations: Iterable[Sequence[str]], values: Values, vocabulary: Vocabulary = CONTRACT
    ) -> None:
        self._dimensions: Final = vocabulary.dimensions
        self.dimensions: Final = len(self._dimensions)
        """How many the shop has."""
        self._combinations = [tuple(sorted(combination)) for combination in combinations]
        self._used = frozenset(name for combination in self._combinations for name in combination)
        self.values: Final = values
        self._cache: dict[Dims, tuple[str, ...]] = {}

    def segments(self, dims: Dims) -> tuple[str, ...]:
        """Segments of an event with these dimensions; one lacking a dimension is in none of it.

        All its values must be decided.
        """
        found = self._cache.get(dims)
        if found is None:
            if len(self._cache) >= _MAX_CACHED:
                self._cache.clear()
            found = self._cache[dims] = self._compute(dims)
        return found

    def undecided(self, dims: Dims) -> list[Value]:
        """Of these dimensions the values of which it is not decided yet what they count as."""
        if dims in self._cache:
            return []
        return [pair for pair in self._values_in(dims) if not self.values.is_decided(*pair)]

    def _values_in(self, dims: Dims) -> list[Value]:
        pairs = zip(self._dimensions, dims, strict=True)
        return [(name, value) for name, value in pairs if value is not None and name in self._used]

    def _compute(self, dims: Dims) -> tuple[str, ...]:
        values = {name: self.values.of(name, value) for name, value in self._values_in(dims)}
        return tuple(
            canonical({name: values[name] for name in combination})
            for combination in self._combinations
            if all(name in values for name in combination)
        )
