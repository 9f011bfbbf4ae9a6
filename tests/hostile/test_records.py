"""Records that no pipeline should meet, on Apache Kafka: counted, said, passed over; what is sound goes on."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest
from confluent_kafka import Producer
from confluent_kafka.cimpl import NewPartitions

from pipeline.kafka.clients import new_admin
from schemas.events import TOUCHPOINT_TOPICS
from schemas.evidence import EVIDENCE_TOPIC
from schemas.tiles import TILES_TOPIC
from schemas.values import VALUES_TOPIC
from tests.hostile.oddities import GARBAGE, HEADERS, TICKS_AHEAD, WEB, event
from tests.systems import Lab


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    system = Lab.start(tmp_path_factory.mktemp("records"))
    try:
        yield system
    finally:
        system.stop()


def send_sound(lab: Lab, name: str, count: int = 100) -> int:
    """Carts that are bought; gives the number of events."""
    sessions = [f"{name}-{number}" for number in range(count)]
    lab.send(WEB, [(s, event(s)) for s in sessions])
    lab.send(WEB, [(s, event(s, 1, "order_completed")) for s in sessions])
    return 2 * count


def accepted(lab: Lab) -> float:
    return sum(w.metric("cx_events_total", topic=WEB, outcome="accepted") for w in lab.workers)


def verified(lab: Lab) -> str:
    done = lab.cx("verify")
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.splitlines()[-1] == "no difference"
    return done.stdout


def transaction(lab: Lab, name: str) -> Producer:
    """One with three events in it, and not ended."""
    producer = Producer(
        {"bootstrap.servers": lab.addresses["kafka"], "transactional.id": name, "partitioner": "murmur2_random"}
    )
    producer.init_transactions(30)
    producer.begin_transaction()
    for number in range(3):
        producer.produce(WEB, key=name, value=event(name, number))
    producer.flush(30)
    return producer


def test_transactions_committed_aborted_and_left_open_stall_nothing(lab: Lab) -> None:
    expected = 0.0
    for number in range(6):  # their markers end partitions
        transaction(lab, f"committed-{number}").commit_transaction(30)
        expected += 3
    transaction(lab, "aborted").abort_transaction(30)
    lab.wait_for(lambda: accepted(lab) == expected)
    expected += send_sound(lab, "after-markers")
    lab.wait_for(lambda: accepted(lab) == expected)
    left_open = transaction(lab, "left-open")
    time.sleep(3)
    assert accepted(lab) == expected
    lab.wait_for(lambda: lab.workers[0].metric("cx_consumer_lag_records") == 0, 30)  # but for ticks just told
    lab.send(
        WEB, [("left-open", event("behind", number)) for number in range(5)]
    )  # of its key, so of its partition
    assert " records wait behind open transactions in 1 partitions: nobody reads them" in verified(lab)
    left_open.abort_transaction(30)
    expected += 5
    expected += send_sound(lab, "after-all")
    lab.wait_for(lambda: accepted(lab) == expected)
    lags = [lab.workers[0].metric("cx_consumer_lag_records", source=f"{WEB}:{part}") for part in range(4)]
    assert lags == [0.0] * 4
    verified(lab)


def test_odd_headers_times_and_what_others_write_on_our_topics_end_nothing(lab: Lab) -> None:
    expected, worker = accepted(lab), lab.workers[0]
    # A process of its own: only aiokafka's plain Python sends header names that are not UTF-8.
    command = [sys.executable, "-m", "tests.hostile.oddities", lab.addresses["kafka"]]
    subprocess.run(command, check=True, timeout=120, env=os.environ | {"AIOKAFKA_NO_EXTENSIONS": "1"})
    expected += len(HEADERS) + send_sound(lab, "after-oddities")
    lab.wait_for(lambda: accepted(lab) == expected)
    lab.wait_for(lambda: worker.metric("cx_ticks_ahead_total", topic=WEB) == 4 * TICKS_AHEAD)
    lab.wait_for(lambda: worker.metric("cx_unreadable_records_total", topic=TILES_TOPIC) >= len(GARBAGE) - 1)
    shown = verified(lab)
    assert f"no proof: {4 * TICKS_AHEAD} ticks are over five minutes ahead of their records" in shown
    worker.child.kill()  # what it restores from has garbage in it, too
    lab.workers.remove(worker)
    again = lab.start_worker()
    lab.wait_for(lambda: again.owned() > 0)
    send_sound(lab, "after-restart")
    lab.wait_for(lambda: accepted(lab) >= 200)
    verified(lab)


def test_partitions_added_are_said_and_read(lab: Lab) -> None:
    before = accepted(lab)
    admin = new_admin(lab.kafka)
    grown = admin.create_partitions([NewPartitions(topic, 6) for topic in TOUCHPOINT_TOPICS])
    for future in grown.values():
        future.result(30)
    lab.wait_for(lambda: f"{WEB} has 6 partitions now, 4 before" in lab.log.read_text())
    count = send_sound(lab, "wider", 300)
    # What was read before the partitions were given out anew is counted again where no checkpoint holds it.
    lab.wait_for(lambda: accepted(lab) >= before + count)
    assert "are in another partition than their session_id's" in verified(lab)
    bought = (
        "SELECT uniqExact(session_id) FROM cx.journeys FINAL "
        "WHERE startsWith(session_id, 'wider-') AND funnel = 'cart' AND outcome = 'completed'"
    )
    assert lab.sql(bought) == [(300,)]


def test_a_topic_made_anew_is_noticed_and_the_runbooks_way_out_works(lab: Lab) -> None:
    (worker,) = lab.workers
    assert lab.stop_worker(worker) == 0
    admin = new_admin(lab.kafka)
    for future in admin.delete_topics([TILES_TOPIC, EVIDENCE_TOPIC, VALUES_TOPIC]).values():
        future.result(30)
    lab.wait_for(lambda: lab.cx("topics").returncode == 0)
    ended = lab.start_worker()
    assert ended.child.process.wait(60) != 0
    lab.workers.remove(ended)
    assert f"the topic {TILES_TOPIC} was deleted and made anew" in lab.log.read_text()
    lab.more["CX_PIPELINE__GENERATION"] = "2"
    again = lab.start_worker()
    lab.wait_for(lambda: again.owned() > 0)
    verified(lab)


def ends_and_says(lab: Lab, why: str) -> None:
    (worker,) = lab.workers
    assert worker.child.process.wait(90) != 0
    lab.workers.remove(worker)
    # It may be seen while partitions are restored, too: then their names come first.
    said = [line for line in lab.log.read_text().splitlines() if "stopping: " in line]
    assert any(why in line for line in said), said


def test_a_worker_says_so_when_a_topic_is_changed_under_it(lab: Lab) -> None:
    admin = new_admin(lab.kafka)
    time.sleep(6)  # it has asked once how the topics are
    admin.create_partitions([NewPartitions(TILES_TOPIC, 8)])[TILES_TOPIC].result(30)
    ends_and_says(lab, f"the topic {TILES_TOPIC} was given partitions, 8 instead of 4")
    lab.more["CX_PIPELINE__GENERATION"] = "3"
    again = lab.start_worker()
    lab.wait_for(lambda: again.owned() > 0)
    time.sleep(6)
    admin.delete_topics(["touchpoints.pos"])["touchpoints.pos"].result(30)
    ends_and_says(lab, "the topic touchpoints.pos was deleted: make it anew")
