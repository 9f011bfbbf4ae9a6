"""The words of a shop's events: those of the contract, and those that the shop adds (docs/funnels.md)."""

from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final, Literal

from pydantic import Field, create_model

from schemas.events import EVENT_TYPES, TouchpointEvent
from schemas.segments import DIMENSIONS

MOST_TYPES: Final = 128
"""Event types in all: a stored event has seven bits for its type."""
MOST_ATTRIBUTES: Final = 8
LONGEST_VALUE: Final = 64
"""Characters of a dimension's value; of an attribute a longer text counts as absent."""


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """Event types and dimensions beside those of the contract."""

    types: tuple[str, ...] = ()
    """Event types that the shop adds."""
    attributes: tuple[str, ...] = ()
    """Names in ``attributes`` whose texts are dimensions."""

    @property
    def event_types(self) -> tuple[str, ...]:
        return (*EVENT_TYPES, *self.types)

    @property
    def dimensions(self) -> tuple[str, ...]:
        return (*DIMENSIONS, *self.attributes)


CONTRACT: Final = Vocabulary()
"""The contract's words alone."""


@lru_cache(maxsize=64)
def event_model(vocabulary: Vocabulary) -> type[TouchpointEvent]:
    """The model of the shop's events: the contract's, with the types that the shop adds."""
    if not vocabulary.types:
        return TouchpointEvent
    kind: Any = Literal[vocabulary.event_types]
    described = Field(description=TouchpointEvent.model_fields["type"].description)
    return create_model("TouchpointEvent", __base__=TouchpointEvent, type=(kind, described))
