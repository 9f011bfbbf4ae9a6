"""Dead letters sent again: what each one would come to now, and the sending."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from pipeline.core.sessions.refusals import FUTURE_MS
from pipeline.kafka.logs import partitions_of, read_to_end
from pipeline.model.event_time import WATERMARK_DELAY_MS
from pipeline.model.privacy import Pseudonyms, fingerprint
from pipeline.model.source import Source
from pipeline.settings import KafkaSettings, Settings, rules
from pipeline.tools.replay.send import Sender, newest_times
from schemas.deadletters import OWN_MARK
from schemas.decoding import decode
from schemas.events import TOPIC_PREFIX, TOUCHPOINT_TOPICS
from schemas.partitions import partition_of
from schemas.reasons import Refusal
from schemas.touchpoint import Touchpoint
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

    @property
    def place(self) -> str:
        return f"{self.topic}/{self.partition}/{self.offset}"


@dataclass(frozen=True, slots=True)
class Judged:
    """A letter with its verdict; with the event and the whole payload where it can be sent."""

    letter: Letter
    verdict: Verdict
    detail: str = ""
    event: Touchpoint | None = None
    payload: bytes = b""


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
    ) -> None:
        self._partitions = partitions
        self._cutoffs = cutoffs
        self._sent = set(sent)
        self._now_ms = now_ms
        self._whole = whole
        self._key, self._words = customer_key, words

    def judge(self, letter: Letter) -> Judged:
        """The verdict; a letter that is to be sent counts as sent for the letters after it."""
        if OWN_MARK in letter.topic:
            return Judged(letter, Verdict.NO_INPUT)
        if letter.sha256 in self._sent:
            return Judged(letter, Verdict.SENT_BEFORE)
        # Cut short, or with its customer ids replaced, it is not what came: that lies in its topic still.
        is_whole = fingerprint(self._key, letter.payload) == letter.sha256
        payload = letter.payload if is_whole else self._whole(letter)
        if payload is None or fingerprint(self._key, payload) != letter.sha256:
            return Judged(letter, Verdict.PAYLOAD_GONE)
        event = decode(payload, self._words)
        if isinstance(event, Refusal):
            error = Pseudonyms(self._key).in_error(event.error) if self._key else event.error
            return Judged(letter, Verdict.STILL_REFUSED, f"{event.reason}: {error}")
        if event.at_ms > self._now_ms + FUTURE_MS:
            ahead = (event.at_ms - self._now_ms) / 1000
            return Judged(letter, Verdict.STILL_REFUSED, f"in_future: {ahead:.0f} s ahead")
        cutoff = self._cutoffs.get(self._target(event))
        if cutoff is not None and event.at_ms < cutoff:
            return Judged(letter, Verdict.TOO_LATE, f"by {(cutoff - event.at_ms) / 1000:.3f} s")
        self._sent.add(letter.sha256)
        return Judged(letter, Verdict.SEND, TOPIC_PREFIX + event.channel, event, payload)

    def _target(self, event: Touchpoint) -> Source:
        """Where the event belongs, by the partitioner of Java's clients."""
        topic = TOPIC_PREFIX + event.channel
        return topic, partition_of(event.session_id, self._partitions[topic])


def judge_for(settings: Settings, sent: Iterable[str], now_ms: int) -> Judge:
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
    )


def send_again(settings: Settings, judged: Iterable[Judged]) -> int:
    """Send what is to be sent, each to the topic of its channel; gives how many the broker has."""
    sender, count = Sender(settings.kafka), 0
    for one in judged:
        if one.verdict is Verdict.SEND and one.event is not None:
            header = [(REPLAYED_HEADER, one.letter.place.encode())]
            sender.send(one.event.channel, one.event.session_id, one.payload, header)
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
