"""A store in memory, for tests and trials. Its acknowledgements can be held back."""

from collections.abc import Callable, Mapping

import msgspec

from pipeline.durability.store import CheckpointError, Stored, joined
from pipeline.kafka.topics import TopicFacts
from pipeline.model.records import ClockRefusal
from pipeline.model.source import Source, source_name
from schemas.checkpoints import Manifest, ShardRef, manifest_key
from schemas.events import TOUCHPOINT_TOPICS
from schemas.evidence import EVIDENCE_TOPIC
from schemas.facts import FACTS_TOPIC, VISITS_TOPIC
from schemas.tiles import TILES_TOPIC


class MemoryCheckpoints:
    """Keeps every record until ``compact`` is called."""

    def __init__(self) -> None:
        self.logs: dict[Source, list[tuple[str, bytes | None] | None]] = {}
        self.commits: dict[Source, int] = {}
        self.starts: dict[Source, int] = {}
        self.ends: dict[Source, int] = {}
        self.refused: dict[Source, dict[int, ClockRefusal]] = {}
        topics = (TOUCHPOINT_TOPICS[0], TILES_TOPIC, VISITS_TOPIC, FACTS_TOPIC, EVIDENCE_TOPIC)
        self.facts = {name: TopicFacts(1, "") for name in topics}
        self.held_back: list[Callable[[], None]] | None = None
        """Set to a list to have acknowledgements put there instead of given."""

    def append(self, source: Source, key: str, value: bytes | None, stored: Stored) -> None:
        log = self.logs.setdefault(source, [])
        log.append((key, value))
        offset = len(log) - 1
        if self.held_back is None:
            stored(offset)
        else:
            self.held_back.append(lambda: stored(offset))

    def compact(self) -> None:
        """Keep of each key the last record only, as a broker may at any time."""
        for log in self.logs.values():
            last = {record[0]: at for at, record in enumerate(log) if record is not None}
            for at, record in enumerate(log):
                if record is not None and (last[record[0]] != at or record[1] is None):
                    log[at] = None

    def manifests(self, source: Source) -> list[Manifest]:
        wanted = manifest_key(source_name(source))
        records = (record for record in reversed(self.logs.get(source, [])) if record is not None)
        found = (value for key, value in records if key == wanted and value is not None)
        return [msgspec.json.decode(value, type=Manifest) for value in found]

    def read(self, source: Source, refs: Mapping[str, ShardRef]) -> dict[str, bytes]:
        log = self.logs.get(source, [])
        parts = {name: [log[at] if at < len(log) else None for at in ref.offsets] for name, ref in refs.items()}
        if missing := [name for name, records in parts.items() if None in records]:
            raise CheckpointError(f"shards that the manifest names are not there: {', '.join(missing[:3])}")
        return {
            name: joined(name, ref, [record[1] for record in parts[name] if record is not None])
            for name, ref in refs.items()
        }

    def committed(self, source: Source) -> int | None:
        return self.commits.get(source)

    def bounds(self, source: Source) -> tuple[int, int]:
        return self.starts.get(source, 0), self.ends.get(source, 0)

    def topics(self) -> Mapping[str, TopicFacts]:
        return self.facts

    def dead_letters_end(self) -> Mapping[int, int]:
        return {0: 0}

    def refusals(self, source: Source, since: Mapping[int, int]) -> Mapping[int, ClockRefusal]:
        return self.refused.get(source, {})
