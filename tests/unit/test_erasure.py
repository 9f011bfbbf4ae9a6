"""Erasure: what checkpoints still hold, and when; ids that look like stand-ins."""

from dataclasses import replace
from typing import Any

import pytest

from pipeline.core.persons.visitors import Visitors
from pipeline.core.sessions.partition import Partition
from pipeline.durability.memory import MemoryCheckpoints
from pipeline.kafka.logs import NoAnswerError
from pipeline.model.erasure import Erased
from pipeline.model.records import Record
from pipeline.outputs.journeys import journeys_output
from pipeline.tools.erase.people import forms, people, whole
from pipeline.tools.erase.search import gone_by_ms
from schemas.checkpoints import decode_shard
from schemas.erasures import mark_of
from schemas.facts import Fact, Observation, Statement
from tests.checkpointing import HOUR, SOURCE, Worker, added
from tests.support import FETCHED_MS, RULES, event_json

MINUTE = 60_000
ANNA = Erased([mark_of("c:anna")], 1)
GRACE_S = 600


def records_with(store: MemoryCheckpoints, text: bytes) -> list[str]:
    """The keys of the records of which anybody could still read it."""
    found = []
    for record in store.logs[SOURCE]:
        key, value = record or ("", None)
        if value is None:
            continue
        content = value if key.endswith("/manifest") else repr(decode_shard(value)).encode()
        if text in content:
            found.append(key)
    return found


def named_with(store: MemoryCheckpoints, text: bytes) -> list[str]:
    """The shards of the newest checkpoint that have it."""
    newest = next(iter(store.manifests(SOURCE)))
    return [name for name, content in store.read(SOURCE, newest.shards).items() if text in content]


def filled(store: MemoryCheckpoints) -> Worker:
    """Sessions of anna, of others, and of both, in several checkpoints."""
    worker = Worker(store)
    worker.process(added(0, 0, customer_id="anna"), *(added(number, number) for number in range(1, 40)))
    worker.checkpoint()
    worker.process(added(MINUTE, 0, visitor_id="phone"), added(MINUTE, 41, customer_id="anna"))
    worker.checkpoint()
    return worker


def erased_since(store: MemoryCheckpoints) -> Worker:
    """The same, and a checkpoint since anna was erased."""
    worker = filled(store)
    worker.erased = ANNA
    worker.process(2 * MINUTE)
    worker.checkpoint()
    return worker


def test_after_an_erasure_no_checkpoint_holds_an_id_and_soon_no_record_does() -> None:
    store = MemoryCheckpoints()
    worker = filled(store)
    assert named_with(store, b"anna")
    worker.erased = ANNA
    worker.process(added(2 * MINUTE, 42, customer_id="anna"))
    worker.checkpoint()
    assert not named_with(store, b"anna")
    newest = next(iter(store.manifests(SOURCE)))
    assert newest.erasures == 1
    assert records_with(store, b"anna"), "a worker that does not know that it has lost the partition may need them"
    for _ in range(2):
        worker.now += GRACE_S + 1
        worker.process(3 * MINUTE)
        worker.checkpoint()
    store.compact()
    assert not records_with(store, b"anna")
    assert Worker(store, erased=ANNA).content() == worker.content()


def test_a_worker_that_knows_more_than_a_checkpoint_erases_and_says_so_though_nothing_comes() -> None:
    store = MemoryCheckpoints()
    before = filled(store)
    worker = Worker(store, erased=ANNA)
    assert len(worker.lease.state.sessions) == len(before.lease.state.sessions)
    worker.lease.cut_at = worker.lease.kept.offset
    worker.checkpointer.step()
    worker.checkpointer.step()
    assert next(iter(store.manifests(SOURCE))).erasures == 1
    assert not named_with(store, b"anna")
    assert named_with(store, b"phone")
    length = len(store.logs[SOURCE])
    worker.checkpointer.step()
    assert len(store.logs[SOURCE]) == length, "once"


def test_a_checkpoint_with_an_erasure_is_restored_as_any_other_and_what_comes_is_hidden() -> None:
    store = MemoryCheckpoints()
    worker = erased_since(store)
    again = Worker(store, erased=ANNA)
    assert again.content() == worker.content()
    values = [added(3 * MINUTE, 43, customer_id="anna"), event_json(50 * MINUTE, session_id="later")]
    again.process(*values)
    again.checkpoint()
    assert not named_with(store, b"anna")


def test_whoever_has_an_id_that_looks_like_a_stand_in_is_nobody_and_harms_nobody() -> None:
    fact = Fact("purchase", "", "web", "s", "e", 0, 0, 5.0, None, ())
    for who in ("\0", "\0not hexadecimal", "\0" + 32 * "a"):
        visitors = Visitors(RULES.first_version, 1, HOUR)
        visitors.take("web:0", RULES.first_version + 1, 0, False, [Statement(who, True, fact)], [])
        assert visitors.settle() == []
        visitors.take("web:0", RULES.first_version + 2, 0, False, [], [Observation(who, "ben", 0)])
        visitors.erase(ANNA)
        assert {one.who for one in visitors.settle() if one.holds} == set()
        assert len(visitors) == 1


def test_a_visitor_and_a_customer_of_the_same_id_are_two() -> None:
    assert (ANNA.customer("anna"), ANNA.visitor("anna")) == ("\0" + mark_of("c:anna"), "anna")
    assert ANNA.visitor("") == ""
    assert ANNA.person("s:web:anna") == "s:web:anna"
    assert not ANNA.has("s:web:anna")
    assert ANNA.has("c:anna")
    assert not ANNA.has("v:anna")


def test_an_id_is_searched_as_it_may_be_written() -> None:
    (one,) = people(["Zoë/1"], [], b"")
    written = {"Zoë/1".encode(), b"Zo\\u00eb/1", b"Zo\\u00EB/1", b"Zo\\u00eb\\/1"}
    assert set(forms(one)) == written | {b"Zo%C3%AB/1", b"Zo%C3%AB%2F1", b"Zo%c3%ab%2f1"}
    (hidden,) = people(["anna"], [], b"a key")
    assert set(forms(hidden)) == {b"anna", hidden.name[2:].encode()}
    assert hidden.mark == mark_of(hidden.name)


def test_a_topic_says_when_what_it_holds_is_gone() -> None:
    day = 86_400_000
    kept = {"cleanup.policy": "delete", "retention.ms": str(7 * day), "segment.ms": str(day)}
    assert gone_by_ms(kept, 0) == 8 * day + 6 * MINUTE
    assert gone_by_ms(kept | {"retention.ms": "-1"}, 0) is None
    compacted = {"cleanup.policy": "compact", "max.compaction.lag.ms": str(day), "delete.retention.ms": str(day)}
    assert gone_by_ms(compacted, 0) == 2 * day + 30 * MINUTE
    assert gone_by_ms(compacted | {"max.compaction.lag.ms": str(2**63 - 1)}, 0) is None


@pytest.mark.parametrize("is_compiled", [True, False])
def test_a_stand_in_is_told_to_nobody(is_compiled: bool) -> None:
    partition = Partition("web", RULES, is_compiled=is_compiled, erased=ANNA)
    values = [
        added(0, 1, customer_id="anna", visitor_id="phone"),
        event_json(1, type="order_completed", event_id="o", session_id="s2", customer_id="anna"),
        event_json(90 * MINUTE, event_id="t", session_id="other"),
    ]
    out = partition.process([Record(offset, -1, value) for offset, value in enumerate(values)], FETCHED_MS)
    (message,) = journeys_output("web", out.journeys, out.version).messages
    body: Any = message.body
    assert (body.customer_id, body.visitor_id) == (None, "phone")
    assert not any(one.holds for one in (*out.facts, *out.visits))
    assert "anna" not in str((out.facts, out.visits))
    (which,) = {(one.visitor_id, one.customer_id) for one in out.observations}
    assert which == ("phone", ANNA.customer("anna")), "whoever comes after is another customer than anna"


@pytest.mark.parametrize("key", [b"", b"a key"], ids=["ids", "pseudonyms"])
def test_a_refused_event_of_somebody_erased_keeps_nothing(key: bytes) -> None:
    (who,) = people(["anna"], [], key)
    erased = Erased([who.mark], 1)
    partition = Partition("web", replace(RULES, customer_key=key), erased=erased)
    values = [
        event_json(0, event_id="a", customer_id="anna", channel="app"),
        event_json(0, event_id="b", customer_id="ben", channel="app"),
        b'{"customer_id": "anna", "event_id": 7}',
        b'["anna"]',
    ]
    out = partition.process([Record(offset, -1, value) for offset, value in enumerate(values)], FETCHED_MS)
    assert [bool(letter.payload) for letter in out.dead_letters] == [False, True, False, not key]
    assert [letter.error for letter in out.dead_letters][::2] == ["erased", "erased"]


def test_a_worker_that_knows_less_than_a_checkpoint_reads_on_and_waits_rather_than_take_ids_up_again() -> None:
    store = MemoryCheckpoints()
    erased_since(store)
    with pytest.raises(NoAnswerError, match="ends at 0"):
        Worker(store)


def test_an_id_within_another_word_or_number_is_no_reason_to_empty_a_letter() -> None:
    needle = whole(forms(people(["42"], [], b"")[0]))
    assert all(needle.search(text) for text in (b'{"customer_id": "42"}', b"id=42&x", b"42", b"[42]"))
    assert not any(needle.search(text) for text in (b"2026-01-01T11:42:07Z", b"42.5", b"a42", b"c-42", b"1422"))


@pytest.mark.parametrize("is_compiled", [True, False])
def test_an_open_journey_whose_events_were_folded_away_forgets_too(is_compiled: bool) -> None:
    partition = Partition("web", replace(RULES, most_later=3), is_compiled=is_compiled)
    named = {"session_id": "s", "customer_id": "anna", "visitor_id": "phone"}
    opened = event_json(0, type="product_added", event_id="0", step="x", value=5, **named)
    later = [event_json(n, event_id=str(n), session_id="s") for n in range(1, 12)]
    partition.process([Record(n, -1, value) for n, value in enumerate([opened, *later])], FETCHED_MS)
    assert "anna" in repr(dict(partition.sessions.everything()))
    assert not any(named.customer_id for named in partition.sessions.who("s")), "its event is kept no more"
    partition.erase(ANNA)
    assert "anna" not in repr(dict(partition.sessions.everything()))
    out = partition.process([Record(20, -1, event_json(90 * MINUTE, event_id="t", session_id="t"))], FETCHED_MS)
    (message,) = journeys_output("web", out.journeys, out.version).messages
    body: Any = message.body
    assert (body.customer_id, body.visitor_id, body.value) == (None, "phone", 5.0)
