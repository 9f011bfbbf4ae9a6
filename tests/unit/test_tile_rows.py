"""Tiles as messages and as rows."""

import msgspec

from pipeline.model.tiles import Tile
from pipeline.outputs.tiles import TileRouter, tile_columns
from sinks.tables import COLUMNS, TILES

SOME = [
    Tile(
        "all",
        10_000,
        {
            "events": 7,
            "cart_opened": 2,
            "cart_left_4s": 1,
            "step_viewed_payment": 3,
            "pickup_opened": 1,
            "pickup_left_0s": 1,
        },
    ),
    Tile("channel=web", 20_000, {"friction": 1, "cart_lived_0s": 900, "step_errors_payment": 2, "events": 0}),
]


def test_each_counter_is_in_its_column_those_without_one_by_age_by_step_or_by_funnel() -> None:
    columns = dict(zip(COLUMNS[TILES], tile_columns("touchpoints.web:1", SOME, 9), strict=True))
    rows = [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]
    assert [{name: value for name, value in row.items() if value not in (0, {})} for row in rows] == [
        {
            "segment": "all",
            "bucket": 10_000,
            "source": "touchpoints.web:1",
            "events": 7,
            "cart_opened": 2,
            "by_age": {"cart_left_4s": 1, "pickup_left_0s": 1},
            "by_funnel": {"pickup_opened": 1},
            "by_step": {"step_viewed_payment": 3},
            "version": 9,
        },
        {
            "segment": "channel=web",
            "bucket": 20_000,
            "source": "touchpoints.web:1",
            "friction": 1,
            "by_age": {"cart_lived_0s": 900},
            "by_step": {"step_errors_payment": 2},
            "version": 9,
        },
    ]


def test_a_segment_is_in_one_message_and_every_partition_gets_one() -> None:
    tiles = [Tile(f"store_id={n % 40}", n * 10_000, {"events": n}) for n in range(9_000)]
    parts = TileRouter(4).split(tiles)
    assert sorted(parts) == [0, 1, 2, 3]
    messages = [message for some in parts.values() for message in some]
    assert sorted(Tile(*msgspec.json.decode(one)) for message in messages for one in message) == sorted(tiles)
    homes = [{msgspec.json.decode(one)[0] for message in some for one in message} for some in parts.values()]
    assert sum(map(len, homes)) == 40


def test_messages_are_bounded_in_bytes_whatever_the_steps_are_called() -> None:
    steps = {f"step_errors_{n:04}{'x' * 60}": 1 for n in range(2_000)}
    tiles = [Tile("all", n * 10_000, steps) for n in range(20)]
    (parts,) = TileRouter(1).split(tiles).values()
    assert max(sum(map(len, map(bytes, part))) for part in parts) < 600_000
    assert [msgspec.json.decode(one)[1] for part in parts for one in part] == [n * 10_000 for n in range(20)]


def test_where_there_are_no_tiles_every_partition_gets_a_message() -> None:
    assert {partition: len(some) for partition, some in TileRouter(4).split([]).items()} == dict.fromkeys(
        range(4), 1
    )
