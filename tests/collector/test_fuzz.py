"""A hundred thousand damaged requests: nothing but an error that says what is wrong ever comes of one."""

import json
import random
import resource
import zlib
from collections import Counter
from typing import Any

import pytest

from pipeline.collector.bodies import BodyError
from pipeline.collector.families import NotTakenApartError
from pipeline.collector.incoming import Incoming
from pipeline.collector.intake import Intake, TooManyEventsError
from pipeline.collector.signatures import AuthenticationError
from schemas.decoding import decode
from schemas.touchpoint import Touchpoint
from tests.collector.support import CAPTURES, captured, intake, request
from tests.collector.test_captures import CONFIGURED, NAMES, family_of
from tests.collector.test_contacts import connect, zendesk
from tests.collector.test_shops import ORDER, PIXEL, WOO, square
from tests.collector.test_surveys import SURVEYS, typeform
from tests.collector.test_tills import POSLOG

REFUSED = (AuthenticationError, BodyError, NotTakenApartError, TooManyEventsError)
#: In place of any value: what a decoder may not have thought of.
ODD: list[Any] = [
    None,
    True,
    0,
    -1,
    1.5,
    10**30,
    "",
    "x" * 300,
    "\ud800",
    "1e400",
    "NaN",
    [],
    {},
    [[]],
    {"a": {}},
    [None],
]
SHOPIFY = {"x-shopify-topic": "orders/create"}
BODIES: list[tuple[str, Any, dict[str, str]]] = [
    ("shopify", ORDER, SHOPIFY),
    ("shopify_pixel", PIXEL, {}),
    ("woocommerce", WOO, {"x-wc-webhook-topic": "order.created"}),
    ("square", square("payment.updated", id="p", status="COMPLETED", total_money={"amount": 1}), {}),
    ("typeform", typeform({"number": 9, "field": {"ref": "q1"}}), {}),
    ("zendesk", zendesk("ticket.created"), {}),
    ("zoho_desk", [{"eventType": "Ticket_Add", "eventTime": "1", "payload": {"id": "9", "channel": "Chat"}}], {}),
    ("amazon_connect", connect("DISCONNECTED", queueInfo={"queueArn": "q"}), {}),
    (
        "intercom",
        {"topic": "conversation.user.created", "id": "x", "created_at": 1, "data": {"item": {"id": 1}}},
        {},
    ),
    ("genesys", {"detail-type": "a.b.customer.start", "id": "1", "detail": {"eventBody": {"eventTime": 1}}}, {}),
    ("ga4", {"client_id": "c", "events": [{"name": "purchase", "params": {"session_id": "1", "items": []}}]}, {}),
    ("ga4_export", {"event_name": "purchase", "event_params": [{"key": "a", "value": {"int_value": 1}}]}, {}),
    ("tag", {"key": "k", "events": [{"type": "page_viewed", "event_id": "1", "session_id": "s"}]}, {}),
]


def seeds() -> list[tuple[Intake, Incoming]]:
    found = []
    for name in NAMES:
        for _, told, asked in captured(CAPTURES / f"{name}.ndjson"):
            family = family_of(name, told["path"])
            found.append((intake(family, **CONFIGURED.get(family, {})), asked))
    for family, body, headers in BODIES:
        found.append((intake(family, surveys=SURVEYS), request(body, headers=headers)))
    found.append((intake("poslog"), request(POSLOG.encode())))
    return found


def damaged(chance: random.Random, asked: Incoming) -> Incoming:
    raw, query = asked.raw, dict(asked.query)
    if raw[:2] == b"\x1f\x8b" and chance.random() < 0.8:
        raw = zlib.decompress(raw, 31)
    if raw[:1] in (b"{", b"[") and chance.random() < 0.7:
        raw = json.dumps(odd(chance, json.loads(raw))).encode()
    elif raw:
        raw = bytes_damaged(chance, raw)
    if query and (not raw or chance.random() < 0.2):
        name = chance.choice([*query])
        query[name] = chance.choice(
            ["", "x", "eyJ", "1" * 400, "\x00", query[name][: chance.randrange(1 + len(query[name]))]]
        )
    return Incoming(asked.method, asked.path, query, asked.headers, raw, asked.received_ms, asked.query_text)


def odd(chance: random.Random, value: Any) -> Any:
    """One or a few of its values are something else, or somewhere else, or gone."""
    for _ in range(chance.randint(1, 3)):
        value = odd_once(chance, value, chance.randint(0, 6))
    return value


def odd_once(chance: random.Random, value: Any, depth: int) -> Any:
    if depth and isinstance(value, dict) and value:
        name = chance.choice([*value])
        if chance.random() < 0.05:
            return {key: one for key, one in value.items() if key != name}
        return {**value, name: odd_once(chance, value[name], depth - 1)}
    if depth and isinstance(value, list) and value:
        at = chance.randrange(len(value))
        return [*value[:at], odd_once(chance, value[at], depth - 1), *value[at + 1 :]]
    return chance.choice(ODD)


def bytes_damaged(chance: random.Random, raw: bytes) -> bytes:
    at, kind = chance.randrange(len(raw)), chance.randrange(4)
    if kind == 0:
        return raw[:at]
    if kind == 1:
        return raw[:at] + bytes([chance.randrange(256)]) + raw[at + 1 :]
    if kind == 2:
        return raw[:at] + raw[at // 2 : at] * 3 + raw[at:]
    return raw[at:] + raw[:at]


@pytest.mark.parametrize("seed", range(4))
def test_no_damaged_request_is_more_than_an_error(seed: int) -> None:
    chance, sources = random.Random(seed), seeds()
    before_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    outcomes = Counter[str]()
    for _ in range(25_000):
        source, asked = chance.choice(sources)
        asked = damaged(chance, asked)
        try:
            if source.hand_shake(asked) is not None:
                continue
            taken = source.take(asked)
        except REFUSED:
            outcomes["refused"] += 1
            continue
        assert all(taken.problems)
        for one in taken.finished:
            # What is sent on the pipeline takes: never a figure that it would refuse, or read otherwise.
            assert isinstance(decode(one.payload), Touchpoint)
        outcomes.update(finished=len(taken.finished), problems=len(taken.problems))
    assert min(outcomes["refused"], outcomes["finished"], outcomes["problems"]) > 300
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss < before_kib + 200_000
