"""From the bytes of a Kafka message to a touchpoint, or to the reason why it is none.

Two decoders, one meaning. :class:`Touchpoint` is derived from :class:`~schemas.events.TouchpointEvent`
and decoded by msgspec in about 2 µs. What it refuses is put to pydantic, whose word is final and
whose error names the field. Everything that the fast path accepts, pydantic accepts with the same
values; a property test holds the two together.
"""

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import msgspec
from pydantic import ValidationError

from schemas.derive import derive_fields
from schemas.events import (
    ATTRIBUTES_BYTES,
    DEFAULT_SCALE,
    MAX_ATTRIBUTES_BYTES,
    MAX_MESSAGE_BYTES,
    MAX_NESTING,
    TouchpointEvent,
)
from schemas.reasons import Reason
from schemas.times import parse_rfc3339
from schemas.units import to_units

_MAX_ERROR_LENGTH: Final = 500


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a message is not accepted. ``error`` says which field, what is wrong and what was found."""

    reason: Reason
    error: str


if TYPE_CHECKING:

    class Touchpoint(msgspec.Struct):
        """A decoded event: the fields of TouchpointEvent, and four that are computed from them."""

        event_id: str
        type: str
        occurred_at: str
        channel: str
        session_id: str
        customer_id: str | None = None
        store_id: str | None = None
        region: str | None = None
        device: str | None = None
        campaign: str | None = None
        value: float | None = None
        currency: str | None = None
        step: str | None = None
        survey: str | None = None
        score: float | None = None
        scale: float | None = None
        attributes: msgspec.Raw | None = None
        at_ms: int = 0
        """Event time, milliseconds since the epoch."""
        amount: int | None = None
        """``value`` in units of 1/10,000."""
        score_units: int = 0
        scale_units: int = 0

else:
    # The computed fields hide behind names that no sound producer uses; they are always overwritten.
    Touchpoint = msgspec.defstruct(
        "Touchpoint",
        [
            *derive_fields(TouchpointEvent),
            ("at_ms", int, 0),
            ("amount", int | None, None),
            ("score_units", int, 0),
            ("scale_units", int, 0),
        ],
        rename={name: f"~{name}" for name in ("at_ms", "amount", "score_units", "scale_units")},
        module=__name__,
        gc=False,
    )

_decode_fast = msgspec.json.Decoder(Touchpoint).decode
_decode_object = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_decode_value = msgspec.json.Decoder().decode
_FIELDS: Final = frozenset(TouchpointEvent.model_fields)
# Possessive, and content with a string that never closes: one pass whatever the message is.
_TOKENS: Final = re.compile(rb'"(?:[^"\\]++|\\.)*+"?|[\[{]|[\]}]', re.DOTALL)


def decode(payload: bytes | None) -> Touchpoint | Refusal:
    """Decode one message's value.

    Gives a :class:`Touchpoint` with all rules of the contract checked that concern the message alone
    (its topic, the watermark and duplicates are the caller's), or a :class:`Refusal`. Never raises
    for any input.
    """
    if payload is None:
        return Refusal(Reason.INVALID, "message: has no value (and no cx-tick header)")
    size = len(payload)
    if size > 2 * MAX_NESTING and (refusal := _check_size_and_nesting(payload, size)):
        return refusal
    try:
        if not payload.isascii():
            payload.decode()
        event = _decode_fast(payload)
        event.at_ms = parse_rfc3339(event.occurred_at)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return _decode_slowly(payload)
    return _complete(event) or _decode_slowly(payload)


def _complete(event: Touchpoint) -> Touchpoint | None:
    """Fill the computed fields; None where a rule that spans fields is broken."""
    event.amount = None if event.value is None else round(event.value * 10_000)
    if event.channel == "pos" and event.store_id is None:
        return None
    if event.attributes is not None and not _is_small_object(event.attributes):
        return None
    if event.type != "survey_answered":
        event.survey = event.score = event.scale = None
        event.score_units = event.scale_units = 0
        return event
    if event.survey is None or event.score is None:
        return None
    usual = DEFAULT_SCALE[event.survey]
    scale = usual if event.scale is None else event.scale
    if event.score > scale or (event.survey != "csat" and scale != usual):
        return None
    event.score_units = to_units(event.score)
    event.scale_units = to_units(scale)
    return event


def _is_small_object(raw: msgspec.Raw) -> bool:
    text = bytes(raw)
    return (text[:1] == b"{" and len(text) <= MAX_ATTRIBUTES_BYTES) or text == b"null"


def _check_size_and_nesting(payload: bytes, size: int) -> Refusal | None:
    if size > MAX_MESSAGE_BYTES:
        return _invalid(f"message: {size} bytes, at most {MAX_MESSAGE_BYTES} are allowed")
    if payload.count(b"[") + payload.count(b"{") > MAX_NESTING:
        depth = deepest = 0
        for token in _TOKENS.findall(payload):
            if token in (b"[", b"{"):
                depth += 1
                deepest = max(deepest, depth)
            elif token in (b"]", b"}"):
                depth -= 1
        if deepest > MAX_NESTING:
            return _invalid(f"message: nested {deepest} deep, at most {MAX_NESTING} are allowed")
    return None


def _decode_slowly(payload: bytes) -> Touchpoint | Refusal:
    model = explain(payload)
    if isinstance(model, Refusal):
        return model
    fields = {name: getattr(model, name) for name in TouchpointEvent.model_fields}
    if model.attributes is not None:
        fields["attributes"] = _decode_object(payload)["attributes"]
    event = Touchpoint(**fields)
    event.at_ms = parse_rfc3339(model.occurred_at)
    completed = _complete(event)
    assert completed is not None, "pydantic accepted what the shared rules refuse"
    return completed


def explain(payload: bytes) -> TouchpointEvent | Refusal:
    """The reference decoder: the event as pydantic sees it, or what is wrong with the message."""
    if refusal := _check_size_and_nesting(payload, len(payload)):
        return refusal
    try:
        payload.decode()
    except UnicodeDecodeError as error:
        return _invalid(f"message: not valid UTF-8 at byte {error.start}")
    try:
        raw = _decode_object(payload)
    except msgspec.ValidationError:
        return _invalid(f"message: a JSON object is needed, found {_shorten(payload.decode())}")
    except (msgspec.MsgspecError, RecursionError) as error:
        return _invalid(f"message: not JSON: {error}")
    known: dict[str, Any] = {}
    for name in _FIELDS & raw.keys():
        try:
            known[name] = _read_value(name, bytes(raw[name]))
        except (msgspec.MsgspecError, ValueError) as error:
            return _invalid(f"{name}: {error}")
    sizes = {ATTRIBUTES_BYTES: len(bytes(raw["attributes"])) if "attributes" in raw else 0}
    try:
        return TouchpointEvent.model_validate(known, context=sizes)
    except ValidationError as error:
        return _invalid(describe_errors(error))


def _read_value(name: str, text: bytes) -> Any:
    # attributes are carried along and never interpreted: only their being an object counts.
    if name == "attributes":
        return {} if text[:1] == b"{" else _decode_value(text)
    return _decode_value(text)


def describe_errors(error: ValidationError) -> str:
    """All that pydantic found wrong, one clause a field: where, what, and what was there instead."""
    clauses = []
    for item in error.errors(include_url=False, include_context=False):
        where = ".".join(str(part) for part in item["loc"]) or "event"
        found = "" if item["type"] == "missing" or not item["loc"] else _found(item["input"])
        clauses.append(f"{where}: {item['msg'].removeprefix('Value error, ')}{found}")
    return _shorten("; ".join(clauses), _MAX_ERROR_LENGTH)


def _found(value: object) -> str:
    return f" (found {_shorten(repr(value))})"


def _shorten(text: str, length: int = 80) -> str:
    return text if len(text) <= length else text[: length - 1] + "…"


def _invalid(error: str) -> Refusal:
    return Refusal(Reason.INVALID, error)
