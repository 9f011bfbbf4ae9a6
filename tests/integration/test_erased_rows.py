"""Rows of who is erased, on the real engine: without ids, and nothing that is counted of them changes."""

import datetime
from typing import Any

import pytest

from pipeline.tools.erase.people import Person, people
from pipeline.tools.erase.rows import RewriteError, Rows
from pipeline.tools.erase.search import in_tables
from sinks.tables import COLUMNS

AT = datetime.datetime(2026, 3, 2, 11, tzinfo=datetime.UTC)
WHO = people(["an'na"], ["phone"], b"")
NEEDLES = [b"an'na", b"phone"]
TOTALS = {
    "journeys": "SELECT count(), sum(value) FROM cx.journeys FINAL",
    "recoveries": "SELECT count(), sum(value) FROM cx.recoveries FINAL WHERE status = 'recovered'",
    "moments": "SELECT countIf(status = 'fired') FROM cx.moments FINAL",
    "purchases": "SELECT countIf(status = 'counted'), sumIf(value, status = 'counted') FROM cx.purchases FINAL",
}


def put(client: Any, table: str, **row: Any) -> None:
    kinds = dict(
        client.execute(
            "SELECT name, type FROM system.columns WHERE database = 'cx' AND table = %(t)s", {"t": table}
        )
    )
    names = COLUMNS[table]
    empty = {"String": "", "LowCardinality(String)": "", "Float64": 0.0, "Bool": False}
    values = [
        row.get(name, [] if kinds[name].startswith("Array") else empty.get(kinds[name], AT)) for name in names
    ]
    client.execute(f"INSERT INTO cx.{table} ({', '.join(names)}) VALUES", [values])


def fill(client: Any) -> None:
    """A cart of a visitor that was found to be a customer: taken back from the one, with a higher version."""
    cart = {"channel": "web", "session_id": "s", "journey_id": "cart:e", "funnel": "cart", "value": 50.0}
    moment = {"rule": "r", "channel": "web", "session_id": "s"}
    bought = {"channel": "web", "session_id": "s", "event_id": "b", "value": 50.0}
    for person, version, holds in (("v:phone", 900, False), ("c:an'na", 120, True), ("c:ben", 7, True)):
        status = ["retracted", "recovered"][holds], ["withdrawn", "fired"][holds], ["void", "counted"][holds]
        put(client, "recoveries", person=person, status=status[0], version=version, **cart)
        put(
            client,
            "moments",
            person=person,
            moment_id=f"r:{person}:e",
            status=status[1],
            version=version,
            **moment,
        )
        put(client, "purchases", person=person, status=status[2], version=version, **bought)
    for session, customer, visitor in (("s", "an'na", "phone"), ("t", "", "phone"), ("u", "ben", "desk")):
        put(
            client,
            "journeys",
            customer_id=customer,
            visitor_id=visitor,
            version=1,
            **cart | {"session_id": session},
        )
    letters = [
        b'{"customer_id": "an\'na"}',
        b'{"customer_id": "ben", "note": "phone"}',
        b'{"customer_id": "phones"}',
    ]
    for offset, payload in enumerate(letters):
        more = {"offset": offset, "partition": 0, "size": 1, "sha256": "f", "error": "?", "reason": "invalid"}
        put(client, "dead_letters", topic="touchpoints.web", payload=payload, **more)


def totals(client: Any) -> dict[str, Any]:
    return {table: client.execute(query) for table, query in TOTALS.items()}


def test_rows_lose_ids_and_no_figure_changes(engine: Any) -> None:
    fill(engine)
    rows, before = Rows(engine), totals(engine)
    assert rows.visitors_of([one for one in WHO if one.name.startswith("c:")]) == ["phone"]
    assert dict(rows.count(WHO)) == {
        "journeys": 2,
        "recoveries": 2,
        "moments": 2,
        "purchases": 2,
        "dead_letters": 2,
    }
    assert len(list(in_tables(engine, NEEDLES))) > 5
    marks = {one.mark for one in WHO}
    for _ in range(2):  # it may have been interrupted
        rows.rewrite(WHO, marks)
        assert totals(engine) == before
        assert [place for place, *_ in in_tables(engine, [b"an'na"])] == []
        assert sum(count for _, count in rows.count(WHO)) == 0
    assert engine.execute("SELECT person, moment_id FROM cx.moments FINAL ORDER BY person") == [
        ("", "r::e"),
        ("c:ben", "r:c:ben:e"),
    ]
    who = engine.execute("SELECT session_id, customer_id, visitor_id FROM cx.journeys FINAL ORDER BY session_id")
    assert who == [("s", "", ""), ("t", "", ""), ("u", "ben", "desk")]
    letters = engine.execute("SELECT offset, error, payload FROM cx.dead_letters FINAL ORDER BY offset")
    assert letters == [(0, "erased", ""), (1, "erased", ""), (2, "?", '{"customer_id": "phones"}')]


def test_what_the_server_cannot_do_is_told(engine: Any) -> None:
    rows = Rows(Failing(engine))
    with pytest.raises(RewriteError, match="no room"):
        rows.rewrite([Person("c:x", "x")], {"0" * 32})


class Failing:
    """A server whose mutations do not end."""

    def __init__(self, client: Any) -> None:
        self._client = client

    def execute(self, query: str, *rest: Any, **more: Any) -> Any:
        if "system.mutations" in query:
            return [("no room",)]
        return [] if query.startswith(("ALTER", "INSERT")) else self._client.execute(query, *rest, **more)

    def execute_iter(self, *rest: Any, **more: Any) -> Any:
        return self._client.execute_iter(*rest, **more)
