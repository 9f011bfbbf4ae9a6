"""Both engines read the same of one message."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.core.sessions.partition import Partition
from pipeline.model.records import Record
from pipeline.model.rules import Rules
from tests.contract.test_decoding import ACCEPTED, GOOD, REFUSED, as_json
from tests.property.test_engines import told
from tests.support import OWN_RULES, RULES, START_MS, kept_sessions


def same_entry(payload: bytes) -> None:
    """What is read of one message by either, in the contract's words and in a shop's."""
    for rules in (RULES, OWN_RULES):
        _same_entry(payload, rules)


def _same_entry(payload: bytes, rules: Rules) -> None:
    parts = [Partition("web", rules, is_compiled=is_compiled) for is_compiled in (True, False)]
    outs = [told(part.process([Record(0, -1, payload)], START_MS)) for part in parts]
    assert outs[0] == outs[1]
    logs = [{name: one.entries for name, one in kept_sessions(part).items()} for part in parts]
    assert logs[0] == logs[1]


@pytest.mark.parametrize("payload", [*ACCEPTED.values(), *(payload for payload, _ in REFUSED.values())])
def test_a_message_means_the_same_to_both(payload: bytes) -> None:
    same_entry(payload)


PIECES = [
    b'"',
    b"\\",
    b"{",
    b"}",
    b"[",
    b"]",
    b",",
    b":",
    b" ",
    b"\n",
    b"0",
    b"-",
    b".",
    b"e5",
    b"null",
    b"\xff",
    b"\x00",
    "é".encode(),
]
EXTRAS: dict[str, Any] = {
    "value": 12.5,
    "currency": "EUR",
    "customer_id": "c",
    "visitor_id": "v",
    "order_id": "o",
    "consent": False,
    "step": "s",
    "attributes": {"a": [1, None, "x"], "loyalty": "gold", "tier": "é"},
    "x": [True, {}],
}


@settings(max_examples=1_500)
@given(st.data())
def test_a_message_with_a_bite_taken_out_means_the_same_to_both(data: st.DataObject) -> None:
    payload = as_json(GOOD | EXTRAS)
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(payload)))
        gone = data.draw(st.sampled_from([0, 0, 1, 2, 9]))
        payload = payload[:at] + data.draw(st.sampled_from([b"", *PIECES])) + payload[at + gone :]
    same_entry(payload)


BLANKS = st.sampled_from([b"", b"", b" ", b"\n\t "])


@settings(max_examples=300)
@given(st.data())
def test_fields_in_any_order_and_spacing_one_after_the_other_are_the_same_to_both(data: st.DataObject) -> None:
    """It guesses what comes next by what came last time."""
    fields = [as_json({name: value})[1:-1].partition(b":") for name, value in (GOOD | EXTRAS).items()]
    fields.append((b'"event_idx"', b":", b'"e"'))
    for _ in range(3):
        some = data.draw(st.permutations(fields))[: data.draw(st.integers(9, len(fields)))]
        before, behind = data.draw(BLANKS), data.draw(BLANKS)
        same_entry(b"{" + b",".join(name + before + b":" + behind + value for name, _, value in some) + b"}")


@pytest.mark.parametrize("said", [b"true", b"false", b"null", b"0", b'"false"', b"False", b"fals", b"{}"])
def test_consent_is_the_same_to_both(said: bytes) -> None:
    for rest in (GOOD, GOOD | {"customer_id": "c"}, GOOD | {"visitor_id": "v", "order_id": "o"}):
        payload = as_json(rest)
        same_entry(payload[:-1] + b',"consent":' + said + b"}")
        same_entry(b'{"consent":' + said + b"," + payload[1:])


EDGES = [
    2**50 / 10_000,
    1e11,
    1e12,
    92_233_720_368_547,
    922_337_203_685_477,
    922_337_203_685_478,
    10**15 - 1,
    10**15,
]


@pytest.mark.parametrize("value", [number + step for number in map(int, EDGES) for step in (-1, 0, 1)])
def test_large_values_are_the_same_to_both(value: int) -> None:
    same_entry(as_json(GOOD | {"value": value}))
    same_entry(as_json(GOOD | {"value": value + 0.25}))


@settings(max_examples=500)
@given(
    st.from_regex(r"\A-?(0|[1-9][0-9]{0,16})(\.[0-9]{1,7})?(e[+-]?[0-9]{1,2})?\Z"),
    st.from_regex(
        r"\A(19[67]|20[0-9]|21[89]|220)[0-9]-[01][0-9]-[0-3][0-9]T[0-2][0-9]:[0-6][0-9]:[0-6][0-9](\.[0-9]{1,10})?Z\Z"
    ),
)
def test_numbers_and_times_are_the_same_to_both(number: str, time: str) -> None:
    payload = as_json(GOOD | {"occurred_at": time, "value": 7_777})
    same_entry(payload.replace(b"7777", number.encode()))
