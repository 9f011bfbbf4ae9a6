"""Cuts of detection's state, and the state made again from its shards."""

from collections.abc import Mapping
from dataclasses import astuple
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from pipeline.core.cuts import Cut, Head, Shards
from pipeline.core.detection.decider import Decider
from pipeline.core.detection.explain import Part
from pipeline.core.detection.incidents import Alert, Member
from pipeline.core.detection.told import Step
from pipeline.core.detection.watch import Finding, Reckoned, Rule
from pipeline.core.detection.worth import Stake
from pipeline.core.usual import cuts as baselines_cuts
from pipeline.core.usual.cuts import packed, unpacked
from pipeline.model.evidence import STEP_MS

if TYPE_CHECKING:
    from pipeline.core.detection.detector import Detector

_TOLD: Final = "told-step-"
_HOUR: Final = "told-hour-"
_STEP: Final = "step-"
_LEARNED: Final = "worth-and-steps"
_BY_STEP: Final = "by-journey-step-"
_SEGMENTS: Final = "segments"
_KNOWN: Final = "known-steps"


def snapshot(detector: "Detector") -> Cut:
    """What has changed since the last cut. To be made between steps.

    Of the states it is the first that is kept: the others follow from it and from what was told since.
    """
    told, first = detector.told, detector.kept[0]
    made = Cut(
        {
            "complete": told.complete,
            "next_ms": detector.next_ms,
            "said": [_alert(alert) for alert in detector.said.values()],
            "first_ms": first.next_ms,
            "hour": first.hour,
            "known": first.watch.known,
            "baselines": baselines_cuts.head(first.baselines),
            "worth": first.worth.learned_ms,
            "steps": first.steps.learned_ms,
            "step_names": first.steps.names,
            "alerts": [_alert(alert) for alert in first.incidents.open],
            "over": [_alert(alert) for alert in first.incidents.over],
        }
    )
    stamps = _stamps(detector)
    changed = {name for name, stamp in stamps.items() if detector.written.get(name) != stamp}
    made.gone = [name for name in detector.written if name not in stamps]
    detector.written = stamps
    for start, step in told.steps.items():
        if (name := f"{_TOLD}{start}") in changed:
            made.put(name, step.versions())
    for start, hour in told.hours.items():
        if (name := f"{_HOUR}{start}") in changed:
            made.put(name, hour)
    _put_first(made, changed, first)
    return made


def _put_first(made: Cut, changed: set[str], first: Decider) -> None:
    if _SEGMENTS in changed:
        made.put(_SEGMENTS, first.segments.names)
    if _KNOWN in changed:
        made.put(_KNOWN, packed(first.watch.known_steps))
    for start, step in first.recent.items():
        if (name := f"{_STEP}{start}") in changed:
            made.put(name, [packed(each) for each in step])
    for start, counts in first.steps.recent.items():
        if (name := f"{_BY_STEP}{start}") in changed:
            made.put(name, packed(counts))
    if _LEARNED in changed:
        made.put(_LEARNED, [packed(first.worth.sums), packed(first.steps.usual)])
        slots = [slot for slot in first.baselines.slots if baselines_cuts.slot_name(slot) in changed]
        baselines_cuts.put(made, first.baselines, slots)


def _stamps(detector: "Detector") -> dict[str, int]:
    """By shard: something that differs where its content does."""
    told, first = detector.told, detector.kept[0]
    learned, decided = first.baselines.last_ms, first.next_ms
    found = {f"{_TOLD}{start}": step.stamp for start, step in told.steps.items()}
    found |= {f"{_HOUR}{start}": len(hour) for start, hour in told.hours.items()}
    found |= {f"{_STEP}{start}": 0 for start in first.recent}
    found |= {f"{_BY_STEP}{start}": 0 for start in first.steps.recent}
    if len(first.segments):
        found[_SEGMENTS] = len(first.segments)
    if decided is not None and first.hour is not None:
        found[_KNOWN] = decided
    if learned is not None:
        found |= dict.fromkeys((_LEARNED, baselines_cuts.ALL), learned)
        at = first.baselines.last_of_slot_ms
        found |= {baselines_cuts.slot_name(slot): at[slot] for slot in first.baselines.slots}
    return found


def restore(detector: "Detector", head: Head, shards: Shards) -> None:
    """Bring a new state to what it was when the cut was made whose head this is."""
    told, first = detector.told, detector.kept[0]
    told.complete, detector.next_ms = dict(head["complete"]), head["next_ms"]
    for name, content in shards.items():
        if name.startswith(_TOLD):
            versions = {segment: (version, counters) for segment, (version, counters) in content.items()}
            told.steps[int(name.removeprefix(_TOLD))] = Step(versions)
        elif name.startswith(_HOUR):
            told.hours[int(name.removeprefix(_HOUR))] = content
    _restore_first(first, head, shards)
    rules = first.incidents.rules
    # What a rule found that is no longer there nobody can follow.
    found = (_read_alert(rules, row) for row in head["said"] if row["rule"] in rules)
    detector.said = {alert.alert_id: alert for alert in found}
    detector.go_back_to_the_first()
    detector.written = _stamps(detector)


def _restore_first(first: Decider, head: Head, shards: Shards) -> None:
    for name in shards.get(_SEGMENTS, ()):
        first.segments.row(name)
    baselines_cuts.restore(first.baselines, head["baselines"], shards)
    first.baselines.fit(len(first.segments))
    first.worth.learned_ms, first.steps.learned_ms = head["worth"], head["steps"]
    if _LEARNED in shards:
        first.worth.sums, first.steps.usual = (unpacked(each) for each in shards[_LEARNED])
    first.steps.names = list(head["step_names"])
    for name, counts in shards.items():
        if name.startswith(_BY_STEP):
            first.steps.recent[int(name.removeprefix(_BY_STEP))] = unpacked(counts)
    first.next_ms = head["first_ms"]
    _restore_watch(first, head, shards)
    rules = first.incidents.rules
    first.incidents.open = [_read_alert(rules, row) for row in head["alerts"] if row["rule"] in rules]
    first.incidents.over = [_read_alert(rules, row) for row in head["over"] if row["rule"] in rules]


def _restore_watch(first: Decider, head: Head, shards: Shards) -> None:
    if head["hour"] is None:  # nothing was decided yet
        return
    first.expect(head["hour"], head["known"])
    steps = sorted(int(name.removeprefix(_STEP)) for name in shards if name.startswith(_STEP))
    nothing = first.watch.reckon(np.zeros((0, len(first.measures.columns))))
    # Windows are so and so many steps long: those in which nothing came are steps as well.
    end = max(first.next_ms or 0, steps[-1] + STEP_MS) if steps else 0
    for start in range(steps[0], end, STEP_MS) if steps else ():
        step = shards.get(f"{_STEP}{start}")
        first.see(start, Reckoned(*(unpacked(each) for each in step)) if step is not None else nothing)
    first.watch.known_steps = unpacked(shards[_KNOWN])


def _alert(alert: Alert) -> dict[str, Any]:
    return {
        "alert_id": alert.alert_id,
        "rule": alert.rule.name,
        "segment": alert.segment,
        "status": alert.status,
        "opened_ms": alert.opened_ms,
        "updated_ms": alert.updated_ms,
        "fired_ms": alert.fired_ms,
        "resolved_ms": alert.resolved_ms,
        "latest": list(alert.latest),
        "has_data": alert.has_data,
        "causes": [list(part) for part in alert.causes],
        "stake": list(alert.stake) if alert.stake is not None else None,
        "part_of": alert.part_of,
        "members": [[*key, *astuple(member)] for key, member in alert.members.items()],
    }


def _fitting(found: Finding, rule: Rule) -> Finding:
    """Of a window that the rule still has: its file may have been changed since."""
    if found.window_ms in rule.windows_ms:
        return found
    return found._replace(window_ms=rule.windows_ms[-1])


def _read_alert(rules: Mapping[str, Rule], row: dict[str, Any]) -> Alert:
    rule = rules[row["rule"]]
    members = {(name, at): Member(*rest) for name, at, *rest in row["members"] if name in rules}
    return Alert(
        row["alert_id"],
        rule,
        row["segment"],
        row["status"],
        row["opened_ms"],
        row["updated_ms"],
        _fitting(Finding(*row["latest"]), rule),
        fired_ms=row["fired_ms"],
        resolved_ms=row["resolved_ms"],
        has_data=row["has_data"],
        members=members,
        causes=[Part(*part) for part in row["causes"]],
        stake=Stake(*row["stake"]) if row["stake"] is not None else None,
        part_of=row["part_of"],
    )
