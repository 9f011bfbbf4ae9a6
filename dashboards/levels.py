"""Colours that agree with the alert rules: a figure is red where its rule would call the change material."""

from grafana_foundation_sdk.builders.dashboard import ThresholdsConfig

from dashboards.panels import thresholds
from pipeline.core.detection.watch import Rule
from pipeline.settings import Settings, funnel_names
from pipeline.settings.alert_rules import load_rules


def rule_of(signal: str) -> Rule:
    """The shipped rule about a signal."""
    return next(rule for rule in load_rules("", funnel_names(Settings())) if rule.signal == signal)


def completion_levels(funnel: str) -> ThresholdsConfig:
    """Of a completion ratio, 1 being usual: what is still well, what is not, what is worth an alert."""
    rule = rule_of(f"{funnel}_completion_ratio")
    return thresholds(
        (None, "red"),
        (round(1 - rule.change, 6), "orange"),
        (round(1 - rule.change * rule.well, 6), "green"),
    )
