"""Fails when an event has become dearer: the instructions of the whole job over those of decoding alone.

Instructions are counted by Valgrind's callgrind. Seconds would not do: on a shared machine the ratio of one and
the same program went from 4.8 to 10 in an hour. What is counted is the work of both stages in memory
(tests/benchmarks/counted.py), as the difference between two sizes, so that imports do not matter.

``--record`` writes down the ratio that later runs are held against; only for a change whose cost is wanted.
"""

import argparse
import json
import os
import pickle
import re
import shutil
import subprocess
import sys
import tempfile
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

from deploy.compile import compiled
from schemas.events import TOPIC_PREFIX
from tests.benchmarks.backlog import simulated

_RECORDED: Final = Path(__file__).with_name("recorded.json")
_ROOT: Final = Path(__file__).parents[2]
_SIZES: Final = (4_000, 24_000)
_PARTITIONS: Final = 4
_UNTIL_MS: Final = 1_788_868_800_000  # a Tuesday afternoon
_TOLERATED: Final = 1.25


def instructions(job: str, events: Path, count: int) -> int:
    """Of a process that does the job on so many events."""
    command = ["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null", sys.executable, "-m"]
    command += ["tests.benchmarks.counted", job, str(events), str(count)]
    environ = os.environ | {"PYTHONHASHSEED": "0", "OPENBLAS_NUM_THREADS": "1"}
    done = subprocess.run(
        command, cwd=_ROOT, env=environ, capture_output=True, text=True, timeout=900, check=False
    )
    found = re.search(r"Collected : (\d+)", done.stderr)
    if done.returncode or found is None:
        raise RuntimeError(f"{job} ended with {done.returncode}: {done.stdout[-500:]}{done.stderr[-1500:]}")
    return int(found[1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--record", action="store_true")
    options = parser.parse_args()
    if shutil.which("valgrind") is None:
        sys.exit("error: valgrind is not there; Debian's package of that name has it")
    if not compiled(_ROOT):
        sys.exit("error: the hot path is not compiled; 'make .venv/.installed' says why")
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(2) as pool:
        events = Path(folder) / "events"
        events.write_bytes(pickle.dumps(_events()))
        runs = {
            (job, size): pool.submit(instructions, job, events, size)
            for job in ("whole", "floor", "nothing")
            for size in _SIZES
        }
        counted = {
            job: (runs[job, _SIZES[1]].result() - runs[job, _SIZES[0]].result()) / (_SIZES[1] - _SIZES[0])
            for job in ("whole", "floor", "nothing")
        }
        each = {job: counted[job] - counted["nothing"] for job in ("whole", "floor")}
    ratio = each["whole"] / each["floor"]
    print(f"instructions an event: {each['whole']:,.0f} in all, {each['floor']:,.0f} to decode it: {ratio:.2f}")
    if options.record:
        _RECORDED.write_text(json.dumps({"instructions_over_decoding": round(ratio, 2)}) + "\n")
        return
    recorded = json.loads(_RECORDED.read_text())["instructions_over_decoding"]
    if ratio > recorded * _TOLERATED:
        sys.exit(
            f"error: an event takes {ratio:.2f} times the instructions of decoding it, {recorded} is recorded: "
            f"over {_TOLERATED:g} times as many. Find out what has become dearer (make bench)"
        )


def _events() -> list[tuple[str, int, int, bytes]]:
    """Topic, partition, time and payload."""
    return [
        (TOPIC_PREFIX + one.channel, zlib.crc32(one.session_id.encode()) % _PARTITIONS, one.at_ms, one.payload)
        for one in simulated(_SIZES[1], until_ms=_UNTIL_MS)
    ]


if __name__ == "__main__":
    main()
