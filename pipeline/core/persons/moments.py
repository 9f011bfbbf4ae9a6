"""When rules fire: a function of the set of a person's facts.

A rule is walked over the facts in the order of (time, event id). It counts those of the last ``within`` that match
its conditions, and none of before an ``unless``; it fires at the first at which there are enough of all, and is
silent then for its cooldown. What is older than a horizon and the lateness can change no more: of that it is kept
when each rule fired last, and nothing else.
"""

from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final, NamedTuple

from pipeline.model.event_time import NEVER_MS
from pipeline.model.facts import Held
from pipeline.model.moments import MomentRule, is_event, name_of
from schemas.facts import Fact, FactKey, key_of

MomentKey = tuple[str, FactKey, int]
"""Rule, the fact at which it fired, and when: of a journey an end may turn out to be another one."""
MOST_EVENTS: Final = 50
"""A moment names so many of the events that led to it, the last ones."""


class Moment(NamedTuple):
    """A rule that fired."""

    rule: str
    fact: Fact
    """At which."""
    events: tuple[str, ...]
    """Ids of the events that led to it, in order; of a journey the opening one's."""

    @property
    def key(self) -> MomentKey:
        return self.rule, key_of(self.fact), self.fact.ended_ms


class Past(NamedTuple):
    """What is kept of times that can change no more."""

    until_ms: int = -NEVER_MS
    """Moments before it stand as they were told."""
    fired: Mapping[str, int] = {}
    """When each rule fired last before that, where it may be silent yet; of one about sessions by session."""


NO_PAST: Final = Past()


def could_fire(held: Sequence[Held], rules: Iterable[MomentRule]) -> list[MomentRule]:
    """Of the rules those for which there are enough of such facts, whenever they were."""
    found = [rule for rule in rules if rule.least <= len(held)]
    if not found:
        return found
    counts: dict[str, int] = {}
    for one in held:
        name = name_of(one.fact)
        counts[name] = counts.get(name, 0) + 1
    return [rule for rule in found if _has_enough(rule, counts)]


def moments(facts: Iterable[Fact], rules: Sequence[MomentRule], past: Past) -> dict[MomentKey, Moment]:
    """The moments not before ``past.until_ms``. ``facts``: those that hold, each once."""
    found: dict[MomentKey, Moment] = {}
    every = _by_name(facts)
    for rule in rules:
        for name, some in _scopes(rule, every):
            last_ms = past.fired.get(name, -NEVER_MS)
            for moment in _held(rule, some, is_reset=True):
                at_ms = moment.fact.ended_ms
                if at_ms >= past.until_ms and at_ms >= last_ms + rule.cooldown_ms:
                    last_ms = at_ms
                    found[moment.key] = moment
    return found


def possible(
    facts: Iterable[Fact], rules: Sequence[MomentRule], past: Past, from_ms: int
) -> dict[MomentKey, Moment]:
    """All moments from a time on that can have been told while some of the facts were known and others were not.

    With fewer facts fewer conditions hold; only what takes away can be missing.
    """
    found: dict[MomentKey, Moment] = {}
    every = _by_name(facts)
    for rule in rules:
        for _, some in _scopes(rule, every):
            for moment in _held(rule, some, is_reset=False):
                if moment.fact.ended_ms >= max(past.until_ms, from_ms):
                    found[moment.key] = moment
    return found


def settled(past: Past, now: Iterable[Moment], rules: Sequence[MomentRule], until_ms: int) -> Past:
    """What is kept once nothing before a time can change any more. ``now``: the moments since ``past``."""
    if until_ms <= past.until_ms:
        return past
    cooldowns = {rule.name: rule.cooldown_ms for rule in rules}
    of_session = {rule.name for rule in rules if rule.is_of_session}
    fired = dict(past.fired)
    for moment in now:
        if moment.fact.ended_ms < until_ms:
            name = _name(moment.rule, moment.fact if moment.rule in of_session else None)
            fired[name] = max(moment.fact.ended_ms, fired.get(name, -NEVER_MS))
    is_silent = {name: at_ms for name, at_ms in fired.items() if at_ms + _cooldown(name, cooldowns) > until_ms}
    return Past(until_ms, is_silent)


def order_of(fact: Fact) -> tuple[int, str, str, str, bool, str, str]:
    """Time and event id; the rest tells those apart that have both in common."""
    first = fact.ended_ms, fact.event_id, fact.channel, fact.session_id
    return (*first, not is_event(fact), fact.funnel, fact.kind)


def _name(rule: str, fact: Fact | None) -> str:
    return rule if fact is None else f"{rule}\n{fact.channel}\n{fact.session_id}"


def _cooldown(name: str, cooldowns: Mapping[str, int]) -> int:
    return cooldowns.get(name.partition("\n")[0], 0)


def _by_name(facts: Iterable[Fact]) -> dict[str, list[Fact]]:
    found: dict[str, list[Fact]] = {}
    for fact in facts:
        name = name_of(fact)
        if name:
            if name in found:
                found[name].append(fact)
            else:
                found[name] = [fact]
    return found


def _has_enough(rule: MomentRule, counts: Mapping[str, int]) -> bool:
    for names, least in rule.needed:
        count = 0
        for name in names:
            count += counts.get(name, 0)
        if count < least:
            return False
    return True


def _scopes(rule: MomentRule, every: Mapping[str, Sequence[Fact]]) -> Iterable[tuple[str, Sequence[Fact]]]:
    """What the rule is about, in order: of one person or of each session; and by which name it is remembered."""
    ordered = sorted([fact for name in rule.names if name in every for fact in every[name]], key=order_of)
    if not rule.is_of_session:
        return [(_name(rule.name, None), ordered)]
    sessions: dict[str, list[Fact]] = {}
    for fact in ordered:
        sessions.setdefault(_name(rule.name, fact), []).append(fact)
    return sessions.items()


def _held(rule: MomentRule, ordered: Sequence[Fact], *, is_reset: bool) -> Iterator[Moment]:
    """Every fact at which all conditions hold. ``is_reset``: whether what is in ``unless`` takes away."""
    window: deque[tuple[Fact, list[int]]] = deque()
    counts = [0] * len(rule.conditions)
    for fact in ordered:
        if is_reset and fact.funnel in rule.unless and is_event(fact):
            window.clear()
            counts = [0] * len(rule.conditions)
            continue
        matched = [number for number, one in enumerate(rule.conditions) if one.matches(fact)]
        if not matched:
            continue
        window.append((fact, matched))
        _add(counts, matched, 1)
        while window[0][0].ended_ms < fact.ended_ms - rule.within_ms:
            _add(counts, window.popleft()[1], -1)
        if all(count >= one.count for count, one in zip(counts, rule.conditions, strict=True)):
            events = tuple([one.event_id for one, _ in window][-MOST_EVENTS:])
            yield Moment(rule.name, fact, events)


def _add(counts: list[int], numbers: Iterable[int], by: int) -> None:
    for number in numbers:
        counts[number] += by
