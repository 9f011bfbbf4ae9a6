"""What a comparison with the logs cannot show, because the logs themselves are not as they should be."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence

from pipeline.tools.verify.naive_types import LogRecord, Source
from schemas.decoding import decode
from schemas.partitions import partition_of
from schemas.reasons import Refusal
from schemas.vocabulary import CONTRACT, Vocabulary

_AHEAD_MS = 300_000
SessionSources = Mapping[tuple[str, str], frozenset[Source]]
"""By channel and session the partitions that its events are in."""


def session_sources(logs: Mapping[Source, Sequence[LogRecord]], words: Vocabulary = CONTRACT) -> SessionSources:
    found: dict[tuple[str, str], set[Source]] = defaultdict(set)
    for source, records in logs.items():
        for record in records:
            event = decode(record.value, words) if record.tick_ms is None else None
            if event is not None and not isinstance(event, Refusal):
                found[event.channel, event.session_id].add(source)
    return {session: frozenset(sources) for session, sources in found.items()}


def doubts(
    logs: Mapping[Source, Sequence[LogRecord]], sessions: SessionSources, held_back: Mapping[Source, int]
) -> Iterator[str]:
    """Sentences, each of one thing that is in no table and in no difference.

    ``held_back``: by partition, how many records nobody may read yet.
    """
    if held_back:
        yield (
            f"{sum(held_back.values())} records wait behind open transactions in {len(held_back)} partitions: "
            "nobody reads them before those have ended"
        )
    for (topic, partition), records in sorted(logs.items()):
        if records and records[0].offset > 0:
            yield (
                f"{topic}:{partition} begins at offset {records[0].offset}: what was before it nothing can be "
                "compared with (retention, or the topic was made anew)"
            )
    events = [record for records in logs.values() for record in records if record.tick_ms is None]
    ticks = [record for records in logs.values() for record in records if record.tick_ms is not None]
    if without_time := sum(record.timestamp_ms < 0 for record in events):
        yield f"{without_time} records have no timestamp: what lies in the future the workers' clocks decided"
    if ahead := sum(0 <= r.timestamp_ms < (r.tick_ms or 0) - _AHEAD_MS for r in ticks):
        yield f"{ahead} ticks are over five minutes ahead of their records: they move nothing"
    parts = {topic: sum(other == topic for other, _ in logs) for topic, _ in logs}
    placed = [(session, source) for session, sources in sessions.items() for source in sources]
    if misplaced := sum(partition_of(session, parts[topic]) != at for (_, session), (topic, at) in placed):
        split = sum(len(sources) > 1 for sources in sessions.values())
        yield (
            f"{misplaced} sessions are in another partition than their session_id's, {split} in several: each "
            "partition follows its own part, and so does this comparison"
        )
