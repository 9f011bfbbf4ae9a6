"""No customer id is stored where a key is set: not in journeys, not in dead letters, not in their errors."""

import hmac
import json
from dataclasses import replace
from hashlib import sha256

from hypothesis import given
from hypothesis import strategies as st

from pipeline.core.sessions.partition import Partition
from pipeline.model.privacy import Pseudonyms, pseudonym
from pipeline.tools.verify.naive import compute
from tests.support import (
    NAIVE,
    RULES,
    START_MS,
    Store,
    assert_same,
    event_json,
    log_of,
    naive_logs,
    new_windows,
    process,
)

KEY = b"a-key-of-more-than-16-characters"
SOURCE = ("touchpoints.web", 0)


def test_a_pseudonym_is_a_keyed_hmac_and_the_same_every_time() -> None:
    found = pseudonym(KEY, "c-1")
    assert found == hmac.new(KEY, b"c-1", "sha256").hexdigest()[:32]
    assert found == Pseudonyms(KEY).of("c-1") != pseudonym(KEY[::-1], "c-1")


def test_journeys_carry_pseudonyms_and_verify_expects_them() -> None:
    rules, naive = replace(RULES, customer_key=KEY), replace(NAIVE, customer_key=KEY)
    log = log_of(
        [
            event_json(0, type="product_added", customer_id="c-1", visitor_id="v-1"),
            event_json(1_000, type="order_completed"),
            event_json(2_000, type="product_added", session_id="t"),
            event_json(3_000, type="order_completed", session_id="t", customer_id="c-2"),
            7_200_000,
        ]
    )
    found, windows = Store(), new_windows(rules)
    process(Partition("web", rules), SOURCE, log, found, windows)
    found.take_signals(windows)
    while windows.is_behind():
        found.take_signals(windows)
    assert_same(found.tables(), compute(naive_logs({SOURCE: log}), naive))
    customers = {row.customer_id for row in found.tables().journeys.values()}
    assert customers == {pseudonym(KEY, "c-1"), pseudonym(KEY, "c-2")}
    assert {row.visitor_id for row in found.tables().journeys.values()} == {pseudonym(KEY, "v-1"), ""}


BROKEN = [
    event_json(0, type="no_such_type", customer_id="c-1", attributes={"user": {"customer_id": "c-1"}}),
    event_json(0, type="no_such_type", attributes={"raw": '{"customer_id": "c-1"}'}),
    event_json(0, customer_id=["c-1"]),
    b'{"customer\\u005fid": "c-1", "x": 1}',
    b'{"customer_id" : "c-1", "event_id": ',
    b'[{"customer_id":"c-1"}]',
    b"{'customer_id': 'c-1'}",
    b'"{\\"customer_id\\": \\"c-1\\"}"',
    '{"customer_id": "c-1"}'.encode("utf-16"),
    b'{"customer_id": "\\ud83d", "x": "c-1"'[:26] + b"}",
    b'{"customer_id": ' + b"[" * 3_000,
    event_json(0, type="no_such_type", customerId="c-1", session_id="web-c-1"),
    event_json(0, type="no_such_type", user_id="c-1", email="c-1@example.com", store_id="c-1"),
    event_json(0, type="c-1"),
    event_json(0, channel="c-1"),
    event_json(0, occurred_at="c-1"),
    event_json(0, session_id={"customer": "c-1"}),
    event_json(0, store_id=["c-1"]),
    event_json(0, device="c-1" * 40),
    event_json(0, currency="c-1"),
    event_json(0, type="survey_answered", survey="csat", score="c-1"),
]


def test_dead_letters_keep_what_is_no_customer() -> None:
    partition = Partition("web", replace(RULES, customer_key=KEY))
    letters = partition.process(log_of(BROKEN), START_MS).dead_letters
    assert len(letters) == len(BROKEN)
    for letter, record in zip(letters, BROKEN, strict=True):
        assert letter.size == len(record)
        assert "c-1" not in letter.error
        assert b"c-1" not in letter.payload
        assert letter.sha256 == hmac.new(KEY, record, "sha256").hexdigest()
    first = json.loads(letters[0].payload)
    assert first["customer_id"] == pseudonym(KEY, "c-1")
    assert "attributes" not in first
    assert first["type"] == "(not shown)"
    assert first["channel"] == "web"
    assert json.loads(letters[3].payload) == {"customer_id": pseudonym(KEY, "c-1")}
    assert [letter.payload for letter in letters[4:8]] == [b""] * 4


def test_without_a_key_they_keep_everything() -> None:
    letters = Partition("web", RULES).process(log_of(BROKEN), START_MS).dead_letters
    assert [letter.payload for letter in letters] == BROKEN
    assert [letter.sha256 for letter in letters] == [sha256(record).hexdigest() for record in BROKEN]


@given(st.binary() | st.text(alphabet='\\\\"ud83{}[]:,customer_id 19', max_size=60).map(str.encode))
def test_no_record_at_all_stops_it(record: bytes) -> None:
    shown = Pseudonyms(KEY).in_payload(record)
    assert shown == b"" or isinstance(json.loads(shown), dict)


@given(st.text(min_size=1, max_size=64), st.text(min_size=1, max_size=64))
def test_of_a_sound_message_the_contracts_fields_stay(customer: str, step: str) -> None:
    message = {"step": step, "customer_id": customer, "region": None, "value": 1.5, "visitor_id": customer}
    found = json.loads(Pseudonyms(KEY).in_payload(json.dumps(message | {"unknown": 7}).encode()))
    is_told = step in ("7", customer) or (len(customer) >= 3 and customer in step)
    shown = "(not shown)" if is_told else step
    who = pseudonym(KEY, customer)
    assert found == {**message, "step": shown, "customer_id": who, "visitor_id": who}


def test_what_other_fields_say_is_not_shown_where_it_stands_in_those_that_are_kept() -> None:
    message = {"userId": 12345, "step": "12345", "session_id": "web-c-1", "device": "mobile", "customerId": "c-1"}
    found = json.loads(Pseudonyms(KEY).in_payload(json.dumps(message).encode()))
    assert found == {"step": "(not shown)", "session_id": "(not shown)", "device": "mobile"}


def test_absent_customers_stay_absent() -> None:
    assert Pseudonyms(KEY).in_payload(b'{"customer_id": null}') == b'{"customer_id": null}'
    assert Pseudonyms(KEY).in_payload(b'{"customer_id": "\\ud83d"}') != b""
