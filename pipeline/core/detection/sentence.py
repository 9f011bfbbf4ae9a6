"""An alert in words."""

from pipeline.core.detection.incidents import RETRACTED, Alert
from pipeline.model.signals import Kind


def sentence(alert: Alert) -> str:
    """What is off, by how much, and what accounts for it, in a sentence."""
    if alert.part_of:
        return f"part of alert {alert.part_of}"
    found, rule = alert.latest, alert.rule
    span = f"in the last {found.window_ms / 60_000:g} min"
    if rule.kind is Kind.COMPLETION_RATIO:
        what = f"{rule.subject}: {found.observed:.0f} of {found.expected:.0f} expected completions"
    elif rule.kind is Kind.MOMENT_RATE:
        value, usual = 1_000 * found.observed / max(found.n, 1), 1_000 * found.expected / max(found.n, 1)
        what = f"{rule.signal}: {value:.0f} instead of {usual:.0f} of 1,000 persons"
    else:
        value, usual = found.observed / max(found.n, 1), found.expected / max(found.n, 1)
        what = f"{rule.signal}: {value:.1%} instead of {usual:.1%}"
    text = f"{what} {span} ({alert.segment})"
    if alert.causes:
        where = alert.causes[0].where.replace("|step=", " at step=")
        text += f"; {where} explains {min(alert.causes[0].share, 1):.0%}"
    if alert.stake is not None and alert.stake.amount is not None:
        text += f"; {alert.stake.amount:,.0f} {alert.stake.currency} at stake so far"
    if alert.status == RETRACTED:
        return f"taken back, events that came late have shown that it was not so: {text}"
    return text if alert.has_data else f"{text}; too little comes in to tell how it is now"
