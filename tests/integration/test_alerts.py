"""An incident in a simulated shop becomes one alert, on its topic and in its table, and ends with it."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from schemas.alerts import AlertMessage
from schemas.times import parse_rfc3339
from tests.systems import Running, System

START = "2026-11-20T10:00:00Z"
FROM_MIN, LENGTH_MIN, MINUTES = 270, 40, 350
MINUTE = 60_000


def alerts(system: System) -> list[AlertMessage]:
    return [AlertMessage.model_validate_json(message.value() or b"") for message in system.messages("cx.alerts")]


def rows(system: System) -> dict[str, tuple[Any, ...]]:
    found = system.sql("SELECT alert_id, rule, segment, status, explanation, version FROM cx.alerts FINAL")
    return {row[0]: row[1:] for row in found}


def is_of_purchases(rule: str) -> bool:
    return rule.startswith(("checkout", "cart"))


def is_net(rule: str) -> bool:
    """Rules about persons have a detector of their own, which waits for who comes back."""
    return rule.endswith("-net-abandonment")


def has_ended(system: System) -> bool:
    """Also what persons' own detector tells, which comes minutes of event time after the others."""
    purchase = [row for row in rows(system).values() if is_of_purchases(row[0])]
    is_told = {is_net(row[0]) for row in purchase} == {False, True}
    return is_told and all(row[2] == "resolved" for row in purchase)


@pytest.fixture
def running(tmp_path: Path) -> Iterator[System]:
    system = Running.start(tmp_path)
    yield system
    system.stop()


@pytest.mark.timeout(1500)
def test_paying_broken_on_mobile_devices_is_noticed_with_its_cause_and_ends(running: System) -> None:
    incident = f"payment-mobile@{FROM_MIN}+{LENGTH_MIN}"
    options = [f"--start={START}", f"--minutes={MINUTES}", "--rate=4", "--fast", f"--incident={incident}"]
    done = running.cx("simulate", *options, "--late=0")
    assert done.returncode == 0, done.stderr
    running.wait_for(lambda: has_ended(running), 500)

    began_ms = parse_rfc3339(START) + FROM_MIN * MINUTE
    history: dict[str, list[AlertMessage]] = {}
    for message in alerts(running):
        history.setdefault(message.alert_id, []).append(message)
    fired = [some for some in history.values() if any(one.status == "firing" for one in some)]
    about = [some for some in fired if is_of_purchases(some[-1].rule)]
    net = [some for some in about if is_net(some[-1].rule)]
    assert [some[-1].rule for some in net] == ["checkout-net-abandonment"]
    purchase = [some for some in about if some not in net]
    assert len(purchase) == 1  # one incident, one alert: its parts and its echoes are in it
    (told,) = purchase
    first = next(one for one in told if one.status == "firing")
    assert began_ms < parse_rfc3339(first.updated_at) <= began_ms + 10 * MINUTE
    named = {cause.where for one in told for cause in one.causes[:1]}
    assert any("device=mobile" in where and "step=payment" in where for where in named)
    assert max(one.at_stake or 0 for one in told) > 1_000
    last = max(told, key=lambda one: one.version)
    assert last.status == "resolved"
    assert last.resolved_at is not None
    ended_ms = began_ms + LENGTH_MIN * MINUTE
    # Those it has lost count as under way until their timeout, which for carts is half an hour.
    assert ended_ms < parse_rfc3339(last.resolved_at) <= ended_ms + 40 * MINUTE
    assert [one.version for one in told] == sorted(one.version for one in told)

    table = rows(running)
    assert table[last.alert_id][2:] == ("resolved", last.explanation, last.version)
    assert json.loads(running.messages("cx.evidence")[-1].value() or b"")["complete"] is not None
    running.verify()
