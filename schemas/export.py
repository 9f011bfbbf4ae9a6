"""JSON Schemas of all messages, made from the pydantic models."""

from typing import Any, Final

from pydantic import BaseModel

from schemas.alerts import AlertMessage
from schemas.deadletters import DeadLetterMessage
from schemas.events import TouchpointEvent
from schemas.evidence import EvidenceMessage
from schemas.facts import FactsMessage, VisitsMessage
from schemas.journeys import JourneyMessage
from schemas.moments import MomentMessage
from schemas.recoveries import RecoveryMessage
from schemas.signals import SignalMessage
from schemas.tiles import TilesMessage
from schemas.vocabulary import CONTRACT, Vocabulary, event_model

MODELS: Final[dict[str, type[BaseModel]]] = {
    "touchpoint": TouchpointEvent,
    "signal": SignalMessage,
    "journey": JourneyMessage,
    "recovery": RecoveryMessage,
    "moment": MomentMessage,
    "tiles": TilesMessage,
    "visits": VisitsMessage,
    "facts": FactsMessage,
    "evidence": EvidenceMessage,
    "alert": AlertMessage,
    "deadletter": DeadLetterMessage,
}


def json_schemas(words: Vocabulary = CONTRACT) -> dict[str, dict[str, Any]]:
    """By name of the message: its JSON Schema (draft 2020-12); of touchpoints in the words of a shop."""
    models = MODELS | {"touchpoint": event_model(words)}
    return {
        name: {"$schema": "https://json-schema.org/draft/2020-12/schema"} | model.model_json_schema()
        for name, model in models.items()
    }
