"""From the bytes of a Kafka message to a touchpoint, or to the reason why it is none.

Two decoders, one meaning. A struct derived from :class:`~schemas.events.TouchpointEvent` is decoded by msgspec
in about 2 µs. What it refuses is put to pydantic (:mod:`schemas.explaining`), whose word is final and whose
error names the field. Everything that the fast path accepts, pydantic accepts with the same values; a property
test holds the two together.
"""

from typing import Any, Final

import msgspec

from schemas.derive import derive_fields
from schemas.events import DEFAULT_SCALE, LEAST_CES, MAX_ATTRIBUTES_BYTES, MAX_NESTING, TouchpointEvent
from schemas.explaining import check_size_and_nesting, explain, raw_fields
from schemas.reasons import Reason, Refusal
from schemas.times import parse_rfc3339
from schemas.touchpoint import NOBODY, Touchpoint
from schemas.units import to_units
from schemas.vocabulary import CONTRACT, LONGEST_VALUE, Vocabulary, event_model

#: Taken apart at once: one call instead of one for each attribute.
_astuple: Final[Any] = msgspec.structs.astuple
_NAMES: Final = tuple(TouchpointEvent.model_fields)
#: Brackets come in pairs: a text so short cannot be nested deeper than allowed.
_SURELY_SHALLOW: Final = 2 * MAX_NESTING
_members: Final[Any] = msgspec.json.Decoder(dict[str, msgspec.Raw] | None).decode
_read_text: Final[Any] = msgspec.json.Decoder(str).decode


def _fast_decoder(vocabulary: Vocabulary) -> Any:
    fields: Any = msgspec.defstruct("_Fields", derive_fields(event_model(vocabulary)), gc=False)
    return msgspec.json.Decoder(fields).decode


_decoders: Final[dict[Vocabulary, Any]] = {}
_decode_contract: Final[Any] = _fast_decoder(CONTRACT)


def decode(payload: bytes | None, vocabulary: Vocabulary = CONTRACT) -> Touchpoint | Refusal:
    """Decode one message's value, in the words of a shop.

    Gives a :class:`Touchpoint` with all rules of the contract checked that concern the message alone
    (its topic, the watermark and duplicates are the caller's), or a :class:`Refusal`. Never raises
    for any input.
    """
    if payload is None:
        return Refusal(Reason.INVALID, "message: has no value (and no cx-tick header)")
    if len(payload) > _SURELY_SHALLOW:
        refusal = check_size_and_nesting(payload)
        if refusal is not None:
            return refusal
    try:
        if not payload.isascii():
            payload.decode()
        event = _touchpoint(_astuple(_decoder_of(vocabulary)(payload)), vocabulary)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        event = None
    return _decode_slowly(payload, vocabulary) if event is None else event


def _decoder_of(vocabulary: Vocabulary) -> Any:
    if vocabulary is CONTRACT:
        return _decode_contract
    found = _decoders.get(vocabulary)
    if found is None:
        found = _decoders[vocabulary] = _fast_decoder(vocabulary)
    return found


def _touchpoint(fields: tuple[Any, ...], vocabulary: Vocabulary) -> Touchpoint | None:
    """The event with its computed fields; None where a rule that spans fields is broken.

    ``fields``: in the order of ``_NAMES``. Raises ValueError for a time that is none.
    """
    (
        event_id,
        type_,
        occurred_at,
        channel,
        session_id,
        customer_id,
        visitor_id,
        order_id,
        consent,
        store_id,
        region,
        device,
        campaign,
        value,
        currency,
        step,
        survey,
        score,
        scale,
        attributes,
    ) = fields
    if channel == "pos" and store_id is None:
        return None
    if attributes is not None and not _is_small_object(attributes):
        return None
    if consent is False:
        customer_id, visitor_id, order_id = None, NOBODY, None
    event = Touchpoint(
        parse_rfc3339(occurred_at),
        event_id,
        type_,
        channel,
        session_id,
        customer_id,
        visitor_id,
        order_id,
        store_id,
        region,
        device,
        campaign,
        None if value is None else to_units(value),
        currency,
        step,
        _further(attributes, vocabulary.attributes) if vocabulary.attributes else (),
    )
    if type_ == "survey_answered" and not _take_answer(event, survey, score, scale):
        return None
    return event


def _take_answer(event: Touchpoint, survey: str | None, score: float | None, scale: float | None) -> bool:
    if survey is None or score is None:
        return False
    usual = DEFAULT_SCALE[survey]
    if scale is None:
        scale = usual
    scale_units = to_units(scale)
    if score > scale or (survey != "csat" and scale != usual):
        return False
    if not scale_units or (survey == "ces" and score < LEAST_CES):
        return False
    event.survey, event.score_units, event.scale_units = survey, to_units(score), scale_units
    return True


def _is_small_object(raw: msgspec.Raw) -> bool:
    text = bytes(raw)
    return (text[:1] == b"{" and len(text) <= MAX_ATTRIBUTES_BYTES) or text == b"null"


def _further(attributes: msgspec.Raw | None, names: tuple[str, ...]) -> tuple[str | None, ...]:
    """Of these attributes the texts that a dimension's value can be; of all others None."""
    raw: dict[str, msgspec.Raw] = {} if attributes is None else _members(bytes(attributes)) or {}
    return tuple([_value(bytes(raw[name])) if name in raw else None for name in names])


def _value(text: bytes) -> str | None:
    if text[:1] != b'"':
        return None
    value: str = _read_text(text)
    return value if 0 < len(value) <= LONGEST_VALUE else None


def _decode_slowly(payload: bytes, vocabulary: Vocabulary) -> Touchpoint | Refusal:
    model = explain(payload, vocabulary)
    if isinstance(model, Refusal):
        return model
    fields = {name: getattr(model, name) for name in _NAMES}
    if model.attributes is not None:
        fields["attributes"] = raw_fields(payload)["attributes"]
    event = _touchpoint(tuple(fields.values()), vocabulary)
    assert event is not None, "pydantic accepted what the shared rules refuse"
    return event
