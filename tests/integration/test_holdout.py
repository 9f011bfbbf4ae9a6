"""What telling has changed, by the real engine: the view, the dashboard's SQL and the page say the same."""

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from dashboards.effects import effects
from pipeline.core.effects import Arm, effect
from pipeline.settings import Settings, load
from pipeline.web.asked import MomentsParameters
from pipeline.web.catalogue import catalogue
from pipeline.web.listings import Listings
from pipeline.web.reads import Rows, Values
from sinks.tables import COLUMNS, MOMENTS, PURCHASES

NOW = datetime.now(UTC).replace(microsecond=0)
RULES = """
[[moment]]
name = "tried"
when = [{ types = ["rage_clicked"] }]
within_s = 600
cooldown_s = 0
holdout = 0.25
holdout_since = 2020-01-01T00:00:00Z
[[moment]]
name = "told"
when = [{ types = ["rage_clicked"] }]
within_s = 600
cooldown_s = 0
"""


@pytest.fixture(scope="module", autouse=True)
def filled(engine: Any) -> None:
    fill(engine)


def moment(
    person: str,
    days: float,
    *,
    is_held: bool,
    status: str = "fired",
    holdout: float = 0.25,
    session: str | None = None,
) -> Any:
    at = NOW - timedelta(days=days)
    where = "tried", person, "web", session or f"s-{person}", at, status, ["e"], "", "", ""
    return (f"tried:{person}:{days}", *where, is_held, holdout, 1)


def purchase(person: str, days: float, status: str = "counted") -> Any:
    return person, "pos", "t", f"e{days}", NOW - timedelta(days=days), 10.0, status, 1


def fill(client: Any) -> None:
    moments, bought = [], []
    for number in range(40):  # of 30 told of 12 buy, of 10 held out 1
        person, is_held = f"c:{number}", number >= 30
        moments.append(moment(person, 9, is_held=is_held))
        if number < 12 or number == 39:
            bought.append(purchase(person, 5))
    moments += [
        moment("c:again", 9, is_held=False),
        moment("c:again", 1, is_held=False),  # it is the first that counts
        moment("c:new", 6, is_held=False),  # its week is not over
        moment("c:taken-back", 9, is_held=False, status="withdrawn"),
        moment("c:before", 20, is_held=False, holdout=0.0),
        moment("c:void", 9, is_held=False),
        moment("c:earlier", 9, is_held=False),
        moment("c:later", 9, is_held=False),
        moment("c:was-told", 8.5, is_held=True, session="hers"),  # as a visitor she was told of it
        moment("v:phone", 8.5, is_held=False, status="withdrawn", session="hers"),
    ]
    bought += [
        purchase("c:new", 3),
        purchase("c:void", 5, "void"),
        purchase("c:earlier", 9.01),
        purchase("c:later", 1.99),
        purchase("c:stranger", 5),
    ]
    for table, rows in ((MOMENTS, moments), (PURCHASES, bought)):
        client.execute(f"INSERT INTO cx.{table} ({', '.join(COLUMNS[table])}) VALUES", rows)


TOLD, HELD = Arm(34, 12), Arm(10, 1)


def test_the_dashboard_says_what_the_core_computes(engine: Any) -> None:
    expected = effect(TOLD, HELD)
    assert expected is not None
    ((rule, share, told, told_share, held, held_share, *found),) = engine.execute(effects())
    assert (rule, share, told, held) == ("tried", 0.25, 34, 10)
    assert (told_share, held_share) == pytest.approx((12 / 34, 0.1))
    assert found == pytest.approx(list(expected), abs=1e-9)


class Engine:
    def __init__(self, client: Any) -> None:
        self._client = client

    async def rows(self, sql: str, values: Values) -> Rows:
        if "max(bucket)" in sql:
            return [(round(NOW.timestamp() * 1000),) * 2]
        found: Rows = self._client.execute(sql, dict(values))
        return found

    def close(self) -> None:
        return None


def shop(tmp_path: Path) -> Settings:
    file = tmp_path / "rules.toml"
    file.write_text(RULES)
    return load({"CX_MOMENTS__RULES": str(file)})


def test_the_page_says_it_of_rules_with_a_holdout(engine: Any, tmp_path: Path) -> None:
    listings = Listings(Engine(engine), catalogue(shop(tmp_path))).all()
    moments = next(one for one in listings if one.path == "moments")
    tried, told = asyncio.run(moments.find(MomentsParameters()))["rows"]
    expected = effect(TOLD, HELD)
    assert expected is not None
    assert (tried["told"], tried["held"]) == (TOLD._asdict(), HELD._asdict())
    assert (tried["holdout"], tried["effect"]) == (0.25, expected._asdict())
    assert (told["holdout"], told["told"], told["held"], told["effect"]) == (0.0, None, None, None)
