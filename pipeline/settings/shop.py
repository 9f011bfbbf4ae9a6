"""Settings of the shop: what decides which journeys, segments and signals there are."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from pipeline.model.dimensions import STEP
from pipeline.model.funnels import STANDARD
from pipeline.settings.services import Part
from schemas.events import EVENT_TYPES
from schemas.segments import DIMENSIONS
from schemas.versioning import MOST_GENERATIONS


class FunnelSettings(Part):
    opens_on: frozenset[str]
    """Event types that open a journey."""
    completes_on: frozenset[str]
    """Event types that complete it."""
    abandons_on: frozenset[str] = frozenset()
    """Event types that abandon it at once."""
    timeout_s: Annotated[float, Field(gt=0, le=86_400)]
    """Inactivity after which it counts as abandoned."""

    @model_validator(mode="after")
    def _types_exist(self) -> "FunnelSettings":
        unknown = (self.opens_on | self.completes_on | self.abandons_on) - set(EVENT_TYPES)
        if unknown:
            raise ValueError(f"no such event type: {', '.join(sorted(unknown))}")
        return self


def _standard(name: str) -> FunnelSettings:
    funnel = STANDARD[name]
    return FunnelSettings(
        opens_on=funnel.opens_on,
        completes_on=funnel.completes_on,
        abandons_on=funnel.abandons_on,
        timeout_s=funnel.timeout_ms / 1000,
    )


class FunnelsSettings(Part):
    search: FunnelSettings = _standard("search")
    cart: FunnelSettings = _standard("cart")
    checkout: FunnelSettings = _standard("checkout")
    form: FunnelSettings = _standard("form")
    support: FunnelSettings = _standard("support")
    queue: FunnelSettings = _standard("queue")
    basket: FunnelSettings = _standard("basket")


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
    known: dict[str, tuple[str, ...]] = {}  # noqa: RUF012 - pydantic copies it
    """For a dimension, or for ``step``, the values that are told apart; all others become ``other``."""
    most_values: Annotated[int, Field(ge=1, le=100_000)] = 2_000
    """Of a dimension, or of steps, without such a list so many are told apart, those seen first; others become
    ``other``."""

    @model_validator(mode="after")
    def _dimensions_exist(self) -> "SegmentsSettings":
        named = {name for combination in self.combinations for name in combination} | set(self.known)
        if unknown := named - {*DIMENSIONS, STEP}:
            raise ValueError(
                f"no such dimension: {', '.join(sorted(unknown))} (there are {', '.join(DIMENSIONS)})"
            )
        if any(STEP in combination for combination in self.combinations):
            raise ValueError("step is no dimension: its known values can be set, segments cannot be made of it")
        return self


class AlertsSettings(Part):
    rules: str = ""
    """File of the alert rules (TOML); empty: those shipped, ``pipeline/settings/alert_rules.toml``."""


class PipelineSettings(Part):
    generation: Annotated[int, Field(ge=1, lt=MOST_GENERATIONS)] = 1
    """Rises by one whenever a topic was emptied and starts anew: versions then keep rising."""
    lateness_s: Annotated[float, Field(ge=0, le=86_400)] = 3_600.0
    """Allowed lateness behind a partition's watermark."""
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
    """Time between two checkpoints of a partition, six times as long where little comes (under 5,000 records), and
    longer where they would take over a tenth of the time."""
    engine: Literal["compiled", "reference"] = "compiled"
    """What holds the sessions: the compiled engine, where it was compiled, or the reference in plain Python."""
    rebuild: bool = False
    """Whether a partition whose state cannot be restored is read again from the oldest record on."""
    dead_letter_share: Annotated[float, Field(gt=0, le=1)] = 0.1
    """Share of refused records in a topic's last minute above which it counts as flooded."""
