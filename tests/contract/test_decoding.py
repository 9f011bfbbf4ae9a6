"""Both decoders have one meaning, and what is refused is explained."""

import json
import time
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from schemas.decoding import decode
from schemas.events import DEFAULT_SCALE, EVENT_TYPES, TouchpointEvent
from schemas.explaining import explain
from schemas.reasons import Refusal
from schemas.segments import DIMENSIONS
from schemas.times import parse_rfc3339
from schemas.touchpoint import Touchpoint
from schemas.units import to_units
from schemas.vocabulary import Vocabulary
from tests.support import event_json

GOOD: dict[str, Any] = {
    "event_id": "e",
    "type": "page_viewed",
    "occurred_at": "2026-03-02T09:00:00Z",
    "channel": "web",
    "session_id": "s",
}
ANSWER = GOOD | {"type": "survey_answered", "survey": "csat", "score": 4}


def as_json(fields: dict[str, Any]) -> bytes:
    return json.dumps(fields).encode()


def without(name: str) -> bytes:
    return as_json({key: value for key, value in GOOD.items() if key != name})


REFUSED = {
    "empty": (b"", "message"),
    "not JSON": (b"{", "message"),
    "two values": (as_json(GOOD) + b"{}", "message"),
    "an array": (b"[1]", "message"),
    "a number": (b"1", "message"),
    "null": (b"null", "message"),
    "bad UTF-8 in a known field": (as_json(GOOD).replace(b'"s"', b'"\xff"'), "message"),
    "bad UTF-8 in an unknown field": (as_json(GOOD)[:-1] + b',"x":"\xc3\x28"}', "message"),
    "lone surrogate in attributes": (
        as_json(GOOD).replace(b"{", b'{"attributes": {"a": "\\ud83d"}, ', 1),
        "message",
    ),
    "lone surrogate in a field of others": (as_json(GOOD).replace(b"{", b'{"new": "\\ud83d", ', 1), "message"),
    "lone surrogate": (as_json(GOOD).replace(b'"s"', b'"\\ud800"'), "message"),
    "byte order mark": (b"\xef\xbb\xbf" + as_json(GOOD), "message"),
    "NaN": (as_json(GOOD)[:-1] + b',"value":NaN}', "message"),
    "NaN in an unknown field": (as_json(GOOD)[:-1] + b',"x":NaN}', "message"),
    "too large a number": (as_json(GOOD)[:-1] + b',"value":1e999}', "value"),
    "over 1 MiB": (as_json(GOOD | {"x": "y" * 2_097_152}), "message"),
    "1,000 levels": (as_json(GOOD)[:-1] + b',"x":' + b"[" * 1000 + b"]" * 1000 + b"}", "message"),
    "1,000 levels of objects": (as_json(GOOD)[:-1] + b',"x":' + b'{"a":' * 1000 + b"1" + b"}" * 1001, "message"),
    **{f"no {name}": (without(name), name) for name in GOOD},
    **{f"{name} null": (as_json(GOOD | {name: None}), name) for name in GOOD},
    "unknown type": (as_json(GOOD | {"type": "page_view"}), "type"),
    "unknown channel": (as_json(GOOD | {"channel": "fax"}), "channel"),
    "number for text": (as_json(GOOD | {"session_id": 5}), "session_id"),
    "empty id": (as_json(GOOD | {"event_id": ""}), "event_id"),
    "long id": (as_json(GOOD | {"event_id": "é" * 65}), "event_id"),
    "number in quotes": (as_json(GOOD | {"value": "5"}), "value"),
    "truth for a number": (as_json(GOOD | {"value": True}), "value"),
    "negative value": (as_json(GOOD | {"value": -0.01}), "value"),
    "value over 10**12": (as_json(GOOD | {"value": 1.0000001e12}), "value"),
    "currency in small letters": (as_json(GOOD | {"currency": "eur"}), "currency"),
    "currency with a line end": (as_json(GOOD | {"currency": "EU\n"}), "currency"),
    "attributes no object": (as_json(GOOD | {"attributes": [1]}), "attributes"),
    "attributes over 4 KiB": (as_json(GOOD | {"attributes": {"a": "x" * 4090}}), "attributes"),
    "no time zone": (as_json(GOOD | {"occurred_at": "2026-03-02T09:00:00"}), "occurred_at"),
    "time as number": (as_json(GOOD | {"occurred_at": 1772442000}), "occurred_at"),
    "second 60": (as_json(GOOD | {"occurred_at": "2026-03-02T09:00:60Z"}), "occurred_at"),
    "hour 24": (as_json(GOOD | {"occurred_at": "2026-03-02T24:00:00Z"}), "occurred_at"),
    "30 February": (as_json(GOOD | {"occurred_at": "2026-02-30T09:00:00Z"}), "occurred_at"),
    "ten fractional digits": (as_json(GOOD | {"occurred_at": "2026-03-02T09:00:00.0123456789Z"}), "occurred_at"),
    "a point and no digit": (as_json(GOOD | {"occurred_at": "2026-03-02T09:00:00.Z"}), "occurred_at"),
    "1969": (as_json(GOOD | {"occurred_at": "1969-12-31T23:59:59.999Z"}), "occurred_at"),
    "2200": (as_json(GOOD | {"occurred_at": "2200-01-01T00:00:00Z"}), "occurred_at"),
    "digits of another script": (as_json(GOOD | {"occurred_at": "٢٠٢٦-03-02T09:00:00Z"}), "occurred_at"),
    "no store on pos": (as_json(GOOD | {"channel": "pos"}), "store_id"),
    "no survey": (as_json(GOOD | {"type": "survey_answered", "score": 4}), "survey"),
    "no score": (as_json(GOOD | {"type": "survey_answered", "survey": "nps"}), "score"),
    "unknown survey": (as_json(ANSWER | {"survey": "hps"}), "survey"),
    "score above scale": (as_json(ANSWER | {"score": 5.1}), "score"),
    "score above a scale given": (as_json(ANSWER | {"score": 11, "scale": 10}), "score"),
    "negative score": (as_json(ANSWER | {"score": -1}), "score"),
    "scale that becomes 0": (as_json(ANSWER | {"score": 0, "scale": 1e-9}), "scale"),
    "ces of less than 1": (as_json(ANSWER | {"survey": "ces", "score": 0}), "score"),
    "scale 0": (as_json(ANSWER | {"score": 0, "scale": 0}), "scale"),
    "nps of 5": (as_json(ANSWER | {"survey": "nps", "scale": 5}), "scale"),
    "ces of 5": (as_json(ANSWER | {"survey": "ces", "scale": 5}), "scale"),
}


@pytest.mark.parametrize(("payload", "field"), REFUSED.values(), ids=REFUSED.keys())
def test_refused_with_the_field_named(payload: bytes, field: str) -> None:
    outcome = decode(payload)
    assert isinstance(outcome, Refusal)
    assert outcome.reason == "invalid"
    assert field in outcome.error
    assert outcome == explain(payload)


ACCEPTED = {
    "plain": as_json(GOOD),
    "unknown fields": as_json(GOOD | {"colour": "red", "n": [1, {"a": None}]}),
    "null means absent": as_json(GOOD | {"value": None, "attributes": None, "survey": None}),
    "a repeated key, the last wins": b'{"session_id":7,' + as_json(GOOD)[1:],
    "junk in survey fields elsewhere": as_json(GOOD | {"survey": 5, "score": "x", "scale": -1}),
    "long ids count characters": as_json(GOOD | {"event_id": "é" * 64, "session_id": "漢" * 128}),
    "whole number for a number": as_json(GOOD | {"value": 10**12}),
    "scale of csat": as_json(ANSWER | {"score": 9, "scale": 10}),
    "attributes of 4 KiB": as_json(GOOD | {"attributes": {"a": "x" * 4087}}),
    "deep, within bounds": as_json(GOOD)[:-1] + b',"x":' + b"[" * 400 + b"]" * 400 + b"}",
}


OWN = Vocabulary(("order_collected",), ("loyalty", "tier"))


def test_the_words_of_a_shop_are_read_and_no_others() -> None:
    collected = as_json(GOOD | {"type": "order_collected"})
    refused, taken = decode(collected), decode(collected, OWN)
    assert isinstance(refused, Refusal)
    assert "type:" in refused.error
    assert isinstance(taken, Touchpoint)
    assert taken.type == "order_collected"
    assert isinstance(explain(collected, OWN), TouchpointEvent)
    assert isinstance(decode(as_json(GOOD | {"type": "order_colected"}), OWN), Refusal)


@pytest.mark.parametrize(
    ("attributes", "further"),
    [
        (b'{"loyalty": "gold", "other": {"tier": "no"}}', ("gold", None)),
        (b'{"loyalty": 7, "tier": ["x"]}', (None, None)),
        (b'{"loyalty": "", "tier": "%s"}' % (b"x" * 65), (None, None)),
        (b'{"loyalty": "%s", "tier": "\\u00e9\\n"}' % ("é" * 64).encode(), ("é" * 64, "é\n")),
        (b'{"loyalty": "first", "loyalty": "last"}', ("last", None)),
        (b"{}", (None, None)),
        (b"null", (None, None)),
    ],
)
def test_texts_of_attributes_are_dimensions_where_the_shop_says_so(
    attributes: bytes, further: tuple[str | None, ...]
) -> None:
    """Whatever else they hold: attributes are no reason to refuse an event."""
    taken = decode(as_json(GOOD)[:-1] + b', "attributes": ' + attributes + b"}", OWN)
    assert isinstance(taken, Touchpoint)
    assert taken.further == further
    assert taken.dims[5:] == further


@pytest.mark.parametrize("payload", ACCEPTED.values(), ids=ACCEPTED.keys())
def test_accepted(payload: bytes) -> None:
    assert isinstance(decode(payload), Touchpoint)
    assert isinstance(explain(payload), TouchpointEvent)


@pytest.mark.parametrize(
    ("text", "millis"),
    [
        ("1970-01-01T00:00:00Z", 0),
        ("1970-01-01t00:00:00.001z", 1),
        ("1970-01-01T01:00:00.0019+01:00", 1),
        ("1969-12-31T23:30:00-00:30", 0),
        ("2026-03-02T09:00:00.123999999Z", 1_772_442_000_123),
        ("2199-12-31T23:59:59.999Z", 7_258_118_399_999),
    ],
)
def test_digits_past_the_third_are_cut_off_and_offsets_counted(text: str, millis: int) -> None:
    event = decode(as_json(GOOD | {"occurred_at": text}))
    assert isinstance(event, Touchpoint)
    assert event.at_ms == millis


def test_no_message_takes_long_however_hostile() -> None:
    """Unclosed strings full of quotes made the nesting check quadratic: 32 KiB took 5 s."""
    started = time.process_time()
    assert isinstance(decode(b"[" * 600 + b'"' + b'\\"' * 500_000), Refusal)
    assert time.process_time() - started < 5


def test_huge_scores_neither_raise_nor_round_to_infinity() -> None:
    for score, scale, satisfied in ((1e305, 1e305, True), (1, 1e308, False)):
        event = decode(as_json(ANSWER | {"score": score, "scale": scale}))
        assert isinstance(event, Touchpoint)
        assert (5 * event.score_units >= 4 * event.scale_units) is satisfied


def test_amounts_are_rounded_half_to_even_in_ten_thousandths() -> None:
    amounts = {0.00005: 0, 0.00025: 2, 0.0003: 3, 19.99: 199_900, 1e12: 10**16}
    for value, units in amounts.items():
        event = decode(as_json(GOOD | {"value": value}))
        assert isinstance(event, Touchpoint)
        assert event.amount == units


SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.floats(allow_nan=False),
    st.text(max_size=70),
    st.sampled_from([*EVENT_TYPES[:3], "survey_answered", "web", "pos", "nps", "csat", "ces", "EUR", "eur"]),
    st.sampled_from(["2026-03-02T09:00:00Z", "2026-03-02T09:00:00.5+01:00", "2026-03-02 09:00:00Z"]),
)
ANYTHING = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner, max_size=2)
)
OVERRIDES = st.dictionaries(st.sampled_from([*TouchpointEvent.model_fields, "other"]), ANYTHING, max_size=3)


@settings(max_examples=600)
@given(st.sampled_from([GOOD, ANSWER]), OVERRIDES, st.sets(st.sampled_from(sorted(GOOD)), max_size=1))
@example(GOOD, {"value": 123456789012345678}, set())
def test_fast_and_reference_decoder_accept_and_refuse_the_same(
    base: dict[str, Any], changes: dict[str, Any], missing: set[str]
) -> None:
    fields = {name: value for name, value in (base | changes).items() if name not in missing}
    assert_agreement(json.dumps(fields).encode())


@settings(max_examples=600)
@given(st.integers(0, 400), st.binary(max_size=3), st.integers(0, 3))
def test_they_agree_on_damaged_messages(place: int, put: bytes, cut: int) -> None:
    payload = event_json(0, type="product_added", value=1.5, device="mobile", attributes={"a": [1, "é"]})
    place = min(place, len(payload))
    assert_agreement(payload[:place] + put + payload[place + cut :])


def assert_agreement(payload: bytes) -> None:
    fast, reference = decode(payload), explain(payload)
    if isinstance(reference, Refusal):
        assert fast == reference
        return
    assert isinstance(fast, Touchpoint)
    for name in (
        "event_id",
        "type",
        "channel",
        "session_id",
        "customer_id",
        "visitor_id",
        "order_id",
        *DIMENSIONS,
        "currency",
        "step",
    ):
        assert getattr(fast, name) == getattr(reference, name), name
    assert fast.at_ms == parse_rfc3339(reference.occurred_at)
    assert fast.amount == (None if reference.value is None else to_units(reference.value))
    assert fast.survey == reference.survey
    if reference.survey is not None:
        assert reference.score is not None
        scale = DEFAULT_SCALE[reference.survey] if reference.scale is None else reference.scale
        assert (fast.score_units, fast.scale_units) == (to_units(reference.score), to_units(scale))
