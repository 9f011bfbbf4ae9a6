"""Memory over time. The last of the scenarios: what it sends makes every later ``verify`` long."""

import time

import pytest

from tests.chaos.conftest import LONG, Say, Scene


@pytest.mark.skipif(not LONG, reason="a quarter of an hour long: make chaos")
@pytest.mark.timeout(2400)
def test_memory_stays_flat_at_a_steady_load(scene: Scene, say: Say) -> None:
    """After what the lateness keeps has been reached, memory does not grow.

    The embedded broker keeps everything in memory and hands out one producer's batch at a fetch: a million
    events in small batches could not be read again for ``verify``.
    """
    seconds = 600
    worker = scene.workers[0]
    load = scene.load(1_000)
    # Phase two keeps the lateness, the longest window and a minute of the wall clock: 2.5 h of event time,
    # 5 min here. Only then as many sessions and tiles come as go.
    time.sleep(420)
    samples = []
    for _ in range(seconds // 10):
        time.sleep(10)
        samples.append(worker.megabytes())
    sent = load.stop()
    tenth = len(samples) // 10
    first, last = sum(samples[:tenth]) / tenth, sum(samples[-tenth:]) / tenth
    say(f"{sent} messages; {first:.0f} MiB at first, {last:.0f} MiB {seconds} s later")
    assert last < 1.1 * first
    say(scene.check())
