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

def folded(n):
    kind = "page_viewed" if n else "product_added"
    who = {"customer_id": "c", "visitor_id": "v"}
    return event_json(n * 1_200_000, event_id=f"f{n}", session_id="folded", type=kind, step="a", **who)

is_compiled = sys.argv[3] == "True"
partition = Partition("web", RULES, is_compiled=is_compiled)
partition.process(log_of([folded(n) for n in range(12)]), FETCHED_MS)
last = 12 * 1_200_000
partition.process(log_of([event(last // 1_000 + n) for n in range(60)], start=12), FETCHED_MS)
cut = partition.snapshot()
(name,) = (name for name in cut.changed if name.startswith("sessions-"))
packed, chance, refused = cut.changed[name], random.Random(int(sys.argv[1])), 0
for _ in range(int(sys.argv[2])):
    broken = bytearray(packed)
    for _ in range(chance.randrange(1, 4)):
        broken[chance.randrange(len(broken))] = chance.randrange(256)
    if chance.random() < 0.3:
        del broken[chance.randrange(len(broken)):]
    again = Partition("web", RULES, is_compiled=is_compiled)
    try:
        again.restore(cut.head, cut.changed | {name: bytes(broken)})
        # A text that is no UTF-8 is met when its journey ends.
        again.process(log_of([event(last // 1_000 + n) for n in range(60, 90)], start=72), FETCHED_MS)
    except ValueError:
        refused += 1
print(refused)
"""


@pytest.mark.parametrize("is_compiled", [True, False])
@pytest.mark.parametrize("seed", range(2))
def test_flipped_and_missing_bytes_are_refused_or_harmless(seed: int, is_compiled: bool) -> None:
    """In a process of its own, whose memory tells of what is read or written past its end."""
    done = subprocess.run(
        [sys.executable, "-c", FLIPPED, str(seed), "400", str(is_compiled)],
        env={"PYTHONMALLOC": "debug", "PATH": ""},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr[-2_000:]
    assert int(done.stdout) > 40
