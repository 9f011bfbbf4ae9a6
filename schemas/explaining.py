"""The reference decoder: pydantic's word on a message, and what is wrong with it in words."""

import re
from typing import Any, Final

import msgspec
from pydantic import ValidationError

from schemas.events import ATTRIBUTES_BYTES, MAX_MESSAGE_BYTES, MAX_NESTING, TouchpointEvent
from schemas.reasons import Reason, Refusal
from schemas.vocabulary import CONTRACT, Vocabulary, event_model

_MAX_ERROR_LENGTH: Final = 500
_FIELDS: Final = frozenset(TouchpointEvent.model_fields)
# Possessive, and content with a string that never closes: one pass whatever the message is.
_TOKENS: Final = re.compile(rb'"(?:[^"\\]++|\\.)*+"?|[\[{]|[\]}]', re.DOTALL)
#: Escaped backslashes, and escapes of characters in two halves.
_ESCAPES: Final = re.compile(rb"\\\\|\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}")
_HALF: Final = re.compile(rb"\\u[dD][89a-fA-F][0-9a-fA-F]{2}")
_decode_value = msgspec.json.Decoder().decode
raw_fields = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
"""The fields of a JSON object, each as it was written."""


def check_size_and_nesting(payload: bytes) -> Refusal | None:
    """A refusal of what no decoder should be given."""
    size = len(payload)
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


def explain(payload: bytes, vocabulary: Vocabulary = CONTRACT) -> TouchpointEvent | Refusal:
    """The reference decoder: the event as pydantic sees it, or what is wrong with the message."""
    if refusal := check_size_and_nesting(payload):
        return refusal
    try:
        payload.decode()
    except UnicodeDecodeError as error:
        return _invalid(f"message: not valid UTF-8 at byte {error.start}")
    try:
        raw = raw_fields(payload)
    except msgspec.ValidationError:
        return _invalid(f"message: a JSON object is needed, found {_shorten(payload.decode())}")
    except (msgspec.MsgspecError, RecursionError) as error:
        return _invalid(f"message: {_half_character(payload) or f'not JSON: {error}'}")
    known: dict[str, Any] = {}
    for name in _FIELDS & raw.keys():
        try:
            known[name] = _read_value(name, bytes(raw[name]))
        except (msgspec.MsgspecError, ValueError) as error:
            return _invalid(f"{name}: {_half_character(bytes(raw[name])) or error}")
    sizes = {ATTRIBUTES_BYTES: len(bytes(raw["attributes"])) if "attributes" in raw else 0}
    try:
        return event_model(vocabulary).model_validate(known, context=sizes)
    except ValidationError as error:
        return _invalid(describe_errors(error))


def _read_value(name: str, text: bytes) -> Any:
    # attributes are carried along and never interpreted: only their being an object counts.
    if name == "attributes":
        return {} if text[:1] == b"{" else _decode_value(text)
    return _decode_value(text)


def _half_character(text: bytes) -> str:
    """What is wrong where an escape is half of a pair (RFC 8259, section 8.2); empty where none is.

    Of such a text msgspec says that it was truncated.
    """
    whole = _ESCAPES.sub(lambda found: b"_" * len(found[0]), text)
    half = _HALF.search(whole)
    return f"half a character ({half[0].decode()}) at byte {half.start()}" if half else ""


def describe_errors(error: ValidationError) -> str:
    """All that pydantic found wrong, one clause a field: where, what, and what was there instead."""
    clauses = []
    for item in error.errors(include_url=False, include_context=False):
        where = ".".join(str(part) for part in item["loc"]) or "event"
        found = "" if item["type"] == "missing" or not item["loc"] else _found(item["input"])
        what = _shorten(item["msg"].removeprefix("Value error, "), _MAX_ERROR_LENGTH // 2)
        clauses.append(f"{where}: {what}{found}")
    return _shorten("; ".join(clauses), _MAX_ERROR_LENGTH)


def _found(value: object) -> str:
    return f" (found {_shorten(repr(value))})"


def _shorten(text: str, length: int = 80) -> str:
    return text if len(text) <= length else text[: length - 1] + "…"


def _invalid(error: str) -> Refusal:
    return Refusal(Reason.INVALID, error)
