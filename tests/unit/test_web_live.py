"""The present is told whole to who is new, and to the others as it changes; trouble is told, too."""

import asyncio
import json
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from pipeline.settings import Settings
from pipeline.web.asked import StreamParameters
from pipeline.web.catalogue import catalogue
from pipeline.web.clients import Client, Clients
from pipeline.web.listings import Listings
from pipeline.web.live import Live
from pipeline.web.reads import ReadError, Rows, Values
from pipeline.web.usual import best_usual

NOW = 1_772_449_200_000
NAMES = catalogue(Settings())


class Scripted:
    """A store that answers by what is asked, and can be told to fail."""

    def __init__(self) -> None:
        self.as_of = NOW
        self.rows_of: dict[str, list[tuple[Any, ...]]] = {"all": [row("csat", "all", NOW, 9, 10, 1)]}
        self.alerts: Rows = []
        self.failing: Exception | None = None
        self.failing_in = ""
        """What the queries have in them that fail."""
        self.asked: list[str] = []

    async def rows(self, sql: str, values: Values) -> Rows:
        self.asked.append(sql)
        if self.failing is not None and self.failing_in in sql:
            raise self.failing
        if "max(bucket)" in sql:
            return [(self.as_of, self.as_of)]
        if "cx.alerts" in sql:
            return self.alerts if "1 AND status != 'resolved'" in sql else []
        if "cx.signals_now" in sql:
            return [one for name in values["wanted"] for one in self.rows_of.get(name, [])]
        return []

    def close(self) -> None:
        return None


def row(signal: str, segment: str, end: int, numerator: float, n: float, version: int) -> tuple[Any, ...]:
    return (signal, segment, "5m", end, numerator, n, numerator / n if n else 0.0, 0.0, 1.0, False, version)


def run(work: Callable[[Scripted, Live], Coroutine[Any, Any, None]]) -> None:
    async def all_of_it() -> None:
        store = Scripted()
        live = Live(store, Listings(store, NAMES), has_stores=True, clients=Clients(5), vitals=lambda: {"now": 1})
        running = asyncio.create_task(live.run())
        await work(store, live)
        live.close()
        await running

    asyncio.run(asyncio.wait_for(all_of_it(), 30))


async def heard(client: Client, event: str) -> Any:
    """The next frame of a kind."""
    while True:
        frame = await client.next()
        assert frame is not None
        if frame.event == event:
            return json.loads(frame.data)


def test_who_is_new_gets_everything_and_then_what_changes() -> None:
    async def work(store: Scripted, live: Live) -> None:
        client = live.join(StreamParameters())
        frame = await client.next()
        assert frame is not None
        assert frame.event == "vitals"  # not only after the second that they come every
        first = await heard(client, "signals")
        assert first["whole"]
        assert first["as_of"] == NOW
        assert first["rows"] == [["csat", "all", NOW, 9, 10, 0.9, 0.0, 1.0, False]]
        store.rows_of["all"] = [row("csat", "all", NOW, 9, 10, 2), row("nps", "all", NOW, 100, 4, 2)]
        live.nudge()
        while not (told := await heard(client, "signals"))["rows"]:
            continue
        assert [one[0] for one in told["rows"]] == ["nps"]
        assert not told["whole"]
        late = live.join(StreamParameters())
        assert {one[0] for one in (await heard(late, "signals"))["rows"]} == {"csat", "nps"}

    run(work)


def test_clients_that_look_at_the_same_thing_share_one_look() -> None:
    async def work(store: Scripted, live: Live) -> None:
        clients = [live.join(StreamParameters()) for _ in range(4)]
        for client in clients:
            assert (await heard(client, "signals"))["whole"]
        assert sum("cx.signals_now" in sql for sql in store.asked) == 1

    run(work)


@pytest.mark.parametrize("what", ["", "segment IN"])
def test_a_store_that_does_not_answer_is_told_and_looked_at_again(what: str) -> None:
    async def work(store: Scripted, live: Live) -> None:
        client = live.join(StreamParameters())
        await heard(client, "signals")
        store.failing, store.failing_in = ReadError("ClickHouse is away"), what
        assert await heard(client, "trouble") == {"message": "ClickHouse is away"}
        assert (await heard(client, "vitals")) == {"now": 1}
        store.failing = None
        whole = await heard(client, "signals")  # nothing that was read and not told is missing
        assert (whole["as_of"], whole["events_until"], whole["whole"]) == (NOW, NOW, bool(what))

    run(work)


def test_a_fault_of_ours_does_not_end_it() -> None:
    async def work(store: Scripted, live: Live) -> None:
        store.failing = KeyError("a fault")
        client = live.join(StreamParameters())
        await heard(client, "vitals")
        store.failing = None
        assert (await heard(client, "signals"))["whole"]

    run(work)


def test_alerts_are_told_when_they_change_and_no_more() -> None:
    async def work(store: Scripted, live: Live) -> None:
        client = live.join(StreamParameters())
        assert (await heard(client, "alerts")) == {"alerts": []}
        opened = ("a1", "rule", "friction", "all", "firing", "critical", NOW, NOW, None)
        figures = (1.0, 2.0, 9.0, 300, [("device=mobile", 0.9)], None, None, "")
        store.alerts = [(*opened, *figures, "too much", 3)]
        live.nudge()
        (alert,) = (await heard(client, "alerts"))["alerts"]
        assert alert["opened_at"] == "2026-03-02T11:00:00.000Z"
        assert alert["resolved_at"] is None
        seen = [frame.event for frame in [await client.next() for _ in range(4)] if frame is not None]
        assert "alerts" not in seen

    run(work)


def test_nobody_listens_nothing_is_asked() -> None:
    async def work(store: Scripted, live: Live) -> None:
        live.nudge()
        await asyncio.sleep(0.1)
        assert store.asked == []
        client = live.join(StreamParameters())
        await heard(client, "signals")
        live.clients.leave(client)
        await asyncio.sleep(0.5)
        asked = len(store.asked)
        live.nudge()
        await asyncio.sleep(0.5)
        assert len(store.asked) == asked

    run(work)


def test_usual_is_the_same_hour_of_the_week_then_of_the_day_then_of_yesterday() -> None:
    week, day, past = (3, 30.0, 100.0), (9, 99.0, 300.0), (5, 5.0, 50.0)
    assert best_usual([*week, *day, *past]) == {"value": 0.3, "n": 100.0, "hours": 3, "basis": "week"}
    assert best_usual([1, 9.0, 99.0, *day, *past]) == {"value": 0.33, "n": 300.0, "hours": 9, "basis": "day"}
    assert best_usual([0, 0, 0, 0, 0, 0, *past]) == {"value": 0.1, "n": 50.0, "hours": 5, "basis": "all"}
    assert best_usual([0] * 9) is None
    assert best_usual([5, 9.0, 19.0, 5, 9.0, 19.0, 5, 9.0, 19.0]) is None
