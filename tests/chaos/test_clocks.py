"""Events that come late, too late or from the future; topics that start anew."""

import json
import time
from collections import Counter

import pytest
from confluent_kafka.admin import AlterConfigOpType, ConfigEntry, ConfigResource  # type: ignore[attr-defined] # not in its stubs

from pipeline.kafka.clients import new_admin, new_producer
from pipeline.kafka.topics import create_missing
from pipeline.settings import KafkaSettings
from schemas.times import format_rfc3339
from tests.chaos.conftest import Say, Scene

MINUTE = 60_000


def event(scene_ms: int, number: str, **more: str) -> tuple[str, bytes]:
    fields = {
        "event_id": f"clock-{number}",
        "type": "product_added",
        "occurred_at": format_rfc3339(scene_ms),
        "channel": "web",
        "session_id": f"clock-{number}",
    }
    return f"clock-{number}", json.dumps(fields | more).encode()


def refused(scene: Scene) -> Counter[str]:
    rows = scene.sql("SELECT reason, count() FROM cx.dead_letters FINAL GROUP BY reason")
    return Counter(dict(rows))


@pytest.mark.timeout(900)
def test_late_events_count_up_to_the_lateness_and_none_after_it(scene: Scene, say: Say) -> None:
    load = scene.load()
    time.sleep(5)
    sent = load.stop()
    before, now = refused(scene), scene.timeline.next_ms
    late = [event(now - 50 * MINUTE, f"late-{scene.timeline.seed}-{n}") for n in range(40)]
    too_late = [event(now - 90 * MINUTE, f"too-late-{scene.timeline.seed}-{n}") for n in range(40)]
    # Every partition has to have seen the present before: the limit is each one's own.
    present = [event(now, f"now-{scene.timeline.seed}-{n}") for n in range(200)]
    scene.send("touchpoints.web", present + late + too_late)
    scene.wait_for(lambda: (refused(scene) - before)["too_late"] >= 40)
    found = scene.check()
    say(f"{sent} messages; 40 late ones counted, 40 refused as too late; {found}")
    assert (refused(scene) - before)["too_late"] == 40
    counted = scene.sql(
        "SELECT count(DISTINCT session_id) FROM cx.journeys FINAL "
        "WHERE startsWith(session_id, %(id)s) AND outcome = 'abandoned'",
        {"id": f"clock-late-{scene.timeline.seed}-"},
    )
    assert counted == [(40,)]


@pytest.mark.timeout(900)
def test_one_partition_hours_ahead_of_another_and_a_kill_in_between(scene: Scene, say: Say) -> None:
    """The one behind is not too late in its own partition, and the windows wait for it."""
    start, hours, name = scene.timeline.next_ms, 3, f"far-{scene.timeline.next_ms}"
    scene.timeline.next_ms += hours * 60 * MINUTE
    steps = range(0, hours * 60 * MINUTE, MINUTE)
    ahead = [event(start + step, f"{name}-ahead-{step // (10 * MINUTE)}", event_id=f"{step}") for step in steps]
    behind = [
        event(start + step, f"{name}-behind-{step // (10 * MINUTE)}", event_id=f"{step}", channel="app")
        for step in steps
    ]
    scene.send("touchpoints.app", behind[:1], partition=0)
    scene.send("touchpoints.web", ahead, partition=0)
    scene.wait_for(lambda: max_watermark(scene) >= start + (hours * 60 - 1) * MINUTE - 5_000)
    scene.kill_worker(scene.workers[0])
    scene.start_worker()
    before = refused(scene)
    scene.send("touchpoints.app", behind[1:], partition=0)
    found = scene.check()
    say(f"{len(ahead) + len(behind)} events, {hours} h apart; {found}")
    assert refused(scene) == before


def max_watermark(scene: Scene) -> int:
    name = "cx_watermark_timestamp_seconds"
    return round(scene.workers[0].metric(name, source="touchpoints.web:0") * 1000)


@pytest.mark.timeout(900)
def test_a_clock_one_year_ahead_harms_nobody_else(scene: Scene, say: Say) -> None:
    """A topic can be set to take such records, which Kafka refuses to the producer otherwise."""
    allowed = ConfigEntry(
        "message.timestamp.after.max.ms", str(2**63 - 1), incremental_operation=AlterConfigOpType.SET
    )
    resource = ConfigResource(ConfigResource.Type.TOPIC, "touchpoints.web", incremental_configs=[allowed])
    admin = new_admin(scene.kafka)  # it must live until the answer is there
    admin.incremental_alter_configs([resource])[resource].result(30)
    load = scene.load()
    ahead_ms = int(time.time() * 1000) + 365 * 24 * 60 * MINUTE
    before = refused(scene)
    for n in range(20):
        # Its records' own times are as wrong as its events'; or only the events' are.
        more = {"timestamp": ahead_ms} if n % 2 else {}
        scene.send("touchpoints.web", [event(ahead_ms, f"ahead-{scene.timeline.seed}-{n}")], **more)
    scene.wait_for(lambda: (refused(scene) - before)["in_future"] >= 20)
    scene.kill_worker(scene.workers[0])  # what was refused by the wall clock stays refused
    worker = scene.start_worker()
    scene.wait_for(lambda: worker.processed() > 0, 60)
    sent = load.stop()
    found = scene.check()
    assert (refused(scene) - before)["in_future"] == 20
    say(f"{sent} messages and 20 from next year, refused, before and after a kill; {found}")


@pytest.mark.timeout(900)
def test_a_topic_that_was_emptied_and_started_anew(scene: Scene, say: Say) -> None:
    """Under the old generation the worker stops and says so; under the next one it begins with the log.

    The new log tells the same story as the old one and goes on with it: every row has to be replaced.
    """
    begin = scene.timeline.next_ms = scene.timeline.next_ms + 3 * 60 * MINUTE
    load = scene.load()
    time.sleep(4)
    load.stop()
    scene.check()
    scene.stop_worker(scene.workers[0])
    settings = KafkaSettings(bootstrap_servers=scene.addresses["kafka"])
    empty(settings)
    scene.timeline.next_ms, scene.timeline.seed = begin, scene.timeline.seed - 1
    second = scene.load()
    time.sleep(8)
    sent = second.stop()
    stopped = scene.start_worker()
    scene.wait_for(lambda: stopped.child.process.poll() is not None, 60)
    assert stopped.child.process.returncode == 1
    assert "Raise CX_PIPELINE__GENERATION" in scene.log.read_text()
    scene.workers.remove(stopped)
    generation = int(scene.more.get("CX_PIPELINE__GENERATION", "1")) + 1
    scene.more["CX_PIPELINE__GENERATION"] = str(generation)
    worker = scene.start_worker()
    scene.wait_for(lambda: worker.processed() > 0, 60)
    found = scene.check()
    say(f"{sent} messages in the new log, generation {generation}; {found}")


def empty(settings: KafkaSettings) -> None:
    """Delete the topics of touchpoints and tiles, and create them again."""
    from pipeline.kafka.topics import STATEFUL

    admin = new_admin(settings)
    for future in admin.delete_topics(list(STATEFUL)).values():
        future.result(30)
    deadline = time.monotonic() + 30
    while not set(STATEFUL).isdisjoint(admin.list_topics(timeout=10).topics):
        assert time.monotonic() < deadline
        time.sleep(0.2)
    assert set(create_missing(new_admin(settings), settings)) == set(STATEFUL)
    assert new_producer(settings).flush(5) == 0
