"""No change of a message breaks those who read it, unless the major version says so."""

import json
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from schemas.asyncapi import asyncapi
from schemas.export import json_schemas
from schemas.journeys import JourneyBody, JourneyMessage
from schemas.signals import SignalBody, SignalMessage
from schemas.versioning import SCHEMA_VERSION
from tests.contract.compatibility import unreadable

MAJOR = SCHEMA_VERSION.partition(".")[0]
FOLDER = Path(__file__).parent / "schemas" / MAJOR
#: Others write it and we read it; all the rest is the other way round.
INPUT = "touchpoint"
KEPT = {
    path.stem: json.loads(path.read_text(encoding="utf-8"))
    for path in FOLDER.glob("*.json")
    if not path.stem.endswith("api")  # documents made of them
}


def test_every_message_has_its_first_schema_of_this_major_version_kept() -> None:
    assert set(KEPT) == set(json_schemas()), f"keep them: cx-signals schema export tests/contract/schemas/{MAJOR}"


@pytest.mark.parametrize("name", sorted(KEPT))
def test_older_readers_and_older_producers_are_not_broken(name: str) -> None:
    now = json_schemas()[name]
    broken = unreadable(KEPT[name], now) if name == INPUT else unreadable(now, KEPT[name])
    assert broken == [], "raise the major version in schemas/versioning.py, or keep to what was"


@pytest.mark.parametrize(("written", "read"), [(JourneyBody, JourneyMessage), (SignalBody, SignalMessage)])
def test_what_is_written_has_the_fields_of_what_is_read(written: Any, read: type[BaseModel]) -> None:
    assert list(written.__struct_fields__) == list(read.model_fields)


def changed(name: str, **fields: Any) -> dict[str, Any]:
    schema = deepcopy(json_schemas()[name])
    for field, value in fields.items():
        if value is None:
            del schema["properties"][field]
            schema["required"].remove(field)
        else:
            schema["properties"][field] = value
    return schema


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"value": None}, "message: value may be missing"),
        ({"value": {"type": "string"}}, "value: string for number"),
        ({"denominator": {"type": "number"}}, "denominator: minimum None for 0"),
        ({"value": {"anyOf": [{"type": "number"}, {"type": "null"}]}}, "value: null for number"),
        ({"schema_version": {"type": "string"}}, "schema_version: None for ['1.0', '2.0']"),
    ],
)
def test_a_change_that_breaks_readers_is_found(change: dict[str, Any], said: str) -> None:
    assert unreadable(changed("signal", **change), json_schemas()["signal"]) == [said]


def test_an_alert_with_a_new_status_or_a_changed_cause_breaks_readers() -> None:
    now = json_schemas()["alert"]
    status = changed("alert", status={"type": "string", "enum": ["pending", "firing", "resolved", "muted"]})
    assert len(unreadable(status, now)) == 1
    cause = deepcopy(now)
    cause["$defs"]["Cause"]["properties"]["share"] = {"type": "string"}
    assert unreadable(cause, now) == ["causes[].share: string for number"]


def test_a_new_field_a_narrower_range_and_a_whole_number_break_nobody() -> None:
    now = json_schemas()["signal"]
    assert unreadable(changed("signal", more={"type": "string"}), now) == []
    assert unreadable(changed("signal", numerator={"type": "integer"}), now) == []
    assert unreadable(changed("signal", denominator={"type": "number", "minimum": 1}), now) == []


def test_a_field_asked_of_producers_anew_breaks_them() -> None:
    asked = deepcopy(json_schemas()[INPUT])
    asked["required"].append("region")
    assert unreadable(json_schemas()[INPUT], asked) == ["message: region may be missing"]


def test_the_asyncapi_document_names_every_topic_that_others_read_or_write_and_resolves() -> None:
    document = asyncapi()
    assert document["asyncapi"].startswith("3.")
    addresses = {channel["address"] for channel in document["channels"].values()}
    assert addresses == {
        "touchpoints.web",
        "touchpoints.app",
        "touchpoints.pos",
        "cx.signals.satisfaction",
        "cx.signals.abandonment",
        "cx.journeys",
        "cx.recoveries",
        "cx.moments",
        "cx.alerts",
        "cx.deadletters",
        "cx.tiles",
        "cx.visits",
        "cx.facts",
        "cx.evidence",
    }
    references = list(_references(document))
    assert len(references) > 20
    for reference in references:
        _look_up(document, reference)
    payload = document["components"]["schemas"]["signal"]
    assert payload["properties"] == json_schemas()["signal"]["properties"]


def _references(part: Any) -> Any:
    if isinstance(part, dict):
        for key, value in part.items():
            if key == "$ref":
                yield value
            else:
                yield from _references(value)
    elif isinstance(part, list):
        for one in part:
            yield from _references(one)


def _look_up(document: Any, reference: str) -> None:
    assert reference.startswith("#/")
    for key in reference[2:].split("/"):
        document = document[key]
