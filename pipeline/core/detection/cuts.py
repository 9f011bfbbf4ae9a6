"""Cuts of detection's state, and the state made again from its shards."""

import base64
import zlib
from dataclasses import astuple
from typing import Any, Final

import numpy as np

from pipeline.core.cuts import Cut, Head, Shards
from pipeline.core.detection.baselines import Rates
from pipeline.core.detection.detector import Detector
from pipeline.core.detection.explain import Part
from pipeline.core.detection.incidents import Alert, Member
from pipeline.core.detection.watch import Finding
from pipeline.core.statistics import Floats

_STEP: Final = "step-"
_SLOT: Final = "hour-of-week-"
_FAST: Final = 1


def cut(detector: Detector) -> Cut:
    """What has changed since the last cut. To be made between steps."""
    incidents, baselines = detector.incidents, detector.baselines
    made = Cut(
        {
            "complete": detector.complete,
            "next_ms": detector.next_ms,
            "first_hour": detector.first_hour,
            "hours_learned": baselines.hours,
            "alerts": [_alert(alert) for alert in incidents.open],
            "over": [_alert(alert) for alert in incidents.over],
        }
    )
    made.put("segments", detector.segments.names)
    made.put("waiting", [[start, rows] for start, rows in detector.waiting.items()])
    made.put("hours", [[start, rows] for start, rows in detector.hours.items()])
    for start in detector.changed_steps:
        counts = detector.recent.get(start)
        made.put(f"{_STEP}{start}", _packed(counts) if counts is not None else None)
    detector.changed_steps = set()
    if baselines.changed_slots:
        made.put("all-hours", [_rates(baselines.pooled), _rates(baselines.spread), _packed(baselines.streak)])
    for slot in baselines.changed_slots:
        made.put(f"{_SLOT}{slot}", _rates(baselines.slots[slot]))
    baselines.changed_slots = set()
    return made


def has_changed(detector: Detector) -> bool:
    """Whether a cut would write more than what is always written."""
    return bool(detector.changed_steps or detector.baselines.changed_slots)


def restore(detector: Detector, head: Head, shards: Shards) -> None:
    """Bring a new state to what it was when the cut was made whose head this is."""
    detector.complete, detector.next_ms = dict(head["complete"]), head["next_ms"]
    detector.first_hour = head["first_hour"]
    for name in shards.get("segments", ()):
        detector.segments.row(name)
    for start, rows in shards.get("waiting", ()):
        detector.waiting[start] = {segment: (version, counters) for segment, (version, counters) in rows.items()}
    detector.hours = dict(shards.get("hours", ()))
    _restore_baselines(detector, head, shards)
    steps = sorted(int(name.removeprefix(_STEP)) for name in shards if name.startswith(_STEP))
    if steps:
        detector.expect(steps[-1])
    for start in steps:
        detector.see(start, _unpacked(shards[f"{_STEP}{start}"]))
    detector.changed_steps = set()
    known = detector.incidents.rules
    # What a rule found that is no longer there nobody can follow.
    detector.incidents.open = [_read_alert(detector, row) for row in head["alerts"] if row["rule"] in known]
    detector.incidents.over = [_read_alert(detector, row) for row in head["over"] if row["rule"] in known]


def _restore_baselines(detector: Detector, head: Head, shards: Shards) -> None:
    baselines = detector.baselines
    baselines.hours = head["hours_learned"]
    if "all-hours" in shards:
        pooled, spread, streak = shards["all-hours"]
        baselines.pooled, baselines.spread = _read_rates(pooled), _read_rates(spread)
        baselines.streak = _unpacked(streak)
    for name, content in shards.items():
        if name.startswith(_SLOT):
            baselines.slots[int(name.removeprefix(_SLOT))] = _read_rates(content)
    baselines.fit(len(detector.segments))


def _alert(alert: Alert) -> dict[str, Any]:
    return {
        "alert_id": alert.alert_id,
        "rule": alert.rule.name,
        "segment": alert.segment,
        "status": alert.status,
        "opened_ms": alert.opened_ms,
        "updated_ms": alert.updated_ms,
        "latest": list(alert.latest),
        "has_data": alert.has_data,
        "causes": [list(part) for part in alert.causes],
        "members": [[*key, *astuple(member)] for key, member in alert.members.items()],
    }


def _read_alert(detector: Detector, row: dict[str, Any]) -> Alert:
    rule = detector.incidents.rules[row["rule"]]
    members = {(name, at): Member(*rest) for name, at, *rest in row["members"] if name in detector.incidents.rules}
    return Alert(
        row["alert_id"],
        rule,
        row["segment"],
        row["status"],
        row["opened_ms"],
        row["updated_ms"],
        Finding(*row["latest"]),
        has_data=row["has_data"],
        members=members,
        causes=[Part(*part) for part in row["causes"]],
    )


def _rates(rates: Rates) -> list[Any]:
    return [_packed(rates.occurrences), _packed(rates.exposures)]


def _read_rates(content: list[Any]) -> Rates:
    rates = Rates(0, 0)
    rates.occurrences, rates.exposures = (_unpacked(each) for each in content)
    return rates


def _packed(values: Floats) -> list[Any]:
    """Shape and content of an array: most of it is zeros."""
    return [list(values.shape), base64.b64encode(zlib.compress(values.tobytes(), _FAST)).decode()]


def _unpacked(content: list[Any]) -> Floats:
    shape, text = content
    return np.frombuffer(zlib.decompress(base64.b64decode(text)), dtype=np.float64).reshape(shape).copy()
