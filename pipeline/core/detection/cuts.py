"""Cuts of detection's state, and the state made again from its shards."""

from dataclasses import astuple
from typing import Any, Final

import numpy as np

from pipeline.core.cuts import Cut, Head, Shards
from pipeline.core.detection import baselines_cuts
from pipeline.core.detection.baselines_cuts import packed, unpacked
from pipeline.core.detection.detector import Detector
from pipeline.core.detection.explain import Part
from pipeline.core.detection.incidents import Alert, Member
from pipeline.core.detection.steps import Steps
from pipeline.core.detection.watch import Finding, Reckoned, Rule
from pipeline.core.detection.worth import Stake
from pipeline.core.evidence import STEP_MS

_STEP: Final = "step-"
_LEARNED: Final = "worth-and-steps"
_BY_STEP: Final = "by-journey-step-"


def cut(detector: Detector) -> Cut:
    """What has changed since the last cut. To be made between steps."""
    incidents, baselines = detector.incidents, detector.baselines
    made = Cut(
        {
            "complete": detector.complete,
            "next_ms": detector.next_ms,
            "hour": detector.hour,
            "known": detector.watch.known,
            "baselines": baselines_cuts.head(baselines),
            "worth": detector.worth.learned_ms,
            "steps": detector.steps.learned_ms,
            "step_names": detector.steps.names,
            "alerts": [_alert(alert) for alert in incidents.open],
            "over": [_alert(alert) for alert in incidents.over],
        }
    )
    made.put("segments", detector.segments.names)
    made.put("waiting", [[start, rows] for start, rows in detector.waiting.items()])
    made.put("hours", [[start, rows] for start, rows in detector.hours.items()])
    made.put("known-steps", packed(detector.watch.known_steps))
    for start in detector.changed_steps:
        step = detector.recent.get(start)
        made.put(f"{_STEP}{start}", [packed(each) for each in step] if step is not None else None)
    detector.changed_steps = set()
    if baselines.changed_slots:
        made.put(_LEARNED, [packed(detector.worth.sums), packed(detector.steps.usual)])
    baselines_cuts.put(made, baselines)
    _put_steps(made, detector.steps)
    return made


def _put_steps(made: Cut, steps: Steps) -> None:
    for start in steps.changed:
        counts = steps.recent.get(start)
        made.put(f"{_BY_STEP}{start}", packed(counts) if counts is not None else None)
    steps.changed = set()


def _restore_steps(steps: Steps, shards: Shards) -> None:
    for name, counts in shards.items():
        if name.startswith(_BY_STEP):
            steps.recent[int(name.removeprefix(_BY_STEP))] = unpacked(counts)


def has_changed(detector: Detector) -> bool:
    """Whether a cut would write more than what is always written."""
    return bool(detector.changed_steps or detector.baselines.changed_slots)


def restore(detector: Detector, head: Head, shards: Shards) -> None:
    """Bring a new state to what it was when the cut was made whose head this is."""
    detector.complete, detector.next_ms = dict(head["complete"]), head["next_ms"]
    for name in shards.get("segments", ()):
        detector.segments.row(name)
    for start, rows in shards.get("waiting", ()):
        detector.waiting[start] = {segment: (version, counters) for segment, (version, counters) in rows.items()}
    detector.hours = dict(shards.get("hours", ()))
    baselines_cuts.restore(detector.baselines, head["baselines"], shards)
    detector.baselines.fit(len(detector.segments))
    detector.worth.learned_ms, detector.steps.learned_ms = head["worth"], head["steps"]
    if _LEARNED in shards:
        detector.worth.sums, detector.steps.usual = (unpacked(each) for each in shards[_LEARNED])
    detector.steps.names = list(head["step_names"])
    _restore_steps(detector.steps, shards)
    _restore_watch(detector, head, shards)
    known = detector.incidents.rules
    # What a rule found that is no longer there nobody can follow.
    detector.incidents.open = [_read_alert(detector, row) for row in head["alerts"] if row["rule"] in known]
    detector.incidents.over = [_read_alert(detector, row) for row in head["over"] if row["rule"] in known]


def _restore_watch(detector: Detector, head: Head, shards: Shards) -> None:
    if head.get("hour") is None:  # nothing was decided yet, or by a program that kept less
        return
    detector.expect(head["hour"], head["known"])
    steps = sorted(int(name.removeprefix(_STEP)) for name in shards if name.startswith(_STEP))
    nothing = detector.watch.reckon(np.zeros((0, len(detector.measures.columns))))
    # Windows are so and so many steps long: those in which nothing came are steps as well.
    end = max(detector.next_ms or 0, steps[-1] + STEP_MS) if steps else 0
    for start in range(steps[0], end, STEP_MS) if steps else ():
        step = shards.get(f"{_STEP}{start}")
        detector.see(start, Reckoned(*(unpacked(each) for each in step)) if step is not None else nothing)
    detector.watch.known_steps = unpacked(shards["known-steps"])
    detector.changed_steps = set()


def _alert(alert: Alert) -> dict[str, Any]:
    return {
        "alert_id": alert.alert_id,
        "rule": alert.rule.name,
        "segment": alert.segment,
        "status": alert.status,
        "opened_ms": alert.opened_ms,
        "updated_ms": alert.updated_ms,
        "resolved_ms": alert.resolved_ms,
        "latest": list(alert.latest),
        "has_data": alert.has_data,
        "causes": [list(part) for part in alert.causes],
        "stake": list(alert.stake) if alert.stake is not None else None,
        "members": [[*key, *astuple(member)] for key, member in alert.members.items()],
    }


def _fitting(found: Finding, rule: Rule) -> Finding:
    """Of a window that the rule still has: its file may have been changed since."""
    if found.window_ms in rule.windows_ms:
        return found
    return found._replace(window_ms=rule.windows_ms[-1])


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
        _fitting(Finding(*row["latest"]), rule),
        resolved_ms=row["resolved_ms"],
        has_data=row["has_data"],
        members=members,
        causes=[Part(*part) for part in row["causes"]],
        stake=Stake(*row["stake"]) if row["stake"] is not None else None,
    )
