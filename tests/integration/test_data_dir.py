"""``up --data-dir`` goes on where it stopped, with its topics and tables."""

from pathlib import Path

from tests.hostile.oddities import WEB, event
from tests.systems import Running


def carts(name: str, count: int) -> list[tuple[str, bytes]]:
    sessions = [f"{name}-{number}" for number in range(count)]
    opened = [(session, event(session)) for session in sessions]
    return [*opened, *((session, event(session, 1, "order_completed")) for session in sessions)]


def completed(system: Running) -> int:
    ((count,),) = system.sql("SELECT count() FROM cx.journeys FINAL WHERE outcome = 'completed'")
    return int(count)


def test_a_second_start_goes_on_with_what_the_first_had(tmp_path: Path) -> None:
    options = ("--no-simulate", "--data-dir", str(tmp_path / "data"))
    first = Running.start(tmp_path, *options)
    try:
        first.send(WEB, carts("first", 50))
        first.wait_for(lambda: completed(first) == 50)
        first.send(WEB, carts("unread", 50))  # some of them the second one reads first
    finally:
        assert first.stop() == 0
    second = Running.start(tmp_path, *options)
    try:
        second.wait_for(lambda: completed(second) == 100)
        second.send(WEB, carts("second", 50))
        second.wait_for(lambda: completed(second) == 150)
        shown = second.verify()
        assert "300 events, 0 duplicates, 0 dead letters" in shown
        assert "no difference" in shown
        assert (tmp_path / "data" / "generation").read_text().strip() == "1"
    finally:
        assert second.stop() == 0
