"""Where messages go besides webhooks of one's own: for each vendor an address, headers, a body and a pace.

Sources: the vendors' public documentation: Segment's HTTP tracking API, Slack's incoming webhooks, Microsoft's
workflow webhooks with adaptive cards, PagerDuty's Events API v2, Klaviyo's events API, Braze's ``/users/track``,
HubSpot's custom events. Ids go to them, never a decision about consent: who may be written to is theirs to know.
"""

import base64
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

Told = Mapping[str, Any]
"""A message as it is published."""
Options = Mapping[str, str]
_SUMMARY: Final = 1_024
_PREFIX: Final = "CX"
#: Of PagerDuty's four the nearest.
_SEVERITIES: Final = {"critical": "critical", "warning": "warning", "info": "info"}
_SHOWN: Final = (
    "rule",
    "signal",
    "segment",
    "status",
    "severity",
    "observed",
    "expected",
    "n",
    "missing",
    "at_stake",
    "currency",
    "opened_at",
)
_OF_JOURNEY: Final = (
    "rule",
    "funnel",
    "channel",
    "journey_id",
    "session_id",
    "entered_at",
    "ended_at",
    "outcome",
    "reason",
    "last_step",
    "value",
    "status",
    "recovered_at",
    "recovered_channel",
    "recovered_value",
    "store_id",
    "region",
    "device",
)


@dataclass(frozen=True, slots=True)
class Destination:
    """One vendor's way of being told."""

    body: Callable[[Told, str, Options], Any]
    """Of a message, with the receiver's key: what is posted as JSON; None where it is not for this vendor."""
    headers: Callable[[str], Mapping[str, str]] = lambda _key: {}
    address: str = ""
    """Where all of its customers post to; empty: the file says."""
    per_second: float = 10.0
    """So many posts at most."""
    messages: tuple[str, ...] = ("alerts", "journeys", "recoveries", "moments")
    needs_key: bool = True


def name_of(told: Told) -> str:
    """``CX Alert Firing``, ``CX Journey Abandoned``, ``CX Recovery Completed Elsewhere``, ``CX Moment Fired``."""
    kind, state = "Journey", told.get("outcome")
    if "alert_id" in told:
        kind, state = "Alert", told["status"]
    elif "moment_id" in told:
        kind, state = "Moment", told["status"]
    elif "person" in told:
        kind, state = "Recovery", told["status"]
    return f"{_PREFIX} {kind} {str(state).replace('_', ' ').title()}"


def customer_of(told: Told) -> str | None:
    """The customer's id; None where nobody is known, or only a visitor."""
    person = told.get("person")
    if isinstance(person, str):
        return person.removeprefix("c:") if person.startswith("c:") else None
    own = told.get("customer_id")
    return own if isinstance(own, str) else None


def visitor_of(told: Told) -> str | None:
    person = told.get("person")
    if isinstance(person, str) and person.startswith("v:"):
        return person.removeprefix("v:")
    own = told.get("visitor_id")
    return own if isinstance(own, str) else None


def time_of(told: Told) -> str:
    """RFC 3339, event time."""
    return str(told.get("updated_at") or told.get("recovered_at") or told.get("ended_at") or told.get("at"))


def properties_of(told: Told) -> dict[str, Any]:
    names = _SHOWN if "alert_id" in told else _OF_JOURNEY
    return {name: told[name] for name in names if told.get(name) is not None}


def _segment(told: Told, _key: str, _options: Options) -> Any:
    whose = {"userId": customer_of(told), "anonymousId": visitor_of(told)}
    found = {name: value for name, value in whose.items() if value is not None}
    event = {
        "type": "track",
        "event": name_of(told),
        "messageId": told["id"],
        "timestamp": time_of(told),
        "properties": properties_of(told),
        **(found or {"anonymousId": "cx-signals"}),
    }
    return {"batch": [event]}


def _sentence(told: Told) -> str:
    if "alert_id" in told:
        return str(told["explanation"])
    whose = customer_of(told) or visitor_of(told) or told.get("session_id")
    if "moment_id" in told:
        return f"{name_of(told)}: {told['rule']} of {whose}"
    return f"{name_of(told)}: {told.get('funnel')} of {whose}, worth {told.get('value')}"


def _slack(told: Told, _key: str, _options: Options) -> Any:
    text = _sentence(told)
    return {"text": text, "blocks": [{"type": "section", "text": {"type": "plain_text", "text": text[:3_000]}}]}


def _teams(told: Told, _key: str, _options: Options) -> Any:
    facts = [{"title": name, "value": str(value)} for name, value in properties_of(told).items()]
    card = {
        "type": "AdaptiveCard",
        "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
        "version": "1.4",
        "body": [
            {"type": "TextBlock", "text": name_of(told), "weight": "Bolder"},
            {"type": "TextBlock", "text": _sentence(told), "wrap": True},
            {"type": "FactSet", "facts": facts},
        ],
    }
    content = {"contentType": "application/vnd.microsoft.card.adaptive", "content": card}
    return {"type": "message", "attachments": [content]}


def _pagerduty(told: Told, key: str, _options: Options) -> Any:
    """An incident from firing to resolved, under the alert's id."""
    actions = {"firing": "trigger", "resolved": "resolve"}
    action = actions.get(str(told["status"]))
    if action is None:
        return None
    payload = {
        "summary": str(told["explanation"])[:_SUMMARY],
        "source": str(told["segment"]),
        "severity": _SEVERITIES.get(str(told["severity"]), "error"),
        "timestamp": time_of(told),
        "custom_details": properties_of(told),
    }
    incident = {"routing_key": key, "event_action": action, "dedup_key": str(told["alert_id"])[:255]}
    return incident | {"payload": payload}


def _klaviyo(told: Told, _key: str, _options: Options) -> Any:
    whose = customer_of(told)
    if whose is None:
        return None
    metric = {"data": {"type": "metric", "attributes": {"name": name_of(told)}}}
    profile = {"data": {"type": "profile", "attributes": {"external_id": whose}}}
    attributes = {
        "properties": properties_of(told),
        "time": time_of(told),
        "value": told.get("value", 0.0),
        "unique_id": told["id"],
        "metric": metric,
        "profile": profile,
    }
    return {"data": {"type": "event", "attributes": attributes}}


def _braze(told: Told, _key: str, _options: Options) -> Any:
    whose = customer_of(told)
    if whose is None:
        return None
    event = {"external_id": whose, "name": name_of(told), "time": time_of(told), "properties": properties_of(told)}
    return {"events": [event]}


def _hubspot(told: Told, _key: str, options: Options) -> Any:
    """A contact has ids of theirs: the shop's visitor id is one where it is HubSpot's cookie (``hubspotutk``)."""
    whose = visitor_of(told)
    if whose is None:
        return None
    return {
        "eventName": options["event_name"],
        "utk": whose,
        "occurredAt": time_of(told),
        "uuid": told["id"],
        "properties": {"customer_id": customer_of(told) or ""}
        | {name: str(value) for name, value in properties_of(told).items()},
    }


def _basic(key: str) -> Mapping[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(f"{key}:".encode()).decode()}


def _bearer(key: str) -> Mapping[str, str]:
    return {"Authorization": f"Bearer {key}"}


def _of_klaviyo(key: str) -> Mapping[str, str]:
    return {
        "Authorization": f"Klaviyo-API-Key {key}",
        "revision": "2025-10-15",
        "Content-Type": "application/vnd.api+json",
    }


_OF_PERSONS: Final = ("journeys", "recoveries", "moments")
#: By the name that the file of webhooks uses.
DESTINATIONS: Final[Mapping[str, Destination]] = {
    "segment": Destination(_segment, _basic),
    "slack": Destination(_slack, per_second=1.0, needs_key=False),
    "teams": Destination(_teams, per_second=1.0, needs_key=False),
    "pagerduty": Destination(
        _pagerduty, address="https://events.pagerduty.com/v2/enqueue", per_second=2.0, messages=("alerts",)
    ),
    "klaviyo": Destination(
        _klaviyo, _of_klaviyo, "https://a.klaviyo.com/api/events", per_second=50.0, messages=_OF_PERSONS
    ),
    "braze": Destination(_braze, _bearer, per_second=100.0, messages=_OF_PERSONS),
    "hubspot": Destination(
        _hubspot, _bearer, "https://api.hubapi.com/events/v3/send", per_second=10.0, messages=("journeys",)
    ),
}
OPTIONS: Final[Mapping[str, tuple[str, ...]]] = {"hubspot": ("event_name",)}
"""What a destination has to be told besides."""
