"""What is stored of sessions with bytes that are not as they were written: refused, or read; nothing ends."""

import subprocess
import sys

import pytest

FLIPPED = """
import random, sys
from pipeline.core.sessions.partition import Partition
from tests.support import FETCHED_MS, RULES, event_json, log_of

def event(n):
    kind = ("product_added", "checkout_started", "page_viewed")[n % 3]
    return event_json(n * 1_000, event_id=str(n), session_id=f"s{n % 3}", type=kind, value=2.0, step="pay")

partition = Partition("web", RULES)
partition.process(log_of([event(n) for n in range(60)]), FETCHED_MS)
cut = partition.snapshot()
(name,) = (name for name in cut.changed if name.startswith("sessions-"))
packed, chance, refused = cut.changed[name]["packed"], random.Random(int(sys.argv[1])), 0
for _ in range(int(sys.argv[2])):
    broken = bytearray(packed)
    for _ in range(chance.randrange(1, 4)):
        broken[chance.randrange(len(broken))] = chance.randrange(256)
    if chance.random() < 0.3:
        del broken[chance.randrange(len(broken)):]
    again = Partition("web", RULES)
    try:
        shards = cut.changed | {name: cut.changed[name] | {"packed": bytes(broken)}}
        again.restore(cut.head, shards)
    except (ValueError, KeyError, IndexError):
        refused += 1
        continue
    again.process(log_of([event(n) for n in range(60, 90)], start=60), FETCHED_MS)
print(refused)
"""


@pytest.mark.parametrize("seed", range(2))
def test_flipped_and_missing_bytes_are_refused_or_harmless(seed: int) -> None:
    """In a process of its own, whose memory tells of what is read or written past its end."""
    done = subprocess.run(
        [sys.executable, "-c", FLIPPED, str(seed), "400"],
        env={"PYTHONMALLOC": "debug", "PATH": ""},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr[-2_000:]
    assert int(done.stdout) > 40
