"""The sizing page says what its formulas give."""

import re
from dataclasses import replace
from pathlib import Path

import pytest

from deploy.sizing import Load, size

PAGE = (Path(__file__).parents[2] / "deploy" / "SIZING.md").read_text()
ROW = re.compile(
    r"^\| ([\d,]+) events/s, ([\d,]+) segments "
    r"\| (\d+) \| (\d+) \| ([\d,]+) MiB \| ([\d,]+) GiB \| ([\d,]+) GiB \|$",
    re.M,
)


def test_the_pages_examples_are_what_the_formulas_give() -> None:
    rows = [[int(cell.replace(",", "")) for cell in row] for row in ROW.findall(PAGE)]
    assert len(rows) == 3
    for events, segments, *expected in rows:
        found = size(Load(events, segments))
        assert expected == [
            found.workers,
            found.partitions,
            found.worker_memory_mib,
            found.kafka_disk_gib,
            found.clickhouse_disk_gib,
        ]


def test_more_of_anything_needs_no_less() -> None:
    base = Load(2_000, 500)
    small = size(base)
    for more in (
        replace(base, events_per_s=30_000),
        replace(base, segments=5_000),
        replace(base, journeys_days=800, touchpoint_days=14),
    ):
        large = size(more)
        assert large != small
        assert large.kafka_disk_gib >= small.kafka_disk_gib
        assert large.clickhouse_disk_gib >= small.clickhouse_disk_gib
        assert large.workers >= small.workers
    assert size(replace(base, events_per_s=15_001)).workers == 3
    assert size(replace(base, replication=1)).kafka_disk_gib < small.kafka_disk_gib


def test_no_load_is_an_error() -> None:
    with pytest.raises(ValueError, match="above 0"):
        size(Load(0, 10))
