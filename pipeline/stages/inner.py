"""Reading our own inner topics: a record that is none of ours is passed over, counted and told once a minute.

Whoever can write to the cluster can write to these topics too, and a worker that ended at such a record would
end at it again after every start.
"""

from collections.abc import Callable
from typing import Annotated, Any, Final, Generic, TypeVar

import msgspec

from pipeline.logs import Notes
from pipeline.metrics import Metrics
from pipeline.model.records import Record
from pipeline.model.source import Source, source_name
from schemas.events import CHANNELS
from schemas.facts import FactsRead, VisitsRead
from schemas.versioning import LARGEST_VERSION

_YEAR_2200_MS: Final = 7_258_118_400_000
_DAY_MS: Final = 86_400_000
Version = Annotated[int, msgspec.Meta(ge=0, le=LARGEST_VERSION)]
Time = Annotated[int, msgspec.Meta(ge=-_DAY_MS, le=_YEAR_2200_MS)]
"""ms since the epoch."""
Segment = Annotated[str, msgspec.Meta(min_length=1)]
Message = TypeVar("Message", "TilesRead", "EvidenceRead", FactsRead, VisitsRead)


class TilesRead(msgspec.Struct):
    """Read side of :class:`schemas.tiles.TilesMessage`."""

    source: Annotated[
        str, msgspec.Meta(pattern=rf"^(touchpoints\.({'|'.join(CHANNELS)})|cx\.facts):[0-9]{{1,9}}$")
    ]
    version: Version
    watermark: Time | None
    tiles: list[
        tuple[
            Segment,
            Annotated[int, msgspec.Meta(ge=-_DAY_MS, le=_YEAR_2200_MS, multiple_of=10_000)],
            dict[str, int],
        ]
    ]
    appended: int | None = None
    more: bool = False

    @property
    def passed_ms(self) -> int | None:
        return self.watermark


class EvidenceRead(msgspec.Struct):
    """Read side of :class:`schemas.evidence.EvidenceMessage`."""

    source: Annotated[str, msgspec.Meta(pattern=r"^cx\.tiles:[0-9]{1,9}$")]
    version: Version
    complete: Time | None
    steps: list[tuple[Segment, Time, dict[str, int]]]
    hours: list[tuple[Segment, Time, dict[str, int]]]
    persons: bool = False

    @property
    def passed_ms(self) -> int | None:
        return self.complete


class Inner(Generic[Message]):
    """Reads the records of one inner topic."""

    def __init__(self, kind: type[Message], metrics: Metrics, wall_clock: Callable[[], float]) -> None:
        decoder: Any = msgspec.json.Decoder(kind)
        self._decode: Callable[[bytes], Message] = decoder.decode
        self._metrics = metrics
        self._wall_clock = wall_clock
        self._notes = Notes()

    def read(self, source: Source, record: Record) -> Message | None:
        """The message; None where there is none of ours."""
        if record.value is None:
            return None
        try:
            message = self._decode(record.value)
            passed_ms = message.passed_ms
            if passed_ms is not None and passed_ms > self._wall_clock() * 1000 + _DAY_MS:
                raise ValueError("it tells of times over a day ahead")
        except (msgspec.DecodeError, ValueError, RecursionError) as error:
            self._metrics.unreadable.labels(source[0]).inc()
            self._notes.warn(
                source_name(source),
                f"{source_name(source)}, offset {record.offset}: passed over, it is none of ours: {error}",
            )
            return None
        return message
