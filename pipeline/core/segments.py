"""Segments: ``all``, and one for each configured combination of dimensions that an event carries."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from pipeline.core.event_log import Dims
from schemas.segments import DIMENSIONS

ALL: Final = "all"
OTHER: Final = "other"
#: Above so many distinct values, a dimension without a list of known values is worth a warning.
MANY_VALUES: Final = 2_000
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
    one is ``all``. ``known``: for a dimension, the values that are told apart; others are ``other``.
    """

    def __init__(
        self,
        combinations: Iterable[Sequence[str]],
        known: Mapping[str, Iterable[str]] | None = None,
    ) -> None:
        self._combinations = [tuple(sorted(combination)) for combination in combinations]
        self._known = {name: frozenset(values) for name, values in (known or {}).items()}
        self._cache: dict[Dims, tuple[str, ...]] = {}
        self._seen: dict[str, set[str]] = {
            name: set()
            for name in DIMENSIONS
            if name not in self._known and any(name in c for c in self._combinations)
        }

    def segments(self, dims: Dims) -> tuple[str, ...]:
        """Segments of an event with these dimensions; one lacking a dimension is in none of it."""
        found = self._cache.get(dims)
        if found is None:
            if len(self._cache) >= _MAX_CACHED:
                self._cache.clear()
            found = self._cache[dims] = self._compute(dims)
        return found

    def crowded(self) -> dict[str, int]:
        """Dimensions without known values that have shown more than MANY_VALUES of them."""
        return {name: len(seen) for name, seen in self._seen.items() if len(seen) > MANY_VALUES}

    def _compute(self, dims: Dims) -> tuple[str, ...]:
        values = {n: v for n, v in zip(DIMENSIONS, dims, strict=True) if v is not None}
        for name, known in self._known.items():
            if name in values and values[name] not in known:
                values[name] = OTHER
        for name, seen in self._seen.items():
            if name in values and len(seen) <= MANY_VALUES:
                seen.add(values[name])
        return tuple(
            canonical({name: values[name] for name in combination})
            for combination in self._combinations
            if all(name in values for name in combination)
        )
