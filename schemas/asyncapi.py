"""An AsyncAPI 3 document of all topics, made from the models: what other teams' tools read.

The form is that of the AsyncAPI specification 3.0.0 with its Kafka bindings 0.5.0.
"""

from typing import Any, Final

from schemas.alerts import ALERT_TYPE, ALERTS_TOPIC
from schemas.deadletters import DEADLETTER_TYPE, DEADLETTERS_TOPIC
from schemas.events import TOUCHPOINT_TOPICS
from schemas.evidence import EVIDENCE_TOPIC, EVIDENCE_TYPE
from schemas.export import json_schemas
from schemas.facts import FACTS_TOPIC, FACTS_TYPE, VISITS_TOPIC, VISITS_TYPE
from schemas.journeys import JOURNEY_TYPE, JOURNEYS_TOPIC
from schemas.moments import MOMENT_TYPE, MOMENTS_TOPIC
from schemas.recoveries import RECOVERIES_TOPIC, RECOVERY_TYPE
from schemas.signals import ABANDONMENT_TOPIC, ABANDONMENT_TYPE, SATISFACTION_TOPIC, SATISFACTION_TYPE
from schemas.tiles import TILES_TOPIC, TILES_TYPE
from schemas.versioning import SCHEMA_VERSION
from schemas.vocabulary import CONTRACT, Vocabulary

#: Topic: the message's schema, its key, its CloudEvents type (None: events come in plain), what it is.
_OUT: Final = {
    SATISFACTION_TOPIC: (
        "signal",
        "segment",
        SATISFACTION_TYPE,
        "CSAT, NPS, CES and friction per segment and window.",
    ),
    ABANDONMENT_TOPIC: (
        "signal",
        "segment",
        ABANDONMENT_TYPE,
        "Abandonment, nowcast, completion ratio, value.",
    ),
    JOURNEYS_TOPIC: ("journey", "session_id", JOURNEY_TYPE, "Journeys that have ended, each once per version."),
    RECOVERIES_TOPIC: (
        "recovery",
        "person",
        RECOVERY_TYPE,
        "What has become of the abandoned journeys of somebody known.",
    ),
    MOMENTS_TOPIC: (
        "moment",
        "person",
        MOMENT_TYPE,
        "A rule about one person has fired, or what it fired on is not so.",
    ),
    ALERTS_TOPIC: ("alert", "alert_id", ALERT_TYPE, "Incidents from pending through firing to resolved."),
    DEADLETTERS_TOPIC: ("deadletter", "topic", DEADLETTER_TYPE, "Input that was refused, and why."),
    TILES_TOPIC: ("tiles", "segment", TILES_TYPE, "Inner: what phase one counted, for phase two."),
    VISITS_TOPIC: ("visits", "none", VISITS_TYPE, "Inner: facts of visitors whose persons are to be found."),
    FACTS_TOPIC: ("facts", "none", FACTS_TYPE, "Inner: facts of persons, by partition of the person."),
    EVIDENCE_TOPIC: ("evidence", "none", EVIDENCE_TYPE, "Inner: what phase two tells detection."),
}


def asyncapi(words: Vocabulary = CONTRACT) -> dict[str, Any]:
    """The document, as JSON; touchpoints in the words of a shop."""
    channels = {name: _channel(name, *parts) for name, parts in _OUT.items()}
    for topic in TOUCHPOINT_TOPICS:
        text = "Touchpoints to be counted; key: session_id, partitioned by murmur2."
        channels[topic] = _channel(topic, "touchpoint", "session_id", None, text)
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "cx-signals",
            "version": SCHEMA_VERSION,
            "description": "Satisfaction and abandonment signals of a shop's customers. A higher version of the "
            "same thing replaces a lower one; readers ignore fields that they do not know.",
        },
        "defaultContentType": "application/json",
        "channels": {_id(name): channel for name, channel in channels.items()},
        "operations": {
            **{f"send_{_id(topic)}": _operation("send", topic) for topic in _OUT},
            **{f"receive_{_id(topic)}": _operation("receive", topic) for topic in TOUCHPOINT_TOPICS},
        },
        "components": {"schemas": _schemas(words)},
    }


def _id(topic: str) -> str:
    return topic.replace(".", "_")


def _operation(action: str, topic: str) -> dict[str, Any]:
    return {"action": action, "channel": {"$ref": f"#/channels/{_id(topic)}"}}


def _channel(topic: str, schema: str, key: str, kind: str | None, description: str) -> dict[str, Any]:
    message: dict[str, Any] = {
        "name": schema,
        "contentType": "application/json",
        "payload": {"$ref": f"#/components/schemas/{schema}"},
        "bindings": {"kafka": {"key": {"type": "string", "description": key}, "bindingVersion": "0.5.0"}},
    }
    if kind is not None:
        message["headers"] = {
            "type": "object",
            "required": ["ce_specversion", "ce_source", "ce_type", "ce_id"],
            "properties": {
                "ce_specversion": {"const": "1.0"},
                "ce_source": {"type": "string"},
                "ce_type": {"const": kind},
                "ce_id": {"type": "string", "description": "The same at each sending of the same content."},
            },
        }
    return {
        "address": topic,
        "description": description,
        "messages": {schema: message},
        "bindings": {"kafka": {"topic": topic, "bindingVersion": "0.5.0"}},
    }


def _schemas(words: Vocabulary) -> dict[str, Any]:
    """The models' schemas, with their inner definitions beside them."""
    found: dict[str, Any] = {}
    for name, schema in json_schemas(words).items():
        body = {key: value for key, value in schema.items() if key not in ("$schema", "$defs")}
        found[name] = _moved(body)
        found |= {inner: _moved(one) for inner, one in schema.get("$defs", {}).items()}
    return found


def _moved(schema: Any) -> Any:
    """References to inner definitions, as references into the document's components."""
    if isinstance(schema, dict):
        return {
            key: value.replace("#/$defs/", "#/components/schemas/") if key == "$ref" else _moved(value)
            for key, value in schema.items()
        }
    if isinstance(schema, list):
        return [_moved(one) for one in schema]
    return schema
