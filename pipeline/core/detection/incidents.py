"""From findings to alerts: one incident, one alert, from pending through firing to resolved.

What is found of a segment and of its parts, and of segments that differ in the channel only, is one incident
as long as the rules are of one family: the alert that came first keeps its id and takes the others in.
"""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

from pipeline.core.detection.explain import Part
from pipeline.core.detection.watch import Finding, Rule, Verdict
from pipeline.core.detection.worth import Stake
from pipeline.core.usual.measures import Segments, dimensions
from pipeline.model.evidence import STEP_MS
from pipeline.model.signals import Kind

PENDING: Final = "pending"
FIRING: Final = "firing"
RESOLVED: Final = "resolved"
RETRACTED: Final = "retracted"
"""It never was: so late events have shown."""
OPEN: Final = frozenset({PENDING, FIRING})
CRITICAL: Final = "critical"
FRICTION: Final = "friction"
_GAP_MS: Final = 2 * STEP_MS
"""A finding that is missing for so long has to begin again."""
_LEAST_LOOK_MS: Final = 600_000
"""What is over is not to be kept alive by a long window that still holds it."""
_ECHO_MS: Final = 3_600_000
"""For so long after an incident its slower signs are taken for a part of it: the longest timeout, and a window."""
_WITHOUT_DATA_MS: Final = 6 * 3_600_000
"""Silence is no sign of health; after so long nobody waits for it any more."""

Key = tuple[str, int]
"""Rule and row of the segment."""


@dataclass(slots=True)
class Member:
    """One rule's finding of one segment, as part of an incident. Times in ms since the epoch."""

    since_ms: int
    found_ms: int
    """When it was found last."""
    off_ms: int
    """When it was last off, found or not."""
    window_ms: int
    """How long a look back it takes to see it."""
    is_sure: bool = False
    """It has lasted long enough, or was certain."""


@dataclass(slots=True)
class Alert:
    """One incident. Times in ms since the epoch, event time."""

    alert_id: str
    rule: Rule
    """Of the first finding."""
    segment: str
    status: str
    opened_ms: int
    updated_ms: int
    latest: Finding
    """Of the rule, in the segment or a part of it."""
    fired_ms: int | None = None
    resolved_ms: int | None = None
    has_data: bool = True
    """Whether enough comes in to tell; without, an alert is not resolved."""
    members: dict[Key, Member] = field(default_factory=dict)
    causes: list[Part] = field(default_factory=list)
    """Parts of the segment that explain the difference, the best first."""

    stake: Stake | None = None
    """What it has cost so far; None for what is not of a funnel."""
    part_of: str = ""
    """The alert that has taken this one in."""

    def take_over(self, other: "Alert") -> None:
        """Be what the other one was, if that is graver."""
        if is_graver(other.rule, self.rule):
            self.rule, self.latest, self.stake = other.rule, other.latest, other.stake

    def copy(self, **changes: Any) -> "Alert":
        """As it stands, with these fields otherwise."""
        members = {key: replace(member) for key, member in self.members.items()}
        return replace(self, members=members, causes=list(self.causes), **changes)

    def retracted(self, at_ms: int) -> "Alert":
        """Taken back at a moment."""
        return self.copy(status=RETRACTED, updated_ms=at_ms, resolved_ms=at_ms)

    def content(self) -> tuple[Any, ...]:
        """All that is said of it."""
        latest = self.latest._replace(row=0)  # rows are numbered otherwise where other segments came first
        times = (self.opened_ms, self.updated_ms, self.fired_ms, self.resolved_ms)
        said = (self.rule.name, self.segment, self.status, self.has_data, self.part_of)
        return (*said, *times, latest, tuple(self.causes), self.stake)

    def is_found_at(self, at_ms: int) -> bool:
        """Whether its rule has found something just then."""
        return any(key[0] == self.rule.name and m.found_ms == at_ms for key, m in self.members.items())


class Incidents:
    """The state of all alerts that are not resolved."""

    def __init__(self, rules: Iterable[Rule], segments: Segments) -> None:
        self.rules: Final = {rule.name: rule for rule in rules}
        self._segments = segments
        self.open: list[Alert] = []
        self.over: list[Alert] = []
        """Resolved not long ago."""

    def fork(self, segments: Segments) -> "Incidents":
        """The same, to go on by itself. ``segments``: the same, with the same rows."""
        found = Incidents(self.rules.values(), segments)
        found.open, found.over = ([alert.copy() for alert in some] for some in (self.open, self.over))
        return found

    def update(self, at_ms: int, verdicts: Mapping[str, Verdict]) -> list[Alert]:
        """Take what the rules say at a moment; gives all alerts that were or are open."""
        self.over = [alert for alert in self.over if at_ms - alert.updated_ms < _ECHO_MS]
        for name, verdict in verdicts.items():
            for row in sorted(verdict.found, key=self._segments.names.__getitem__):
                self._take(at_ms, self.rules[name], row, verdict.found[row])
        for alert in self.open:
            alert.updated_ms = at_ms
            _forget_members(at_ms, alert)
            if alert.status == FIRING:
                self._follow(at_ms, alert, verdicts)
            elif not alert.members:
                alert.status, alert.resolved_ms = RESOLVED, at_ms
        self._unite(at_ms)
        changed = self.open
        for alert in changed:
            if alert.status == FIRING and alert.fired_ms is None:
                alert.fired_ms = at_ms
        self.open = [alert for alert in changed if alert.status != RESOLVED]
        self.over += [a for a in changed if a.status == RESOLVED and not a.part_of and _was_sure(a)]
        return changed

    def _take(self, at_ms: int, rule: Rule, row: int, finding: Finding) -> None:
        key = (rule.name, row)
        alert = self._of(key) or self._related(self.open, rule, row)
        if alert is None:
            if self._is_echo(at_ms, rule, row, finding):
                return
            name = self._segments.names[row]
            alert = Alert(_id(rule, name, at_ms), rule, name, PENDING, at_ms, at_ms, finding)
            self.open.append(alert)
        member = alert.members.get(key)
        window_ms = max(finding.window_ms, _LEAST_LOOK_MS)
        if member is None:
            member = alert.members[key] = Member(at_ms, at_ms, at_ms, window_ms)
        member.found_ms = at_ms
        if at_ms - member.since_ms >= rule.for_ms or finding.score >= rule.certain_score:
            member.is_sure = True
            alert.status = FIRING
        alert.segment = self._widest(alert)
        if is_graver(rule, alert.rule) and member.is_sure:
            # What was a warning (errors are shown) has turned out to cost completions.
            alert.rule, alert.latest = rule, finding
        if rule is alert.rule and (
            alert.latest.row == row or self._segments.names[row] == alert.segment or alert.status == PENDING
        ):
            alert.latest = finding

    def _unite(self, at_ms: int) -> None:
        """An alert that has widened takes in those of its family that it now holds."""
        for alert in self.open:
            mine = dimensions(alert.segment)
            for other in self.open:
                if other is alert or RESOLVED in (alert.status, other.status):
                    continue
                if is_kin(alert.rule, other.rule) and mine <= dimensions(other.segment):
                    for key, member in other.members.items():
                        alert.members.setdefault(key, member)
                    if other.status == FIRING:
                        alert.status = FIRING
                        alert.take_over(other)
                    other.status, other.resolved_ms, other.part_of = RESOLVED, at_ms, alert.alert_id

    def _of(self, key: Key) -> Alert | None:
        return next((alert for alert in self.open if key in alert.members), None)

    def _is_echo(self, at_ms: int, rule: Rule, row: int, finding: Finding) -> bool:
        """Whether an incident that is over shows in it.

        Abandonments by timeout come when all is well again, and long windows reach back into it.
        """
        over = self._related(self.over, rule, row)
        if over is None or over.resolved_ms is None:
            return False
        is_prompt = rule.kind is Kind.COMPLETION_RATIO or rule.family == FRICTION
        return not is_prompt or at_ms - finding.window_ms < over.resolved_ms

    def _related(self, alerts: list[Alert], rule: Rule, row: int) -> Alert | None:
        mine = dimensions(self._segments.names[row])
        for alert in alerts:
            others = {dimensions(self._segments.names[other]) for _, other in alert.members}
            others.add(dimensions(alert.segment))
            if is_kin(alert.rule, rule) and any(_is_same_incident(mine, other) for other in others):
                return alert
        return None

    def _widest(self, alert: Alert) -> str:
        """The segment that holds all the sure ones (before there is one: all)."""
        sure = [row for (_, row), member in alert.members.items() if member.is_sure]
        rows = sure or [row for _, row in alert.members]
        common = frozenset.intersection(*(dimensions(self._segments.names[row]) for row in rows))
        while common:
            text = "|".join(sorted(common))
            if self._segments.find(text) is not None:
                return text
            common = common - {max(common)}
        return "all"

    def _follow(self, at_ms: int, alert: Alert, verdicts: Mapping[str, Verdict]) -> None:
        alert.has_data = False
        for (name, row), member in alert.members.items():
            is_off, is_seen = verdicts[name].of(row, member.window_ms)
            alert.has_data |= is_seen
            if is_off:
                member.off_ms = at_ms
        off_ms = max(member.off_ms for member in _quickest(alert))
        if at_ms - off_ms >= (alert.rule.keep_ms if alert.has_data else _WITHOUT_DATA_MS):
            alert.status, alert.resolved_ms = RESOLVED, at_ms


def _was_sure(alert: Alert) -> bool:
    return any(member.is_sure for member in alert.members.values())


def _quickest(alert: Alert) -> list[Member]:
    """Those that see soonest that all is well again: what looks back far still sees what is over."""
    quick = [member for member in alert.members.values() if member.window_ms <= _LEAST_LOOK_MS]
    return quick or list(alert.members.values())


def _forget_members(at_ms: int, alert: Alert) -> None:
    """Findings that went away before they were sure."""
    for key, member in list(alert.members.items()):
        if not member.is_sure and at_ms - member.found_ms >= _GAP_MS:
            del alert.members[key]


def is_graver(one: Rule, other: Rule) -> bool:
    return one.severity == CRITICAL != other.severity


def is_kin(one: Rule, other: Rule) -> bool:
    """Whether findings of the two can be one incident: errors are a sign of what goes wrong in any web journey."""
    families = {one.family, other.family}
    return len(families) == 1 or (FRICTION in families and one.has_steps and other.has_steps)


def _is_same_incident(one: frozenset[str], other: frozenset[str]) -> bool:
    """Whether one holds the other, or they differ in the channel only."""
    if one <= other or other <= one:
        return True
    without = [frozenset(d for d in each if not d.startswith("channel=")) for each in (one, other)]
    return bool(without[0]) and without[0] == without[1]


def _id(rule: Rule, segment: str, at_ms: int) -> str:
    """The same for the same history."""
    return hashlib.sha256(f"{rule.name}/{segment}/{at_ms}".encode()).hexdigest()[:16]
