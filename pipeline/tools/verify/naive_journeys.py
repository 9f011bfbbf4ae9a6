"""A session's journeys: from opening to end. Written apart from the core."""

from collections.abc import Iterable

from pipeline.model.privacy import pseudonym
from pipeline.tools.verify.naive_types import EventRule, FunnelRule, JourneyValue, NaiveRules
from schemas.touchpoint import NOBODY, Touchpoint


def hidden(person: str, rules: NaiveRules) -> str:
    """What stands for an id."""
    return pseudonym(rules.customer_key, person) if rules.customer_key else person


def told(person: str, rules: NaiveRules) -> str:
    """What rows have of a customer or visitor, given by prefix and id; empty where that is none, or erased."""
    shown = hidden(person[2:], rules) if person[2:] else ""
    return "" if rules.is_erased(person[:2] + shown) else shown


def walk(
    session: list[Touchpoint], funnel: FunnelRule, rules: NaiveRules, watermark: int | None
) -> Iterable[tuple[Touchpoint, JourneyValue | None]]:
    """Journeys with their opening events; None for one that has not ended."""
    inside: list[Touchpoint] = []
    last = None
    for event in session:
        if inside and last is not None and event.at_ms - last > funnel.timeout_ms:
            yield inside[0], _timed_out(inside, funnel, rules, last)
            inside = []
        last = event.at_ms
        if not inside:
            if _is_one(event, funnel.opens):
                inside = [event]
            continue
        inside.append(event)
        if _is_one(event, funnel.completes):
            yield inside[0], _row(inside, funnel, rules, event.at_ms, "completed", "")
            inside = []
        elif _is_one(event, funnel.abandons):
            yield inside[0], _row(inside, funnel, rules, event.at_ms, "abandoned", "explicit")
            inside = []
    if inside and last is not None and watermark is not None:
        if last + funnel.timeout_ms < watermark:
            yield inside[0], _timed_out(inside, funnel, rules, last)
        else:
            yield inside[0], None


def _timed_out(inside: list[Touchpoint], funnel: FunnelRule, rules: NaiveRules, last: int) -> JourneyValue:
    lines = 0
    for event in inside:
        if _is_one(event, funnel.fills):
            lines += 1
        elif _is_one(event, funnel.empties):
            lines = max(0, lines - 1)
    if funnel.fills and not lines:
        return _row(inside, funnel, rules, last + funnel.timeout_ms, "emptied", "emptied")
    return _row(inside, funnel, rules, last + funnel.timeout_ms, "abandoned", "timeout")


def _is_one(event: Touchpoint, rules: Iterable[EventRule]) -> bool:
    """Whether the event is of the type, and at the step and on the channel where these are asked for."""
    for rule in rules:
        wrong_step = rule.step is not None and event.step != rule.step
        wrong_channel = rule.channel is not None and event.channel != rule.channel
        if event.type == rule.type and not wrong_step and not wrong_channel:
            return True
    return False


def _row(
    inside: list[Touchpoint], funnel: FunnelRule, rules: NaiveRules, ended_ms: int, outcome: str, reason: str
) -> JourneyValue:
    value = 0
    step = customer = visitor = ""
    for event in inside:
        step = event.step or step
        if event.visitor_id == NOBODY:
            customer = visitor = ""
        customer = event.customer_id or customer
        visitor = event.visitor_id or visitor
        if event.amount is None or event.currency not in (None, rules.currency):
            continue
        if _is_one(event, funnel.completes) or event.type == "checkout_started":
            value = event.amount
        elif event.type == "product_added":
            value += event.amount
        elif event.type == "product_removed":
            value = max(0, value - event.amount)
    first = inside[0]
    return JourneyValue(
        funnel.name,
        ended_ms,
        outcome,
        reason,
        told(f"c:{customer}", rules),
        told(f"v:{visitor}", rules),
        first.store_id or "",
        first.region or "",
        first.device or "",
        step,
        value,
        _steps(inside),
    )


def _steps(inside: list[Touchpoint]) -> tuple[tuple[str, int], ...]:
    """The first 15 steps that a journey came to."""
    found: dict[str, int] = {}
    for event in inside:
        if event.step is not None:
            found.setdefault(event.step, event.at_ms - inside[0].at_ms)
    return tuple(list(found.items())[:15])
