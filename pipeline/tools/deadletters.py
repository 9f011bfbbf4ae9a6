"""Dead letters sent again: what each one would come to now, and the sending."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final, NamedTuple

from pipeline.core.sessions.refusals import FUTURE_MS
from pipeline.kafka.logs import partitions_of, read_to_end
from pipeline.model.event_time import WATERMARK_DELAY_MS
from pipeline.model.privacy import Pseudonyms, fingerprint
from pipeline.model.source import Source
from pipeline.settings import KafkaSettings, Settings, rules
from pipeline.tools.replay.send import Sender, newest_times
from schemas.deadletters import COLLECTOR_TOPIC_PREFIX, OWN_MARK
from schemas.decoding import decode
from schemas.events import TOPIC_PREFIX, TOUCHPOINT_TOPICS
from schemas.partitions import partition_of
from schemas.reasons import Refusal
from schemas.vocabulary import CONTRACT, Vocabulary

REPLAYED_HEADER: Final = "cx-replayed-from"
"""On a record that was sent again: topic/partition/offset of the refused one."""


class Verdict(StrEnum):
    """What sending a letter again would come to."""

    SEND = "send"
    """It would count now (or be a duplicate)."""
    STILL_REFUSED = "still_refused"
    """It would be refused again, for the reason given."""
    TOO_LATE = "too_late"
    """It would be too late to count."""
    SENT_BEFORE = "sent_before"
    """It, or the same bytes, was sent again before."""
    PAYLOAD_GONE = "payload_gone"
    """It is longer than what is kept, and no longer in its topic."""
    NO_INPUT = "no_input"
    """It is a row of ours, not an event."""


@dataclass(frozen=True, slots=True)
class Letter:
    """A row of ``cx.dead_letters``; ``payload`` may be cut short."""

    topic: str
    partition: int
    offset: int
    reason: str
    payload: bytes
    size: int
    sha256: str
    error: str = ""
    received_ms: int = 0

    @property
    def place(self) -> str:
        return f"{self.topic}/{self.partition}/{self.offset}"


class Ready(NamedTuple):
    """A touchpoint that can be sent."""

    channel: str
    session_id: str
    at_ms: int
    payload: bytes


@dataclass(frozen=True, slots=True)
class Judged:
    """A letter with its verdict; with what is to be sent where that is something."""

    letter: Letter
    verdict: Verdict
    detail: str = ""
    ready: tuple[Ready, ...] = ()
    rest: str = ""
    """The error that the letter has once this is sent; empty: nothing of it is left."""


class Found(NamedTuple):
    """What a request that the collector could not read would become now."""

    ready: Sequence[Ready]
    rest: str = ""
    """The error of what would be refused again; empty where there is nothing of that kind."""


Collected = Callable[[Letter], Found | str]
"""What a letter of the collector leads to; a text: why to nothing."""


class Judge:
    """Decides what to do with letters, without doing it.

    ``cutoffs``: by source, the time before which an event is too late. ``sent``: digests of the payloads
    that were sent again before. ``whole``: gives the whole payload of a letter, None where it is gone.
    """

    def __init__(
        self,
        partitions: Mapping[str, int],
        cutoffs: Mapping[Source, int],
        sent: Iterable[str],
        now_ms: int,
        whole: Callable[[Letter], bytes | None],
        customer_key: bytes = b"",
        words: Vocabulary = CONTRACT,
        collected: Collected | None = None,
    ) -> None:
        self._collected = collected
        self._partitions = partitions
        self._cutoffs = cutoffs
        self._sent = set(sent)
        self._now_ms = now_ms
        self._whole = whole
        self._key, self._words = customer_key, words

    def judge(self, letter: Letter) -> Judged:
        """The verdict; a letter that is to be sent counts as sent for the letters after it."""
        is_collected = letter.topic.startswith(COLLECTOR_TOPIC_PREFIX)
        if OWN_MARK in letter.topic and not is_collected:
            return Judged(letter, Verdict.NO_INPUT)
        if letter.sha256 in self._sent:
            return Judged(letter, Verdict.SENT_BEFORE)
        # Cut short, or with its customer ids replaced, it is not what came: that lies in its topic still.
        is_whole = fingerprint(self._key, letter.payload) == letter.sha256
        payload = letter.payload if is_whole else None if is_collected else self._whole(letter)
        if payload is None or fingerprint(self._key, payload) != letter.sha256:
            return Judged(letter, Verdict.PAYLOAD_GONE)
        found = self._of_request(letter) if is_collected else self._of_record(payload)
        if isinstance(found, str):
            return Judged(letter, Verdict.STILL_REFUSED, found)
        ready = tuple(one for one in found.ready if self._late_ms(one) <= 0)
        if not ready:
            least_ms = min(self._late_ms(one) for one in found.ready)
            return Judged(letter, Verdict.TOO_LATE, f"by {least_ms / 1000:.3f} s")
        self._sent.add(letter.sha256)
        topics = ", ".join(sorted({TOPIC_PREFIX + one.channel for one in ready}))
        return Judged(letter, Verdict.SEND, topics, ready, found.rest)

    def _of_record(self, payload: bytes) -> Found | str:
        event = decode(payload, self._words)
        if isinstance(event, Refusal):
            error = Pseudonyms(self._key).in_error(event.error) if self._key else event.error
            return f"{event.reason}: {error}"
        if event.at_ms > self._now_ms + FUTURE_MS:
            return f"in_future: {(event.at_ms - self._now_ms) / 1000:.0f} s ahead"
        return Found([Ready(event.channel, event.session_id, event.at_ms, payload)])

    def _of_request(self, letter: Letter) -> Found | str:
        if self._collected is None:
            return "no file of sources is named: set CX_COLLECTOR__SOURCES"
        found = self._collected(letter)
        return found if isinstance(found, str) or found.ready else "invalid: nothing in it is a touchpoint"

    def _late_ms(self, one: Ready) -> int:
        """By how much it would be too late; not above 0: it would not."""
        topic = TOPIC_PREFIX + one.channel
        cutoff = self._cutoffs.get((topic, partition_of(one.session_id, self._partitions[topic])))
        return 0 if cutoff is None else cutoff - one.at_ms


def judge_for(settings: Settings, sent: Iterable[str], now_ms: int, collected: Collected | None = None) -> Judge:
    """A judge that knows the topics as they are now."""
    sources = partitions_of(settings.kafka, TOUCHPOINT_TOPICS)
    shop = rules(settings)
    newest = newest_times(settings.kafka, TOUCHPOINT_TOPICS, shop.vocabulary)
    return Judge(
        {topic: sum(1 for t, _ in sources if t == topic) for topic in TOUCHPOINT_TOPICS},
        {
            (topic, number): found.seen_ms
            - WATERMARK_DELAY_MS
            - shop.lateness_of(topic.removeprefix(TOPIC_PREFIX))
            for (topic, number), found in newest.items()
        },
        sent,
        now_ms,
        lambda letter: _whole_payload(settings.kafka, letter),
        settings.privacy.customer_key.get_secret_value().encode(),
        shop.vocabulary,
        collected,
    )


def send_again(settings: Settings, judged: Iterable[Judged]) -> int:
    """Send what is to be sent, each to the topic of its channel; gives how many events the broker has."""
    sender, count = Sender(settings.kafka), 0
    for one in judged:
        header = [(REPLAYED_HEADER, one.letter.place.encode())]
        for event in one.ready:
            sender.send(event.channel, event.session_id, event.payload, header)
            count += 1
    sender.finish()
    return count


def _whole_payload(settings: KafkaSettings, letter: Letter) -> bytes | None:
    """The record itself, while its topic still has it."""
    source = (letter.topic, letter.partition)
    for _, messages in read_to_end(settings, [source], {source: letter.offset}):
        for message in messages:
            value: Any = message.value()
            return value if message.offset() == letter.offset else None
    return None
