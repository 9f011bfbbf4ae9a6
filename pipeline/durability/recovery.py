"""A partition's state from its newest checkpoint, and where to go on reading (law 3)."""

import contextlib
import itertools
import logging
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any, Final, Protocol

from pipeline.core.detection.detection import Detection
from pipeline.core.detection.watch import Rule
from pipeline.core.persons.persons import Persons
from pipeline.core.persons.visitors import Visitors
from pipeline.core.sessions.partition import Partition
from pipeline.core.windows.windows import Windows
from pipeline.durability.store import CheckpointError, CheckpointStore, LogReplacedError
from pipeline.kafka.logs import NoAnswerError
from pipeline.kafka.topics import TopicFacts
from pipeline.model.ages import age_counters
from pipeline.model.erasure import NONE, Erased
from pipeline.model.rules import Rules
from pipeline.model.source import Source, source_name
from schemas.checkpoints import Freed, Manifest, ShardRef, checkpoint_topic, decode_shard
from schemas.erasures import ERASURES_TOPIC
from schemas.events import TOPIC_PREFIX, TOUCHPOINT_TOPICS
from schemas.facts import FACTS_TOPIC, VISITS_TOPIC
from schemas.tiles import TILES_TOPIC

logger = logging.getLogger(__name__)
UNKNOWN: Final = TopicFacts(0, "")
BEGINNING: Final = -2
"""Kafka's logical offset of the oldest record."""
_REBUILD: Final = "CX_PIPELINE__REBUILD=true"


@dataclass(frozen=True, slots=True)
class Where:
    """Where a source is gone on with."""

    resume_at: int
    kept: int | None
    """The manifest's offset, to be acknowledged again; 0 where a log starts anew."""
    shards: dict[str, ShardRef] = field(default_factory=dict)
    freed: list[Freed] = field(default_factory=list)
    topic: TopicFacts = UNKNOWN
    erasures: int = 0
    """Of the manifest."""
    log_end: int = 0
    """Where the log ended then: so far a run that has crashed may have come."""

    @property
    def is_at_end(self) -> bool:
        """Whether no such run can have come further than this one begins."""
        return self.log_end <= max(0, self.resume_at)


def changed(topic: str, before: TopicFacts, now: TopicFacts) -> str | None:
    """What to say of a topic that is no longer what a state was made of; None where it is."""
    if before.topic_id and now.topic_id and before.topic_id != now.topic_id:
        return (
            f"the topic {topic} was deleted and made anew since the checkpoint was taken: it holds another log "
            "now. Raise CX_PIPELINE__GENERATION by one to begin with it (rows of the former one stay until "
            "replaced)"
        )
    if not topic.startswith(TOPIC_PREFIX) and 0 < before.partitions < now.partitions:
        return (
            f"the topic {topic} was given partitions, {now.partitions} instead of {before.partitions}: its "
            "segments would be in two of them. See 'Begin anew' in deploy/RUNBOOK.md: delete it, raise "
            "CX_PIPELINE__GENERATION by one"
        )
    return None


def deleted(topic: str) -> str:
    """What to say of a topic that no broker knows any more."""
    return (
        f"the topic {topic} was deleted: make it anew ('cx-signals topics') and raise CX_PIPELINE__GENERATION by "
        "one, for what is written to it from then on is another log (deploy/RUNBOOK.md, 'Begin anew')"
    )


def added(topic: str, before: int, now: int) -> str:
    """What to say of a touchpoint topic that has more partitions than it had."""
    return (
        f"{topic} has {now} partitions now, {before} before: all are read; sessions under way that move to "
        "another one are two for as long as they last (docs/failures.md, 'More partitions')"
    )


@contextlib.contextmanager
def _as_checkpoint_error(source: Source) -> Iterator[None]:
    """What was stored is not as it should be, though its sum is right: say so, and what to do."""
    try:
        yield
    except (ValueError, TypeError, LookupError, AttributeError, OverflowError) as error:
        raise CheckpointError(
            f"{source_name(source)}: its checkpoint cannot be read ({type(error).__name__}: {error}); "
            f"set {_REBUILD} to make the state anew from the log"
        ) from error


def digest_of(source: Source, digest: str, customers: str) -> str:
    """Of the rules that a source's state was made under."""
    return digest + customers if source[0].startswith(TOPIC_PREFIX) else digest


class HasErased(Protocol):
    """:class:`pipeline.kafka.erasures.Erasures`."""

    def known(self) -> Erased:
        """All who were erased when this was asked last; blocks the first time."""

    def read(self) -> Erased:
        """All who are by now. Blocks."""


class Recovery:
    """Restores from a checkpoint store. ``rebuild``: what cannot be restored may be read all again."""

    def __init__(
        self,
        store: CheckpointStore,
        rules: Rules,
        digest: str,
        alert_rules: tuple[Rule, ...],
        rebuild: bool = False,
        customers: str = "",
        started_ms: int = 0,
        is_compiled: bool = True,
        erasures: HasErased | None = None,
    ) -> None:
        """``erasures``: tells who is erased; None: nobody.

        ``rebuild``: every state from a checkpoint before ``started_ms`` (wall clock) is made anew from its log.

        ``customers``: what the digest of touchpoint partitions has besides. ``is_compiled``: whether sessions are
        in the compiled engine, where there is one.
        """
        self._store = store
        self._alert_rules = alert_rules
        self._rules = rules
        self._digest = digest
        self._customers = customers
        self._rebuild = rebuild
        self._started_ms = started_ms
        self._is_compiled = is_compiled
        self._erasures = erasures

    def partition(self, source: Source) -> tuple[Partition, Where]:
        """Phase one of a touchpoint partition. Raises CheckpointError."""
        manifest, where, shards = self._restore(source)
        channel, count = source[0].removeprefix(TOPIC_PREFIX), where.topic.partitions
        partition = Partition(
            channel,
            self._rules,
            number=source[1],
            partitions=count,
            is_compiled=self._is_compiled,
            erased=self._erased(where),
        )
        if where.is_at_end:
            partition.end_catching_up()
        if manifest is None:
            partition.refused = dict(self._store.refusals(source, {}))
            return partition, where
        with _as_checkpoint_error(source):
            partition.restore(manifest.head, shards)
            self._erase(partition, where)
        found = self._store.refusals(source, manifest.dead_letters)
        partition.refused |= {at: letter for at, letter in found.items() if at >= manifest.next_offset}
        return partition, where

    def windows(self, source: Source) -> tuple[Windows, Where]:
        """Phase two of a partition of ``cx.tiles``. Raises CheckpointError."""
        manifest, where, shards = self._restore(source)
        rules = self._rules
        sources = self._count(*TOUCHPOINT_TOPICS)
        persons = self._count(FACTS_TOPIC)
        which = rules.funnels, rules.longest_lateness_ms, rules.generation
        windows = Windows(*which, sources, persons, rules.about_persons)
        if manifest is not None:
            with _as_checkpoint_error(source):
                windows.restore(manifest.head, shards)
        windows.begin_catching_up()
        if where.is_at_end:
            windows.end_catching_up()  # rows that were due can have been put out without anything new
        return windows, where

    def visitors(self, source: Source) -> tuple[Visitors, Where]:
        """Visitors of a partition of ``cx.visits``. Raises CheckpointError."""
        manifest, where, shards = self._restore(source)
        rules = self._rules
        which = rules.first_version, self._count(*TOUCHPOINT_TOPICS), rules.longest_lateness_ms
        visitors = Visitors(*which, self._erased(where))
        if manifest is not None:
            with _as_checkpoint_error(source):
                visitors.restore(manifest.head, shards)
                self._erase(visitors, where)
        if where.is_at_end:
            visitors.end_catching_up()
        return visitors, where

    def persons(self, source: Source) -> tuple[Persons, Where]:
        """Persons of a partition of ``cx.facts``. Raises CheckpointError."""
        manifest, where, shards = self._restore(source)
        rules, sources = self._rules, self._count(*TOUCHPOINT_TOPICS, VISITS_TOPIC)
        which = rules.first_version, sources, rules.longest_lateness_ms
        persons = Persons(*which, rules.segmenter, rules.moments, self._erased(where))
        if manifest is not None:
            with _as_checkpoint_error(source):
                persons.restore(manifest.head, shards)
                self._erase(persons, where)
        if where.is_at_end:
            persons.end_catching_up()
        return persons, where

    def _erased(self, where: Where) -> Erased:
        """All who are erased. Raises NoAnswerError where a checkpoint knows of more than can be read by now."""
        if self._erasures is None:
            return NONE
        found = self._erasures.known()
        if found.end < where.erasures:
            found = self._erasures.read()
        if found.end < where.erasures:
            raise NoAnswerError(
                f"{ERASURES_TOPIC} ends at {found.end}, a checkpoint knows it up to {where.erasures}"
            )
        return found

    def _erase(self, state: Partition | Visitors | Persons, where: Where) -> None:
        """Let go who was erased after the checkpoint."""
        if where.erasures < state.erased.end:
            state.erase(state.erased)

    def _count(self, *topics: str) -> int:
        """How many partitions these have together."""
        return sum(facts.partitions for name, facts in self._store.topics().items() if name in topics)

    def detection(self, source: Source) -> tuple[Detection, Where]:
        """Detection. Raises CheckpointError."""
        manifest, where, shards = self._restore(source)
        rules = self._rules
        ages = age_counters((funnel.name, funnel.timeout_ms) for funnel in rules.funnels.all)
        sources = self._store.topics()[TILES_TOPIC].partitions
        which = self._alert_rules, rules.longest_lateness_ms, sources, rules.currency
        detection = Detection(ages, *which, rules.about_persons)
        if manifest is not None:
            with _as_checkpoint_error(source):
                detection.restore(manifest.head, shards)
        return detection, where

    def _restore(self, source: Source) -> tuple[Manifest | None, Where, dict[str, Any]]:
        manifest, where, shards = self._restored(source)
        _, log_end = self._store.bounds(source)
        return manifest, replace(where, log_end=log_end), shards

    def _restored(self, source: Source) -> tuple[Manifest | None, Where, dict[str, Any]]:
        name, topic = source_name(source), self._store.topics().get(source[0], UNKNOWN)
        anew = Where(BEGINNING, kept=0, topic=topic)
        manifests = iter(self._store.manifests(source))
        try:
            newest = next(manifests, None)
            if newest is None:
                return None, replace(self._without_manifest(source), topic=topic), {}
            if newest.generation < self._rules.generation:
                return None, anew, {}
            if why := changed(source[0], TopicFacts(newest.topic_partitions, newest.topic_id), topic):
                raise LogReplacedError(why)
            if self._rebuild and newest.taken_ms < self._started_ms:
                return None, anew, {}
            manifest, content = self._newest_that_is_whole(source, newest, manifests)
            with _as_checkpoint_error(source):
                shards = {shard: decode_shard(text) for shard, text in content.items()}
        except CheckpointError as error:
            if not self._rebuild or isinstance(error, LogReplacedError):
                raise type(error)(f"{name}: {error}") from error
            return None, anew, {}
        at = manifest.next_offset
        where = Where(at, at, manifest.shards, manifest.freed, topic, manifest.erasures)
        return manifest, where, shards

    def _newest_that_is_whole(
        self, source: Source, newest: Manifest, older: Iterator[Manifest]
    ) -> tuple[Manifest, dict[str, bytes]]:
        """The newest manifest with what it names.

        A worker that was long paused may have appended one after its successor has removed what it
        names. Each one before it is as good: a cut at which everything earlier was stored.
        """
        log_start, _ = self._store.bounds(source)
        self._check(newest, log_start, digest_of(source, self._digest, self._customers))
        first: CheckpointError | None = None
        for manifest in itertools.chain([newest], older):
            if (manifest.generation, manifest.rules) != (newest.generation, newest.rules):
                break
            try:
                if manifest.next_offset >= log_start:
                    return manifest, self._store.read(source, manifest.shards)
            except CheckpointError as error:
                logger.warning("%s: a checkpoint is passed over: %s", source_name(source), error)
                first = first or error
        assert first is not None
        raise first

    def _without_manifest(self, source: Source) -> Where:
        committed = self._store.committed(source)
        if committed:
            raise CheckpointError(
                f"the group has committed offset {committed}, but {checkpoint_topic(source[0])} holds no "
                f"checkpoint to go on from; bring it back, or set {_REBUILD} to read the whole log again "
                "(its outputs replace the older ones, nothing is counted twice)"
            )
        return Where(BEGINNING, kept=None)

    def _check(self, manifest: Manifest, log_start: int, digest: str) -> None:
        if manifest.generation > self._rules.generation:
            raise CheckpointError(
                f"the checkpoint is of generation {manifest.generation}, CX_PIPELINE__GENERATION is "
                f"{self._rules.generation}: it must never fall, set it to {manifest.generation}"
            )
        if manifest.rules != digest:
            raise CheckpointError(
                "the checkpoint was made by another release, or under other funnels, segments, lateness, currency "
                "or customer key; set "
                f"them back, or set {_REBUILD} to compute all that is still in the topics anew"
            )
        if manifest.next_offset < log_start:
            raise CheckpointError(
                f"records {manifest.next_offset} to {log_start - 1} are gone (retention) before they were "
                f"read; set {_REBUILD} to go on without them, from the oldest that is left"
            )
