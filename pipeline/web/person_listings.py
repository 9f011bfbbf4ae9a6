"""What is told of persons, never of one: what became of what they left, and how often rules have fired."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final

from pipeline.core.effects import Arm, effect
from pipeline.model.evidence import DAY_MS
from pipeline.model.facts import RECOVERABLE
from pipeline.model.moments import MomentRule
from pipeline.model.signals import rate_of
from pipeline.web import answers as api
from pipeline.web import asked as asks
from pipeline.web import past_queries, queries
from pipeline.web.bodies import Body, body, page
from pipeline.web.catalogue import Catalogue
from pipeline.web.reads import Rows

_NOBODY: Final = (0, 0, 0, 0, 0, 0, 0.0, 0.0, 0.0)
"""What has become of journeys of which none is somebody's."""
_HOURS: Final = 24


class PersonListings:
    """The part of the read-only API that is about persons."""

    def __init__(
        self,
        rows: Callable[[queries.Query], Awaitable[Rows]],
        as_of: Callable[[asks.Moment], Awaitable[int | None]],
        names: Catalogue,
    ) -> None:
        """``as_of``: gives the time that is asked about, ms; None: nothing is known yet."""
        self._rows = rows
        self._as_of = as_of
        self._names = names

    async def recoveries(self, asked: asks.RecoveriesParameters) -> Body:
        as_of = await self._as_of(asked)
        if as_of is None:
            return page([], None, None)
        where = asked.segment, (as_of - asked.days * DAY_MS, as_of), self._names
        all_of: dict[str, int] = dict(await self._rows(queries.abandoned(*where)))
        found = {row[0]: row[1:] for row in await self._rows(queries.recoveries(*where))}
        rows = [
            body(api.RecoveryRow, (funnel, all_of.get(funnel, 0), *found.get(funnel, _NOBODY)))
            for funnel in self._names.funnels
            if funnel in RECOVERABLE
        ]
        return page(rows, as_of, None)

    async def moments(self, asked: asks.MomentsParameters) -> Body:
        as_of, moments = await self._as_of(asked), self._names.moments
        if as_of is None or not moments:
            return page([], as_of, None)
        where = queries.in_segment(asked.segment, self._names)
        found = {row[0]: row for row in await self._rows(past_queries.moments(where, as_of))}
        signals = {rate_of(rule.name): rule.name for rule in moments}
        of_hour = past_queries.last_hour(asked.segment, tuple(signals), as_of)
        rates = {signals[row[0]]: body(api.RateRow, row[1:]) for row in await self._rows(of_hour)}
        found_arms = await self._rows(past_queries.arms(as_of)) if any(rule.holdout for rule in moments) else []
        arms = {row[:2]: (Arm(*row[2:4]), Arm(*row[4:])) for row in found_arms}
        rows = []
        for rule in moments:
            _, fired, withdrawn, newest, (backs, counts) = found.get(rule.name, (rule.name, 0, 0, None, ((), ())))
            by_back = dict(zip(backs, counts, strict=True))
            hours = [by_back.get(back, 0) for back in reversed(range(_HOURS))]
            told = rule.name, rule.says, fired, withdrawn, newest, hours, rates.get(rule.name)
            rows.append(body(api.MomentsRow, (*told, rule.holdout, *_effect(rule, arms)), "newest_at"))
        return page(rows, as_of, None)


def _effect(rule: MomentRule, arms: Mapping[tuple[str, float], tuple[Arm, Arm]]) -> Sequence[Any]:
    """Those told of, those held out, and what telling has changed."""
    if not rule.holdout:
        return None, None, None
    told, held = arms.get((rule.name, rule.holdout), (Arm(0, 0), Arm(0, 0)))
    found = effect(told, held)
    return told._asdict(), held._asdict(), None if found is None else found._asdict()
