"""Moments from whole logs: every rule walked over everything that each person did. Written apart from the core."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from hashlib import blake2b, sha256
from typing import NamedTuple

from pipeline.tools.verify.naive_persons import Seen, Who, person_of, shown
from pipeline.tools.verify.naive_types import (
    JourneyKey,
    JourneyValue,
    MomentKey,
    MomentRule,
    MomentValue,
    NaiveRules,
    Wanted,
)
from schemas.touchpoint import NOBODY, Touchpoint

SCALES = {"csat": 5.0, "nps": 10.0, "ces": 7.0}
MOST_NAMED = 50


class Happened(NamedTuple):
    """An event, or the end of a journey, as rules look at it."""

    at_ms: int
    event_id: str
    channel: str
    session_id: str
    type: str
    """Of an event; else empty."""
    funnel: str
    outcome: str
    step: str | None
    survey: str | None
    score: float | None
    value: float
    event: Touchpoint
    """Itself; of a journey the opening one."""


COUNTED = ("order_completed", "sale_completed", "order_cancelled")
"""A fact already, of somebody known."""


class Happenings:
    """All that rules name, with whom each visit says that it was."""

    def __init__(self, rules: NaiveRules) -> None:
        self.all: list[tuple[Who, Happened]] = []
        self._rules = rules
        wanted = [one for rule in rules.moments for one in rule.wanted]
        self._types = {kind for rule in rules.moments for kind in rule.unless}
        self._types |= {kind for one in wanted for kind in one.types}
        self._ends = {(one.funnel, one.outcome) for one in wanted if not one.types}

    def whose(self) -> Iterable[tuple[Who, int, str]]:
        """Of each that is not counted otherwise whose it was, when, and the session's name."""
        for who, one in self.all:
            if one.type not in COUNTED or (who.customer_id, who.visitor_id) == (None, None):
                yield who, one.at_ms, session_name(one)

    def take(self, who: Who, visit: Sequence[Touchpoint], journeys: Mapping[JourneyKey, JourneyValue]) -> None:
        """``journeys``: those of the visit's session."""
        given = [event for event in visit if event.type in self._types and event.visitor_id != NOBODY]
        happened = [of_event(event, self._rules) for event in given]
        if self._ends:
            opening = {(event.at_ms, event.event_id): event for event in visit}
            for key, row in journeys.items():
                which = key.entered_ms, key.journey_id.partition(":")[2]
                if (row.funnel, row.outcome) in self._ends and which in opening:
                    happened.append(of_journey(key, row, opening[which]))
        self.all += [(who, one) for one in happened if who.may_keep(one.at_ms)]


def of_event(event: Touchpoint, rules: NaiveRules) -> Happened:
    is_ours = event.amount is not None and event.currency in (None, rules.currency)
    value = (event.amount or 0) / 10_000 if is_ours else 0.0
    score = None if event.survey is None else event.score_units * SCALES[event.survey] / event.scale_units
    where = event.channel, event.session_id
    return Happened(
        event.at_ms, event.event_id, *where, event.type, "", "", event.step, event.survey, score, value, event
    )


def of_journey(key: JourneyKey, row: JourneyValue, opening: Touchpoint) -> Happened:
    where, what = (key.channel, key.session_id), (row.funnel, row.outcome)
    step, value = row.last_step or None, row.value_units / 10_000
    return Happened(row.ended_ms, opening.event_id, *where, "", *what, step, None, None, value, opening)


def fired(
    happened: Iterable[tuple[Who, Happened]],
    seen: Seen,
    rules: NaiveRules,
    hide: Callable[[str], str],
    crowds: set[str],
) -> Iterable[tuple[str, str, Happened, tuple[str, ...]]]:
    """Each rule, person, at what it fired, and after which events.

    ``hide``: gives what stands for an id. ``crowds``: persons that are many, of whom not all is kept.
    """
    by_person: dict[str, list[Happened]] = defaultdict(list)
    for who, one in happened:
        by_person[shown(person_of(who, one.at_ms, seen) or session_name(one), hide)].append(one)
    for person in by_person.keys() - crowds:
        theirs = by_person[person]
        for rule in rules.moments:
            for some in _scopes(rule, theirs):
                for one, events in _fired(rule, some):
                    yield rule.name, person, one, events


def moments(found: Iterable[tuple[str, str, Happened, tuple[str, ...]]]) -> dict[MomentKey, MomentValue]:
    return {
        MomentKey(f"{rule}:{person}:{one.event_id}", one.channel, one.session_id, one.at_ms): MomentValue(
            rule, person, events
        )
        for rule, person, one, events in found
    }


def is_held_out(rule: str, person: str, share: float, key: bytes) -> bool:
    """Whether of this person the rule's moments are recorded only. Known persons are drawn by a keyed hash."""
    named = f"{rule}\n{person}".encode("utf-8", "surrogatepass")
    drawn = blake2b(named, digest_size=8, key=sha256(key).digest()).hexdigest()
    return person[:2] in ("c:", "v:") and int(drawn, 16) < share * 2**64


def session_name(one: Happened) -> str:
    """The name of one of whom nothing else is known."""
    return f"s:{one.channel}:{one.session_id}"


def _scopes(rule: MomentRule, theirs: list[Happened]) -> Iterable[list[Happened]]:
    if not rule.of_session:
        return [theirs]
    sessions: dict[tuple[str, str], list[Happened]] = defaultdict(list)
    for one in theirs:
        sessions[one.channel, one.session_id].append(one)
    return sessions.values()


def _fired(rule: MomentRule, some: list[Happened]) -> Iterable[tuple[Happened, tuple[str, ...]]]:
    ordered = sorted(some, key=_order)
    last: int | None = None
    for place, one in enumerate(ordered):
        if not any(_is(one, wanted) for wanted in rule.wanted):
            continue
        counting: list[Happened] = []
        for earlier in ordered[: place + 1]:
            if earlier.type in rule.unless and earlier.type:
                counting = []
            elif one.at_ms - earlier.at_ms <= rule.within_ms and any(_is(earlier, w) for w in rule.wanted):
                counting.append(earlier)
        if any(sum(_is(each, wanted) for each in counting) < wanted.least for wanted in rule.wanted):
            continue
        if last is None or one.at_ms >= last + rule.cooldown_ms:
            last = one.at_ms
            yield one, tuple(each.event_id for each in counting)[-MOST_NAMED:]


def _order(one: Happened) -> tuple[int, bytes, str, str, bool, str, str]:
    first = one.at_ms, one.event_id.encode(), one.channel, one.session_id
    return (*first, one.type == "", one.type or one.funnel, one.outcome)


def _is(one: Happened, wanted: Wanted) -> bool:
    if wanted.types:
        if one.type not in wanted.types:
            return False
    elif (one.funnel, one.outcome) != (wanted.funnel, wanted.outcome):
        return False
    for asked, given in ((wanted.step, one.step), (wanted.channel, one.channel), (wanted.survey, one.survey)):
        if asked is not None and asked != given:
            return False
    low, high = wanted.scores
    if low is not None or high is not None:
        if one.score is None:
            return False
        if (low is not None and one.score < low) or (high is not None and one.score > high):
            return False
    return wanted.value is None or one.value >= wanted.value
