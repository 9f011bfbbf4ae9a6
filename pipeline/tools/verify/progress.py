"""How far the pipeline has come: by its checkpoints, or sooner by what its stages have told each other."""

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Final

import msgspec
from confluent_kafka import Consumer, TopicPartition

from pipeline.kafka.clients import consumer_config
from pipeline.kafka.logs import partitions_of, read_to_end, tail_start
from pipeline.model.source import Source
from pipeline.settings import KafkaSettings, Settings
from schemas.facts import FACTS_TOPIC, VISITS_TOPIC
from schemas.tiles import TILES_TOPIC
from schemas.versioning import OFFSET_BITS

_TAIL_RECORDS: Final = 100
#: Among so many, each source has told something where no more than a hundred of them share a partition.
_TOLD_RECORDS: Final = 1_000
_PAUSE_S: Final = 0.3


class NotCaughtUpError(OSError):
    """The pipeline did not get to the logs' ends in time."""


def wait_until_caught_up(settings: KafkaSettings, ends: Mapping[Source, int], timeout_s: float) -> None:
    """Return when all stages have stored what the records before the ends led to, by their checkpoints.

    Raises NotCaughtUpError, saying where it stands.
    """
    progress = _Progress(settings, timeout_s)
    progress.wait_for(ends, _nobody)
    for topics in ([TILES_TOPIC, VISITS_TOPIC], [FACTS_TOPIC]):
        progress.wait_for(inner_ends(settings, topics), _nobody)


def wait_until_told(settings: Settings, ends: Mapping[Source, int], timeout_s: float) -> None:
    """Return when all stages have read the records before the ends, by what they have told the next.

    Not all that they put out need be stored then. Raises NotCaughtUpError, saying where it stands.
    """
    progress = _Progress(settings.kafka, timeout_s)
    # Of a batch, facts are told last.
    facts = _Listening(settings.kafka, FACTS_TOPIC, settings.pipeline.generation)
    progress.wait_for(ends, facts.newest)
    progress.wait_for(inner_ends(settings.kafka, [VISITS_TOPIC]), facts.newest)
    tiles = _Listening(settings.kafka, TILES_TOPIC, settings.pipeline.generation)
    progress.wait_for(inner_ends(settings.kafka, [FACTS_TOPIC]), tiles.newest)


def inner_ends(settings: KafkaSettings, topics: Sequence[str]) -> dict[Source, int]:
    """The ends of topics between the stages: after the last record, for markers may come behind."""
    ends = dict.fromkeys(partitions_of(settings, topics), 0)
    starts = tail_start(settings, list(ends), _TAIL_RECORDS)
    for source, messages in read_to_end(settings, list(ends), starts):
        ends[source] = (messages[-1].offset() or 0) + 1
    return ends


class Told:
    """The next offset of each source, by what it has told."""

    def __init__(self, generation: int) -> None:
        self._generation = generation
        self.heard: dict[Source, int] = {}

    def take(self, value: bytes | None) -> None:
        """One message's; what is none of the pipeline's, or of another generation, says nothing."""
        try:
            line = msgspec.json.decode(value or b"", type=_Line)
            topic, _, partition = line.source.rpartition(":")
            source = topic, int(partition)
        except (msgspec.MsgspecError, ValueError, RecursionError):
            return
        if line.version >> OFFSET_BITS == self._generation:
            offset = line.version & ((1 << OFFSET_BITS) - 1)
            self.heard[source] = max(offset, self.heard.get(source, 0))


class _Listening:
    """Hears what is told on a topic, beginning with the newest messages."""

    def __init__(self, settings: KafkaSettings, topic: str, generation: int) -> None:
        self._settings, self._told = settings, Told(generation)
        self._sources = partitions_of(settings, [topic])
        self._at = tail_start(settings, self._sources, _TOLD_RECORDS)

    def newest(self) -> Mapping[Source, int]:
        for source, messages in read_to_end(self._settings, self._sources, self._at):
            self._at[source] = (messages[-1].offset() or 0) + 1
            for message in messages:
                self._told.take(message.value())
        return self._told.heard


class _Line(msgspec.Struct):
    source: str
    version: int


def _nobody() -> Mapping[Source, int]:
    return {}


class _Progress:
    def __init__(self, settings: KafkaSettings, timeout_s: float) -> None:
        self._settings, self._timeout_s = settings, timeout_s
        self._deadline_s = time.monotonic() + timeout_s

    def wait_for(self, ends: Mapping[Source, int], told: Callable[[], Mapping[Source, int]]) -> None:
        """Return when of each source all before its end is told of, or committed. Raises NotCaughtUpError."""
        consumer = Consumer(consumer_config(self._settings, self._settings.group))
        wanted = {source: end for source, end in ends.items() if end}
        try:
            while True:
                heard = told() if wanted else {}
                wanted = {source: end for source, end in wanted.items() if heard.get(source, 0) < end}
                at = consumer.committed([TopicPartition(*one) for one in wanted], timeout=30) if wanted else []
                behind = [one for one in at if one.offset < wanted[one.topic, one.partition]]
                if not behind:
                    return
                if time.monotonic() > self._deadline_s:
                    one = behind[0]
                    raise NotCaughtUpError(
                        f"the pipeline has not caught up within {self._timeout_s:g} s: {one.topic}:{one.partition}"
                        f" is at {max(0, one.offset)} of {wanted[one.topic, one.partition]} (is a worker running?)"
                    )
                time.sleep(_PAUSE_S)
        finally:
            consumer.close()
