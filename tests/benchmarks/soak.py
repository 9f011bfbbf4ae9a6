"""A shop at ten times its rate for an hour: memory of every process, and disk, minute by minute.

    python -m tests.benchmarks.soak --minutes 60

Kafka's log is bounded by its topics' retention, ClickHouse's by what is kept of each table; both are shown, and
what ``verify`` says at the end.
"""

import argparse
import tempfile
import time
from pathlib import Path
from typing import Final

from deploy.embedded.kafka import bytes_under
from deploy.embedded.stack import resident_bytes
from tests.systems import Running

_EVERY_S: Final = 60.0


def children(pid: int) -> dict[str, int]:
    """Of the stack: by name, its process."""
    found = {"up": pid}
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            words = (entry / "cmdline").read_bytes().decode(errors="replace").split("\0")
        except (OSError, IndexError, ValueError):
            continue
        if parent == pid:
            found[name_of(words)] = int(entry.name)
    return found


def name_of(words: list[str]) -> str:
    if words[0].endswith("java"):
        return "Kafka"
    return next((word for word in words if word in ("worker", "simulate")), "ClickHouse")


def line(system: Running, folder: Path, minute: int) -> str:
    memory = {name: (resident_bytes(pid) or 0) >> 20 for name, pid in sorted(children(system.process.pid).items())}
    disk = {name: bytes_under(folder / name) >> 20 for name in ("kafka", "clickhouse")}
    rows = system.sql("SELECT sum(rows) FROM system.parts WHERE active AND database = 'cx'")[0][0]
    texts = [f"{name} {size} MiB" for name, size in memory.items()]
    texts += [f"{name}'s disk {size} MiB" for name, size in disk.items()]
    return f"{minute:4} min  {', '.join(texts)}, {rows:,} rows"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rate", type=float, default=150.0)
    parser.add_argument("--minutes", type=int, default=60)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="cx-soak-") as name:
        folder = Path(name)
        data = folder / "data"
        system = Running.start(folder, "--simulate", str(options.rate), "--data-dir", str(data))
        try:
            started = time.monotonic()
            for minute in range(options.minutes + 1):
                time.sleep(max(0.0, started + minute * _EVERY_S - time.monotonic()))
                print(line(system, data, minute), flush=True)
            done = system.cx("verify", "--timeout", "300", timeout=1_800)
            print(done.stdout[-1_500:], f"verify ends with {done.returncode}", flush=True)
        finally:
            system.stop()


if __name__ == "__main__":
    main()
