"""Which values are told apart is decided for all workers alike, before anything is counted by them."""

import asyncio
import logging
from collections.abc import Iterable
from typing import Final, Protocol

from confluent_kafka import KafkaException

from pipeline.kafka.clients import KafkaUnavailableError, describe
from pipeline.kafka.errors import is_passing
from pipeline.kafka.logs import NoAnswerError
from pipeline.metrics import Metrics
from pipeline.model.dimensions import Value, Values

logger = logging.getLogger(__name__)
_ASKED_AGAIN_S: Final = 1.0


class Admission(Protocol):
    """Decides which values are told apart, for all workers alike."""

    def admit(self, wanted: Iterable[Value]) -> None:
        """Return when it is decided of all these. Blocks. Raises errors of Kafka."""


class Decisions:
    """Has values decided for a stage."""

    def __init__(self, admission: Admission | None, metrics: Metrics) -> None:
        """``admission``: None: this worker alone decides."""
        self._admission = admission
        self._metrics = metrics
        self._full: set[str] = set()

    async def decide(self, values: Values, wanted: list[Value]) -> None:
        """Have it decided which of the values are told apart; asked until Kafka answers."""
        if self._admission is None:
            values.admit(wanted)
        while any(not values.is_decided(*one) for one in wanted):
            assert self._admission is not None
            try:
                await asyncio.to_thread(self._admission.admit, wanted)
            except (KafkaException, NoAnswerError, KafkaUnavailableError) as error:
                if isinstance(error, KafkaException) and not is_passing(error.args[0]):
                    raise
                logger.warning(
                    "it is not known yet which values are told apart, asking again: %s", describe(error)
                )
                await asyncio.sleep(_ASKED_AGAIN_S)
        for dimension, count in values.counts().items():
            self._metrics.dimension_values.labels(dimension).set(count)
            self._metrics.dimension_full.labels(dimension).set(count >= values.most)
            if count >= values.most and dimension not in self._full:
                self._full.add(dimension)
                logger.warning(
                    "%s has %d values, as many as are told apart: further ones count as 'other'. List those that "
                    "matter in CX_SEGMENTS__KNOWN, or raise CX_SEGMENTS__MOST_VALUES",
                    dimension,
                    count,
                )
