"""What of the settings decides the content of states and outputs."""

import hashlib
import json
from typing import Final

from pipeline.model.dimensions import Values
from pipeline.model.funnels import Funnel, Funnels
from pipeline.model.privacy import pseudonym
from pipeline.model.rules import Rules
from pipeline.model.segments import Segmenter
from pipeline.settings.root import Settings

_STATE_LAYOUT: Final = 8
"""Rises when checkpoints hold something else than before: older ones do not fit."""


def rules_digest(settings: Settings) -> str:
    """Of what decides the content of a state: one made under other rules does not fit."""
    decisive = [
        _STATE_LAYOUT,
        {name: funnel.model_dump() for name, funnel in settings.funnels},
        settings.segments.model_dump(),
        settings.pipeline.lateness_s,
        settings.pipeline.currency,
        settings.pipeline.session_events,
    ]
    text = json.dumps(decisive, sort_keys=True, default=sorted)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def customers_digest(settings: Settings) -> str:
    """The same of what only decides how customers appear: in the states of sessions, nowhere else."""
    key = settings.privacy.customer_key.get_secret_value()
    return f"-{pseudonym(key.encode(), 'which key')[:8]}" if key else ""


def funnel_names(settings: Settings) -> tuple[str, ...]:
    return tuple(name for name, _ in settings.funnels)


def rules(settings: Settings) -> Rules:
    """The part of the settings that decides what is computed."""
    funnels = Funnels(
        Funnel(name, f.opens_on, f.completes_on, f.abandons_on, round(f.timeout_s * 1000))
        for name, f in settings.funnels
    )
    pipeline, segments = settings.pipeline, settings.segments
    return Rules(
        funnels=funnels,
        segmenter=Segmenter(segments.combinations, Values(segments.most_values, segments.known)),
        lateness_ms=round(pipeline.lateness_s * 1000),
        currency=pipeline.currency,
        generation=pipeline.generation,
        most_later=pipeline.session_events,
        customer_key=settings.privacy.customer_key.get_secret_value().encode(),
    )
