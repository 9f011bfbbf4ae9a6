"""Texts of others on a terminal, in logs and in JSON lines: shown, and doing nothing."""

import json
import logging
from typing import Any

import pytest
from confluent_kafka import Message

from pipeline.cli.table import table_lines
from pipeline.cli.tail import describe
from pipeline.logs import PlainRecord
from schemas.plain import json_shown, shown

CONTROLS = "".join(map(chr, [*range(0x20), *range(0x7F, 0xA0)]))
TRICKS = "\u202e\u2066\u200e\u2028\u2029\ufeff\U000e0001\ufff9\ud83d"
ODD = CONTROLS + TRICKS
FINE = "é 日本 😀 \u0627"


def test_what_is_not_printable_is_escaped_and_the_rest_stays() -> None:
    assert shown(FINE) == FINE
    assert shown(ODD).isprintable()
    assert shown("a\x1b[2Jb\r\n") == "a\\x1b[2Jb\\r\\n"
    assert shown("x" * 10, 5) == "xxxx…"
    shown(ODD).encode()


def test_json_says_the_same_with_everything_escaped() -> None:
    value = {"k" + ODD: [ODD, FINE, 1.5, None]}
    text = json_shown(value)
    assert json.loads(text) == value
    assert text.isprintable()
    assert FINE in text


@pytest.mark.parametrize(
    "value",
    [
        {"signal": ODD, "window_end": ODD, "lower": None, "upper": "x", "value": 10**400, "denominator": True},
        {"signal": "s", "window_end": "w"},
        {"alert_id": ODD, "updated_at": None, "explanation": ODD, "status": [ODD], "rule": {ODD: ODD}},
        {"journey_id": ODD, "session_id": ODD, "value": float("nan"), "store_id": 7},
        {"reason": ODD, "error": ODD, "partition": ODD},
        [ODD],
        ODD,
        None,
    ],
)
def test_a_line_of_a_table_is_a_line_whatever_is_in_it(value: Any) -> None:
    for line in table_lines(value, with_head=True):
        assert line.isprintable()
        line.encode()


@pytest.mark.parametrize(
    "value", [b"\xff\x1b[2J", b"[" * 100_000, b'{"a": "\\ud83d\\u001b"}', b"", None, b"1e999"]
)
@pytest.mark.parametrize("key", [b"\xff\x1b", None])
def test_any_message_can_be_shown(value: bytes | None, key: bytes | None) -> None:
    message = Message(topic="t", partition=0, offset=1, key=key, value=value)
    text = json_shown(describe(message))
    assert text.isprintable()
    text.encode()


def test_a_log_line_is_one_line_and_has_an_end() -> None:
    said = PlainRecord(
        "pipeline.x", logging.WARNING, "x", 1, "said: %s", (f"{ODD}\nERROR: false",), None
    ).getMessage()
    assert said.isprintable()
    long = PlainRecord("pipeline.x", logging.WARNING, "x", 1, "%s", ("x" * 10**6,), None).getMessage()
    assert len(long) < 10_000
    of_others = PlainRecord("faust.x", logging.INFO, "x", 1, "a\nb\x1b", (), None).getMessage()
    assert of_others == "a\nb\\x1b"
