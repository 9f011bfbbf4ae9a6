"""Real files, in order and disturbed: the same tables, and no difference from the naive computation.

In order through ``cx-signals up``, disturbed through Apache Kafka where it can be had.
"""

from pathlib import Path
from typing import Any

import pytest

from tests.systems import Running

FILES = {
    "calls_1999_01.tsv": "call-centre",
    "till_sales_2010_12.csv": "online-retail",
    "nps_responses_2018.csv": "nps",
    "shop_sessions_2019_10_01.csv": "rees46",
}
EVENTS = 33_330 + 1_955 + 2_353 + 17_429
CONTENTS = {
    "journeys": "SELECT * EXCEPT (version, stored_at) FROM cx.journeys FINAL WHERE outcome != 'retracted'",
    # A map says nothing by the order of its keys, nor by a count of 0.
    "tiles": "SELECT * EXCEPT (version, stored_at) "
    "REPLACE (mapSort(mapFilter((k, v) -> v != 0, by_age)) AS by_age, "
    "mapSort(mapFilter((k, v) -> v != 0, by_step)) AS by_step) FROM cx.tiles FINAL WHERE events > 0",
    "signals": "SELECT * EXCEPT (version, stored_at) FROM cx.signals FINAL WHERE denominator > 0",
    "recoveries": "SELECT * EXCEPT (version, stored_at) FROM cx.recoveries FINAL WHERE status != 'retracted'",
}
LEAST_ROWS = {"journeys": 10_000, "tiles": 10_000, "signals": 10_000, "recoveries": 50}


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory, real_data: Path) -> dict[str, dict[str, Any]]:
    """Fingerprints of the tables: of the files in order, and of the same shuffled and repeated."""
    results = {}
    for name, disturbance in {"in order": [], "disturbed": ["--shuffle", "3000", "--duplicate", "7"]}.items():
        folder = tmp_path_factory.mktemp("real")
        system = Running.start(folder)
        try:
            for file, form in FILES.items():
                sent = system.cx("replay", str(real_data / file), "--format", form, *disturbance)
                assert sent.returncode == 0, sent.stderr
            verified = system.cx("verify", "--wait", "--timeout", "900", timeout=1200)
            results[name] = {
                "verify": verified,
                "queue": system.sql(
                    "SELECT outcome, reason, count() FROM cx.journeys FINAL WHERE funnel = 'queue' "
                    "GROUP BY 1, 2 ORDER BY 1, 2"
                ),
                "recovered": system.sql(
                    "SELECT funnel, status, count() FROM cx.recoveries FINAL WHERE status != 'retracted' "
                    "GROUP BY 1, 2 ORDER BY 1, 2"
                ),
                **{
                    table: system.sql(f"SELECT count(), groupBitXor(cityHash64(*)) FROM ({query})")
                    for table, query in CONTENTS.items()
                },
            }
            again = system.cx("replay", str(real_data / "calls_1999_01.tsv"), "--format", "call-centre")
            assert again.returncode == 1
            assert "--allow-late" in again.stderr
        finally:
            system.stop()
    return results


@pytest.mark.timeout(3000)
@pytest.mark.parametrize("name", ["in order", "disturbed"])
def test_verify_finds_no_difference(found: dict[str, dict[str, Any]], name: str) -> None:
    verified = found[name]["verify"]
    assert verified.returncode == 0, verified.stdout + verified.stderr
    assert f"{EVENTS} events" in verified.stdout
    assert "no difference" in verified.stdout
    assert "left out" not in verified.stdout  # the input is at rest: all of it is compared


def test_januarys_calls(found: dict[str, dict[str, Any]]) -> None:
    expected = [("abandoned", "explicit", 3_074), ("abandoned", "timeout", 7), ("completed", "", 13_584)]
    assert found["in order"]["queue"] == expected
    assert [row for row in found["disturbed"]["queue"] if row[0] != "retracted"] == expected


def test_a_days_carts_of_the_clickstream(found: dict[str, dict[str, Any]]) -> None:
    """Whoever put something into the cart and bought it in another session of the day."""
    statuses = {status: count for funnel, status, count in found["in order"]["recovered"] if funnel == "cart"}
    assert statuses == {"open": 55, "completed_elsewhere": 1}  # some hours of a day, not seven days


@pytest.mark.parametrize("table", CONTENTS)
def test_shuffled_and_repeated_events_give_the_same_rows(found: dict[str, dict[str, Any]], table: str) -> None:
    assert found["in order"][table][0][0] > LEAST_ROWS[table]
    assert found["disturbed"][table] == found["in order"][table]
