"""Any other JSON, form or file: which event is what, and where its fields are, the file of sources says."""

from collections.abc import Callable, Mapping
from typing import Any, Final

from pipeline.collector.bodies import Body, Kind
from pipeline.collector.families import Family, NotTakenApartError, Reply
from pipeline.collector.incoming import Apart, Incoming, Native
from pipeline.collector.paths import reader
from pipeline.collector.tables import Table

KIND: Final = "json"


def _take_apart(request: Incoming, body: Body) -> Apart:
    """One object, a list of them, or a form. Where events stand deeper, ``each`` says where."""
    if body.kind not in (Kind.JSON, Kind.FORM):
        raise NotTakenApartError("JSON or a form is wanted")
    content = body.content
    events = content if isinstance(content, list) else [content]
    if not all(isinstance(one, dict) for one in events):
        raise NotTakenApartError("events are JSON objects")
    return Apart(events, is_trusted=True)


def apart_at(path: str) -> Family:
    """The family whose events stand in a list at that path of the body. Raises ExpressionError."""
    of = reader(path)

    def take_apart(request: Incoming, body: Body) -> Apart:
        if body.kind is not Kind.JSON or not isinstance(body.content, dict):
            raise NotTakenApartError("a JSON object is wanted")
        events = of(Native(body.content, {}, request, {}, 0))
        if not isinstance(events, list) or not all(isinstance(one, dict) for one in events):
            raise NotTakenApartError(f"{path}: a list of JSON objects is wanted")
        return Apart(events, body.content, is_trusted=True)

    return _family(take_apart)


def _try_out(request: Incoming, _source: Mapping[str, Any]) -> Reply | None:
    """Adobe I/O and others try an address by a GET whose challenge has to come back."""
    if request.method != "GET" or not (challenge := request.query.get("challenge", "")):
        return None
    return Reply(200, challenge.encode(), "text/plain", {"X-Content-Type-Options": "nosniff"})


def _family(take_apart: Callable[[Incoming, Body], Apart]) -> Family:
    return Family(
        KIND,
        _NOTHING,
        take_apart,
        Reply(200),
        scheme="standard_webhooks",
        hand_shake=_try_out,
        user_agent="''",
    )


#: Until the file of sources says what is what.
_NOTHING: Final = Table(kind="''", rules={}, fields={})
FAMILIES: Final = (_family(_take_apart),)
