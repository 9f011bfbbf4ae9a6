"""ClickHouse or Kafka away, hanging or refusing: the pipeline waits, loses nothing, repeats nothing."""

import os
import signal
import time

import pytest

from tests.chaos.conftest import LONG, Say, Scene

AWAY_S = 30 if LONG else 6
BROKER_AWAY_S = 20 if LONG else 6


def committed(scene: Scene) -> float:
    """What is checkpointed: time of the oldest newest manifest would do, the newest row does."""
    rows = scene.sql("SELECT toUnixTimestamp(max(stored_at)) FROM cx.signals")
    return float(rows[0][0])


@pytest.mark.timeout(900)
def test_clickhouse_killed_and_started_again(scene: Scene, say: Say) -> None:
    load = scene.load()
    time.sleep(3)
    assert scene.clickhouse_child is not None
    scene.clickhouse_child.kill()
    time.sleep(AWAY_S)
    worker = scene.workers[0]
    waiting, memory = worker.metric("cx_sink_waiting_rows"), worker.megabytes()
    scene.start_clickhouse()
    took = scene.wait_for(lambda: worker.metric("cx_sink_waiting_rows") < waiting / 10, 120)
    sent = load.stop()
    found = scene.check()
    say(
        f"{sent} messages, away for {AWAY_S} s with {waiting:.0f} rows waiting, worker at {memory:.0f} MiB; "
        f"stored {took:.1f} s after it was back; {found}"
    )
    assert waiting > 0
    assert scene.workers == [worker]  # it was never restarted


@pytest.mark.timeout(900)
def test_clickhouse_hanging(scene: Scene, say: Say) -> None:
    """It accepts connections and never answers."""
    load = scene.load()
    time.sleep(3)
    assert scene.clickhouse_child is not None
    worker, errors = scene.workers[0], scene.workers[0].metric("cx_sink_errors_total")
    os.kill(scene.clickhouse_child.pid, signal.SIGSTOP)
    try:
        time.sleep(max(AWAY_S, 12))
        scene.wait_for(lambda: worker.metric("cx_sink_errors_total") > errors)
        given_up = worker.metric("cx_sink_errors_total") - errors
    finally:
        os.kill(scene.clickhouse_child.pid, signal.SIGCONT)
    took = scene.wait_for(lambda: worker.metric("cx_sink_waiting_rows") < 20_000, 120)
    sent = load.stop()
    found = scene.check()
    say(f"{sent} messages, {given_up:.0f} inserts given up, stored {took:.1f} s after it went on; {found}")
    assert scene.sql("SELECT count() FROM cx.dead_letters WHERE reason = 'row_rejected'") == [(0,)]


@pytest.mark.timeout(900)
def test_clickhouse_refusing_one_table(scene: Scene, say: Say) -> None:
    load = scene.load()
    time.sleep(2)
    worker = scene.workers[0]
    scene.sql("RENAME TABLE cx.journeys TO cx.journeys_away")
    time.sleep(3)
    manifests = worker.metric("cx_checkpoint_seconds_count")
    others = worker.metric("cx_sink_rows_total", table="signals")
    time.sleep(AWAY_S)
    scene.wait_for(lambda: worker.metric("cx_sink_rows_total", table="signals") > others)
    went_on = worker.metric("cx_sink_rows_total", table="signals") - others
    acknowledged = worker.metric("cx_checkpoint_seconds_count") - manifests
    scene.sql("RENAME TABLE cx.journeys_away TO cx.journeys")
    scene.wait_for(lambda: worker.metric("cx_checkpoint_seconds_count") > manifests + acknowledged)
    sent = load.stop()
    found = scene.check()
    say(
        f"{sent} messages; away for {AWAY_S} s, {went_on:.0f} rows of signals stored meanwhile, "
        f"{acknowledged:.0f} checkpoints finished meanwhile (phase two of what was before); {found}"
    )


@pytest.mark.timeout(900)
def test_clickhouse_away_holds_the_consumer_back_within_a_bound(scene: Scene, say: Say) -> None:
    """With a small buffer: the lag grows, the memory does not."""
    scene.stop_worker(scene.workers[0])
    worker = scene.start_worker(CX_SINK__MAX_BUFFERED_MB="8")
    scene.wait_for(lambda: worker.owned() == 16)
    assert scene.clickhouse_child is not None
    load = scene.load(1_500)
    time.sleep(3)
    scene.clickhouse_child.kill()
    scene.wait_for(lambda: worker.metric("cx_consumer_lag_records") > 5_000, 120)
    first = worker.megabytes()
    time.sleep(AWAY_S)
    lag, memory = worker.metric("cx_consumer_lag_records"), worker.megabytes()
    scene.start_clickhouse()
    sent = load.stop()
    found = scene.check()
    say(
        f"{sent} messages, lag of {lag:.0f} records, memory {first:.0f} MiB when held back, "
        f"{memory:.0f} MiB {AWAY_S} s later; {found}"
    )
    assert memory < first + 64


@pytest.mark.timeout(900)
def test_kafka_stopped_and_started_again(scene: Scene, say: Say) -> None:
    load = scene.load(odd=True)
    time.sleep(3)
    worker = scene.workers[0]
    scene.broker.stop()
    time.sleep(BROKER_AWAY_S)
    before = worker.processed()
    scene.broker.start()
    back = time.monotonic()
    scene.wait_for(lambda: worker.processed() > before, 90)
    took = time.monotonic() - back
    time.sleep(3)
    sent = load.stop()
    found = scene.check()
    say(f"{sent} messages, away for {BROKER_AWAY_S} s, processing {took:.1f} s after it was back; {found}")
    assert scene.workers == [worker]
