"""Workers killed, added and stopped under load: processing goes on soon, and nothing differs."""

import random
import time

import pytest

from schemas.times import format_rfc3339
from tests.chaos.conftest import LONG, Say, Scene
from tests.systems import Worker


def seconds_to_processing(scene: Scene, worker: Worker) -> float:
    """From a worker's start to its first records."""
    scene.wait_for(lambda: worker.processed() > 0, 90)
    return time.monotonic() - worker.started


@pytest.mark.timeout(1800)
def test_a_worker_killed_at_random_moments(scene: Scene, say: Say) -> None:
    chance, kills, recovered = random.Random(7), 20 if LONG else 3, list[float]()
    load = scene.load(odd=True)
    for _ in range(kills):
        time.sleep(chance.uniform(1, 12 if LONG else 6))
        scene.kill_worker(scene.workers[0])
        recovered.append(seconds_to_processing(scene, scene.start_worker()))
    sent = load.stop()
    found = scene.check(of_persons=True)
    say(
        f"{sent} messages, {kills} kills, processing again after {max(recovered):.1f} s at worst, "
        f"{sum(recovered) / kills:.1f} s on average; {found}"
    )


@pytest.mark.timeout(1800)
def test_two_workers_one_killed_and_one_added(scene: Scene, say: Say) -> None:
    rounds, shared = 5 if LONG else 1, list[float]()
    load = scene.load()
    for number in range(rounds):
        # Each session engine goes on with what the other has stored.
        engine = "compiled" if number % 2 else "reference"
        added = scene.start_worker(CX_PIPELINE__ENGINE=engine)
        scene.wait_for(lambda: all(0 < worker.owned() < 16 for worker in scene.workers), 90)
        shared.append(time.monotonic() - added.started)
        scene.kill_worker(scene.workers[0])
        scene.wait_for(lambda: scene.workers[0].owned() == 16, 90)
    stopped = scene.start_worker()
    scene.wait_for(lambda: 0 < stopped.owned() < 16, 90)
    begun = time.monotonic()
    assert scene.stop_worker(stopped) == 0
    stopping = time.monotonic() - begun
    assert "stopping with work unfinished" not in scene.log.read_text()
    scene.wait_for(lambda: scene.workers[0].owned() == 16, 90)
    sent = load.stop()
    found = scene.check(of_persons=True)
    say(
        f"{sent} messages, {rounds} killed, {rounds + 1} added, 1 stopped; "
        f"shared {max(shared):.1f} s after the start of the one added, stopped in {stopping:.1f} s; {found}"
    )


@pytest.mark.timeout(900)
def test_a_worker_that_was_away_while_an_hour_of_events_came(scene: Scene, say: Say) -> None:
    minutes = 60 if LONG else 20
    scene.stop_worker(scene.workers[0])
    start = scene.timeline.next_ms
    scene.timeline.next_ms += minutes * 60_000
    scene.timeline.seed += 1
    options = ["--minutes", str(minutes), "--rate", "30", "--seed", str(scene.timeline.seed), "--fast"]
    sent = scene.cx("simulate", "--start", format_rfc3339(start), *options)
    assert sent.returncode == 0, sent.stderr
    before = scene.start_worker()
    scene.wait_for(lambda: before.processed() > 0, 60)
    first = time.monotonic() - before.started
    scene.wait_for(lambda: before.metric("cx_consumer_lag_records") == 0, 300)
    took = time.monotonic() - before.started
    found = scene.check()
    say(f"{before.processed():.0f} records; processing after {first:.1f} s, caught up after {took:.1f} s; {found}")
