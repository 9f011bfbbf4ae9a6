"""A request of a source to its answer: taken, produced, counted. Answers 2xx only for what Kafka has."""

from collections.abc import Callable, Mapping, Sequence
from typing import Final

import msgspec

from pipeline.collector.bodies import BodyError, BodyTooLargeError
from pipeline.collector.families import NotTakenApartError, Reply
from pipeline.collector.incoming import Incoming
from pipeline.collector.intake import Taken, TooManyEventsError
from pipeline.collector.letters import letter_of, source_of
from pipeline.collector.metrics import CollectorMetrics
from pipeline.collector.producing import NotTakenError, Producing
from pipeline.collector.signatures import AuthenticationError
from pipeline.collector.sources_file import Source
from pipeline.model.records import DeadLetter
from pipeline.model.source import Source as Place
from pipeline.outputs.letters import letter_message

_RETRY_AFTER_S: Final = 5
Keep = Callable[[Place, DeadLetter], None]
"""Has a letter's row stored some time."""


class Collecting:
    """Works on requests once they are read."""

    def __init__(
        self,
        producing: Producing,
        metrics: CollectorMetrics,
        keep: Keep,
        lateness_ms: Mapping[str, int],
        customer_key: bytes = b"",
    ) -> None:
        """``lateness_ms``: by channel, how late a touchpoint may be to count."""
        self._producing, self._metrics, self._keep = producing, metrics, keep
        self._lateness_ms, self._customer_key = lateness_ms, customer_key

    async def answer(self, source: Source, request: Incoming) -> Reply:
        """What the sender is told."""
        reply = source.intake.hand_shake(request)
        return await self.take(source, request) if reply is None else reply

    async def take(self, source: Source, request: Incoming, is_known: bool = False) -> Reply:
        """The same of a request that brings events. ``is_known``: who sent it needs no proof any more."""
        try:
            taken = source.intake.take(request, is_known)
        except AuthenticationError as error:
            return refusal(401, str(error))
        except BodyTooLargeError as error:
            # Of a topic nobody would send it in pieces.
            letters = [letter_of(request, f"request: {error}", self._customer_key)] if is_known else []
            return await self._send(source, Taken(), letters, request) or refusal(413, str(error))
        except (BodyError, NotTakenApartError, TooManyEventsError) as error:
            letter = letter_of(request, f"request: {error}", self._customer_key)
            self._metrics.note_invalid(source.name, "request")
            return await self._send(source, Taken(), [letter], request) or refusal(400, str(error))
        letters = [letter_of(request, taken.error, self._customer_key, taken.places)] if taken.problems else []
        return await self._send(source, taken, letters, request) or source.intake.reply_to(request)

    async def _send(
        self, source: Source, taken: Taken, letters: Sequence[DeadLetter], request: Incoming
    ) -> Reply | None:
        """None when all of it is in Kafka; else what the sender is told."""
        place = source_of(source.name)
        messages = [letter_message(place, letter) for letter in letters]
        if taken.finished or messages:
            try:
                sent = await self._producing.send(taken.finished, messages, request.received_ms)
            except NotTakenError as error:
                return refusal(503, str(error))
            self._metrics.note_sent(source.name, sent.new, sent.copies, sent.orders_again)
        for letter in letters:
            self._keep(place, letter)
        self._count(source.name, taken, request.received_ms)
        return None

    def _count(self, name: str, taken: Taken, now_ms: int) -> None:
        metrics = self._metrics
        for kind, count in taken.ignored.items():
            metrics.note_ignored(name, kind, count)
        for problem in taken.problems:
            metrics.note_invalid(name, problem.partition(":")[0])
        for note, count in taken.times.items():
            metrics.note_time(name, note, count)
        for one in taken.finished:
            metrics.note_newest(name, one.at_ms)
            if one.at_ms < now_ms - self._lateness_ms[one.channel]:
                metrics.note_time(name, "too_late")


def refusal(status: int, detail: str) -> Reply:
    return Reply(status, msgspec.json.encode({"error": detail}))


def headers_of(reply: Reply) -> dict[str, str]:
    """Those that go with the status."""
    return {"Retry-After": str(_RETRY_AFTER_S)} if reply.status in (429, 503) else {}
