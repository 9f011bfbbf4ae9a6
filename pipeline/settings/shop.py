"""Settings of the shop: what decides which journeys, segments and signals there are."""

import json
from typing import Annotated, Any, Final, Literal

from pydantic import BeforeValidator, Field, SecretStr, model_validator

from pipeline.model.dimensions import STEP
from pipeline.model.funnels import EMPTIES, FILLS, STANDARD, Occasions
from pipeline.settings.services import Part
from schemas.events import Channel, Id64
from schemas.segments import DIMENSIONS
from schemas.versioning import MOST_GENERATIONS
from schemas.vocabulary import MOST_ATTRIBUTES, Vocabulary

Word = Annotated[str, Field(pattern=r"^[a-z](_?[a-z0-9])*$", max_length=32)]
"""A name that a shop chooses: lower case, digits, single underscores between them."""


#: Counters of tiles and signals are named after funnels; these would make two of them one.
RESERVED_BEGINNING: Final = "step_"
RESERVED_ENDINGS: Final = ("_value", "_opened", "_left", "_completed", "_abandoned", "_lived", "_sq", "_net")


class OnSettings(Part):
    """All events of a type, or those of them at one step or on one channel."""

    type: str
    step: Id64 | None = None
    channel: Channel | None = None


def _whole(found: Any) -> Any:
    """A type alone is all of its events; a variable of the environment holds JSON."""
    events = json.loads(found) if isinstance(found, str) and found.lstrip().startswith("[") else found
    if isinstance(events, str):
        events = [events]
    if not isinstance(events, list | tuple | set | frozenset):
        return events
    whole = [{"type": one} if isinstance(one, str) else one for one in events]
    return sorted(whole, key=str)


Events = Annotated[tuple[OnSettings, ...], BeforeValidator(_whole)]


class FunnelSettings(Part):
    enabled: bool = True
    """Whether it is followed at all."""
    name: Word | None = None
    """Another name for it in signals, tables and alerts."""
    opens_on: Annotated[Events, Field(min_length=1)]
    """Event types that open a journey; one with conditions is ``{"type": ..., "step": ..., "channel": ...}``."""
    completes_on: Annotated[Events, Field(min_length=1)]
    """Event types that complete it."""
    abandons_on: Events = ()
    """Event types that abandon it at once."""
    fills_on: Events | None = None
    """Event types that add a line to it; absent: ``product_added``, if that opens it. ``[]``: none are counted."""
    empties_on: Events | None = None
    """Event types that take a line away; absent: ``product_removed``, if ``product_added`` opens it. A journey
    without lines that times out is emptied, not abandoned."""
    timeout_s: Annotated[float, Field(gt=0, le=86_400)]
    """Inactivity after which it counts as abandoned."""

    @property
    def lines(self) -> tuple[tuple[OnSettings, ...], tuple[OnSettings, ...]]:
        """What adds a line, and what takes one away."""
        fills, empties = self.fills_on, self.empties_on
        is_cart = any(on.type == FILLS for on in self.opens_on)
        if fills is None:
            fills = (OnSettings(type=FILLS),) if is_cart else ()
        if empties is None:
            empties = (OnSettings(type=EMPTIES),) if is_cart else ()
        return fills, empties


def _standard(name: str) -> FunnelSettings:
    funnel = STANDARD[name]

    def events(occasions: Occasions) -> Any:
        return [on.type for on in occasions.events]

    return FunnelSettings(
        opens_on=events(funnel.opens_on),
        completes_on=events(funnel.completes_on),
        abandons_on=events(funnel.abandons_on),
        timeout_s=funnel.timeout_ms / 1000,
    )


class FunnelsSettings(Part, extra="allow"):
    """Those of ours, and any of the shop's beside them."""

    __pydantic_extra__: dict[Word, FunnelSettings] = Field(init=False)

    search: FunnelSettings = _standard("search")
    cart: FunnelSettings = _standard("cart")
    checkout: FunnelSettings = _standard("checkout")
    form: FunnelSettings = _standard("form")
    support: FunnelSettings = _standard("support")
    queue: FunnelSettings = _standard("queue")
    basket: FunnelSettings = _standard("basket")

    def followed(self) -> dict[str, FunnelSettings]:
        """Those that are switched on, by what they are called: ours first, others by name.

        The order is part of what is stored, and must not depend on that of a file.
        """
        named = {funnel.name or key: funnel for key, funnel in self if funnel.enabled}
        ours = [name for name in STANDARD if name in named]
        return {name: named[name] for name in (*ours, *sorted(named.keys() - STANDARD.keys()))}


class EventsSettings(Part):
    types: tuple[Word, ...] = ()
    """Event types of the shop beside those of the contract, which funnels can name; others stay invalid."""


class SegmentsSettings(Part):
    combinations: tuple[tuple[str, ...], ...] = (
        (),
        ("channel",),
        ("store_id",),
        ("region",),
        ("channel", "device"),
        ("channel", "store_id"),
    )
    """Combinations of dimensions that make the segments; the empty one is ``all``."""
    attributes: Annotated[tuple[Word, ...], Field(max_length=MOST_ATTRIBUTES)] = ()
    """Names in events' ``attributes`` whose texts are dimensions too, at most eight."""
    known: dict[str, tuple[str, ...]] = {}  # noqa: RUF012 - pydantic copies it
    """For a dimension, or for ``step``, the values that are told apart; all others become ``other``."""
    most_values: Annotated[int, Field(ge=1, le=100_000)] = 2_000
    """Of a dimension, or of steps, without such a list so many are told apart, those seen first; others become
    ``other``."""

    @model_validator(mode="after")
    def _dimensions_exist(self) -> "SegmentsSettings":
        dimensions = Vocabulary(attributes=self.attributes).dimensions
        if len(set(dimensions)) < len(dimensions) or STEP in self.attributes:
            raise ValueError(f"attributes: each once, and none of {', '.join(DIMENSIONS)}, {STEP}")
        named = {name for combination in self.combinations for name in combination} | set(self.known)
        if unknown := named - {*dimensions, STEP}:
            raise ValueError(
                f"no such dimension: {', '.join(sorted(unknown))} (there are {', '.join(dimensions)})"
            )
        if any(STEP in combination for combination in self.combinations):
            raise ValueError("step is no dimension: its known values can be set, segments cannot be made of it")
        return self


class AlertsSettings(Part):
    rules: str = ""
    """File of the alert rules (TOML); empty: those shipped, ``pipeline/settings/alert_rules.toml``."""


class MomentsSettings(Part):
    rules: str = ""
    """File of the moment rules (TOML); empty: those shipped, ``pipeline/settings/moment_rules.toml``; ``none``:
    none. Like a funnel, a rule decides what is kept: to change one, see the page on moments."""
    holdout_key: SecretStr = SecretStr("")
    """Decides with rule and person who is held out. Another one draws anew (``verify`` then finds those
    drawn before different); empty: anyone can tell who is."""


class PipelineSettings(Part):
    generation: Annotated[int, Field(ge=1, lt=MOST_GENERATIONS)] = 1
    """Rises by one whenever a topic was emptied and starts anew: versions then keep rising."""
    lateness_s: Annotated[float, Field(ge=0, le=86_400)] = 3_600.0
    """Allowed lateness behind a partition's watermark."""
    own_lateness_s: dict[Channel, Annotated[float, Field(ge=0, le=604_800)]] = {}  # noqa: RUF012 - pydantic copies it
    """By channel, where it is another: ``{"pos": 43200}`` if tills send their files at night; costs memory."""
    session_events: Annotated[int, Field(ge=1_000, le=1_000_000)] = 20_000
    """An event with so many later ones in its session is too late: what an event costs has a bound."""
    currency: Annotated[str, Field(pattern="^[A-Z]{3}$")] = "EUR"
    """The shop's currency; amounts in others do not count."""
    batch_records: Annotated[int, Field(ge=1, le=100_000)] = 50_000
    """Records taken from Kafka at a time, at most."""
    batch_wait_s: Annotated[float, Field(gt=0, le=10)] = 0.2
    """How long to wait for a batch to fill."""
    emit_interval_s: Annotated[float, Field(gt=0, le=60)] = 0.5
    """How often the worker checks for complete windows."""
    hold_s: Annotated[float, Field(ge=0, le=3_600)] = 30.0
    """How long rows wait for a source that lags or stands still. Then they are published as not complete."""
    tick_interval_s: Annotated[float, Field(gt=0, le=3_600)] = 2.0
    """An idle partition's watermark is moved on this often."""
    checkpoint_interval_s: Annotated[float, Field(gt=0, le=3_600)] = 10.0
    """Time between two checkpoints of a partition, twelve times as long where little comes (under 5,000 records),
    and longer where they would take over a tenth of the time."""
    engine: Literal["compiled", "reference"] = "compiled"
    """What holds the sessions: the compiled engine, where it was compiled, or the reference in plain Python."""
    rebuild: bool = False
    """Whether a partition whose state cannot be restored is read again from the oldest record on."""
    dead_letter_share: Annotated[float, Field(gt=0, le=1)] = 0.1
    """Share of refused records in a topic's last minute above which it counts as flooded."""
