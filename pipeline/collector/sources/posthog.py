"""PostHog's capture API, as its SDKs for browsers, apps and servers use it.

Source: PostHog's documentation of the capture API; the SDKs' own requests. Commerce events are custom there: their
names are read as Segment's specification has them.
"""

from base64 import b64decode
from binascii import Error as Base64Error
from collections.abc import Mapping
from typing import Any, Final

import msgspec

from pipeline.collector.agents import device_of
from pipeline.collector.bodies import Body, BodyError, Kind, decode_body
from pipeline.collector.converters import digest, iso_ms, number_of, text_of
from pipeline.collector.families import Family, NotTakenApartError, Reply
from pipeline.collector.incoming import Apart, Incoming, Native
from pipeline.collector.paths import found
from pipeline.collector.sources.shapes import answer, survey_of, time_or_none
from pipeline.collector.sources.vocabulary import commerce_rules, snake_case
from pipeline.collector.tables import Rule, Table

_APP: Final = ("posthog-ios", "posthog-android", "posthog-react-native", "posthog-flutter")
_PAGES: Final = ("web", "js")
_MOST_BYTES: Final = 20_000_000


def _property(native: Native, name: str) -> Any:
    return found(native.event, ("properties", name))


def _distinct(native: Native) -> str | None:
    own = native.event.get("distinct_id") or _property(native, "distinct_id")
    return text_of(own) if own else None


def _customer(native: Native) -> str | None:
    """A distinct id is a customer's only once somebody has said so; before, it is the device's."""
    user = _property(native, "$user_id")
    if user is not None:
        return text_of(user)
    is_known = _property(native, "$is_identified") is True or _property(native, "$is_server") is True
    return _distinct(native) if is_known else None


def _visitor(native: Native) -> str | None:
    device = _property(native, "$device_id")
    if device is not None:
        return text_of(device)
    return None if _customer(native) is not None else _distinct(native)


def _session(native: Native) -> str | None:
    own = _property(native, "$session_id")
    if own is not None:
        return text_of(own)
    whose = _distinct(native)
    return f"{whose}.{native.day}" if whose else None


def _channel(native: Native) -> str:
    is_app = str(_property(native, "$lib") or "") in _APP
    return "app" if is_app else str(native.source.get("channel", "web"))


def _device(native: Native) -> str | None:
    own = _property(native, "$device_type")
    if own is not None:
        return text_of(own).lower()
    return device_of(str(_property(native, "$raw_user_agent") or ""))


def _event_id(native: Native) -> str:
    own = native.event.get("uuid") or _property(native, "$insert_id")
    return text_of(own) if own else digest(msgspec.json.encode(native.event, order="deterministic").decode())


def _time(native: Native) -> int | None:
    own = native.event.get("timestamp")
    if own:
        return iso_ms(own)
    offset = native.event.get("offset")
    return native.request.received_ms - int(number_of(offset)) if offset is not None else None


def _survey(native: Native) -> str:
    return str(_property(native, "$survey_id") or "")


def _score(native: Native) -> Any:
    question = survey_of(native, _survey(native)).get("question")
    return _property(native, f"$survey_response_{question}" if question else "$survey_response")


def _take_apart(request: Incoming, body: Body) -> Apart:
    content = _content(body)
    batch = content if isinstance(content, Mapping) and "batch" in content else {}
    events = batch["batch"] if batch else content if isinstance(content, list) else [content]
    if not isinstance(events, list) or not all(isinstance(one, dict) for one in events):
        raise NotTakenApartError('events are JSON objects, alone, in a list or as "batch"')
    first = events[0] if events else {}
    library = str(found(first, ("properties", "$lib")) or "")
    sent = batch.get("sent_at") or first.get("sent_at")
    # Its server SDKs say the same sent_at again when they try again: that tells nothing of their clock.
    is_server = library not in (*_PAGES, *_APP)
    return Apart(events, batch, time_or_none(sent), is_server)


def _content(body: Body) -> Any:
    if body.kind is Kind.JSON:
        return body.content
    if body.kind is not Kind.FORM or "data" not in body.content:
        raise NotTakenApartError("JSON is wanted, or a form with JSON in its field data")
    text = body.content["data"]
    try:
        packed = text.encode() if text.lstrip()[:1] in ("{", "[") else b64decode(text.replace(" ", "+"))
        inner = decode_body(packed, "", _MOST_BYTES)
    except (Base64Error, BodyError) as error:
        raise NotTakenApartError(f"data: {error}") from error
    if inner.kind is not Kind.JSON:
        raise NotTakenApartError("data: no JSON")
    return inner.content


def _keys(request: Incoming, body: Body) -> list[str]:
    try:
        content = _content(body)
    except NotTakenApartError:
        return []
    first = content[0] if isinstance(content, list) and content else content
    if not isinstance(first, Mapping):
        return []
    some = first.get("batch")
    inner = some[0] if isinstance(some, list) and some else first
    named = (first.get("api_key"), first.get("token"), found(inner, ("properties", "token")), inner.get("api_key"))
    return [one for one in named if isinstance(one, str) and one]


def _hand_shake(request: Incoming, _source: Mapping[str, Any]) -> Reply | None:
    """Flags and configuration: there are none. Recordings are not wanted."""
    path = request.path.rstrip("/")
    if request.method == "GET" or path.endswith(("/flags", "/decide")):
        is_script = path.endswith(".js")
        return Reply(200, b"" if is_script else b"{}", "text/javascript" if is_script else "application/json")
    return Reply(200, b'{"status":"Ok"}') if path.endswith("/s") else None


TABLE: Final = Table(
    kind="event",
    name=snake_case,
    rules={
        "$pageview": [Rule("page_viewed")],
        "$screen": [Rule("page_viewed")],
        "$rageclick": [Rule("rage_clicked")],
        "$dead_click": [Rule("dead_clicked")],
        "$exception": [Rule("error_shown")],
        "survey_sent": [answer(_survey, _score, event_id="properties.$survey_submission_id | str ?? uuid | str")],
        **commerce_rules(),
    },
    fields={
        "event_id": _event_id,
        "occurred_at": _time,
        "channel": _channel,
        "session_id": _session,
        "customer_id": _customer,
        "visitor_id": _visitor,
        "device": _device,
        "campaign": "properties.utm_campaign | str",
        "step": "properties.step | str",
        "sku": "properties.sku | str ?? properties.product_id | str",
        "quantity": "properties.quantity | num",
    },
)
FAMILIES: Final = (
    Family(
        "posthog",
        TABLE,
        _take_apart,
        Reply(200, b'{"status":"Ok"}'),
        keys_of=_keys,
        hand_shake=_hand_shake,
        user_agent="properties.$raw_user_agent ?? @user-agent",
        is_in_pages=True,
    ),
)
