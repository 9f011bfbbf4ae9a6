"""No customer id is stored where a key is set: not in journeys, not in dead letters, not in their errors."""

import hmac
import json
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from pipeline.core.partition import Partition
from pipeline.verification.naive import compute
from schemas.privacy import Pseudonyms, pseudonym
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
            event_json(0, type="product_added", customer_id="c-1"),
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


def test_dead_letters_keep_everything_but_the_customer() -> None:
    broken = [
        event_json(0, type="no_such_type", customer_id="c-1"),
        b'{"customer_id" : "c-1", "event_id": ',
        b'[{"customer_id":"c-1"}]',
        b'{"customer_id":"c-1',
        event_json(0, customer_id=["c-1"]),
        b'{"customer_id": "c\\u002d1\\"", "x": 1}',
    ]
    partition = Partition("web", replace(RULES, customer_key=KEY))
    letters = partition.process(log_of(broken), START_MS).dead_letters
    assert len(letters) == len(broken)
    for letter, record in zip(letters, broken, strict=True):
        assert letter.size == len(record)
        assert "c-1" not in letter.error
    kept = [letter.payload for letter in letters]
    assert all(b"c-1" not in payload for payload in kept)
    assert json.loads(kept[0])["customer_id"] == pseudonym(KEY, "c-1")
    assert json.loads(kept[0])["type"] == "no_such_type"
    assert json.loads(kept[5])["customer_id"] == pseudonym(KEY, 'c-1"')
    plain = Partition("web", RULES).process(log_of(broken), START_MS).dead_letters
    assert [letter.payload for letter in plain] == broken
    assert [letter.sha256 for letter in plain] == [letter.sha256 for letter in letters]


@given(st.text(), st.text())
def test_a_sound_message_differs_in_nothing_else(customer: str, other: str) -> None:
    message = {"a": other, "customer_id": customer, "b": None}
    found = json.loads(Pseudonyms(KEY).in_payload(json.dumps(message).encode()))
    assert found == {**message, "customer_id": pseudonym(KEY, customer)}


def test_absent_customers_stay_absent() -> None:
    assert Pseudonyms(KEY).in_payload(b'{"customer_id": null}') == b'{"customer_id": null}'
