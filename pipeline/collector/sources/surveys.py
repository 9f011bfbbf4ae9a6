"""Surveys: Qualtrics, Typeform, Delighted, Zoho Survey.

Sources: the vendors' public documentation. Which question is CSAT, NPS or CES, and on which scale, is configured;
an answer without that is a dead letter. Its session and customer are what the shop has put into the survey's link.
"""

from typing import Any, Final

import msgspec

from pipeline.collector.bodies import Body, Kind
from pipeline.collector.converters import digest
from pipeline.collector.families import Family, NotTakenApartError, Reply
from pipeline.collector.incoming import Apart, Incoming, Native
from pipeline.collector.paths import found
from pipeline.collector.sources.shapes import answer, channel_of, json_object
from pipeline.collector.tables import Table

_CHOICES: Final = ("number", "boolean", "text")


def _typeform(request: Incoming, body: Body) -> Apart:
    """An event for each answer: which of them count is configured by the question's reference."""
    content = json_object(request, body).events[0]
    response = content.get("form_response")
    if content.get("event_type") != "form_response" or not isinstance(response, dict):
        return Apart([{"type": str(content.get("event_type", ""))}], is_trusted=True)
    answers = [one for one in response.get("answers") or () if isinstance(one, dict)]
    return Apart([{"response": response, "answer": one} for one in answers], is_trusted=True)


def _question(native: Native) -> str:
    names = [found(native.event, ("answer", "field", name)) for name in ("ref", "id")]
    surveys = native.source.get("surveys") or {}
    return next((str(one) for one in names if one in surveys), str(names[0]))


def _typeform_kind(native: Native) -> str:
    if "answer" not in native.event:
        return str(native.event.get("type", ""))
    return "answer" if _question(native) in (native.source.get("surveys") or {}) else "another question"


def _typeform_score(native: Native) -> Any:
    return found(native.event, ("answer", "number"))


def _typeform_id(native: Native) -> str:
    return digest(f"{found(native.event, ('response', 'token'))}:{_question(native)}")


def _qualtrics(_request: Incoming, body: Body) -> Apart:
    """The JSON of a workflow's web service task; or an event subscription's form, whose message is JSON."""
    if body.kind is Kind.JSON and isinstance(body.content, dict):
        return Apart([body.content], is_trusted=True)
    if body.kind is Kind.FORM:
        text = body.content.get("MSG")
        try:
            told = msgspec.json.decode(text.encode()) if text else body.content
        except msgspec.DecodeError as error:
            raise NotTakenApartError("MSG: no JSON; is the subscription encrypted? That is not taken") from error
        if isinstance(told, dict):
            return Apart([told], is_trusted=True)
    raise NotTakenApartError("the JSON of a web service task is wanted, or a form of an event subscription")


def _qualtrics_kind(native: Native) -> str:
    """A subscription tells only that there is an answer; what it is stands in a workflow's message."""
    has_answer = native.event.get("score") is not None
    return "response" if has_answer else "completedResponse without its answer"


def _text(native: Native, *names: str) -> str:
    return next((str(native.event[name]) for name in names if native.event.get(name) is not None), "")


def _delighted_kind(native: Native) -> str:
    """Changes of an answer are told as another event: the first one counts."""
    return str(native.event.get("event_type", ""))


def _data(native: Native, *steps: str) -> Any:
    return found(native.event, ("event_data", *steps))


TYPEFORM: Final = Table(
    kind=_typeform_kind,
    rules={"answer": [answer(_question, _typeform_score)]},
    fields={
        "event_id": _typeform_id,
        "occurred_at": "response.submitted_at | iso",
        "channel": channel_of,
        "session_id": "response.hidden.session_id | str ?? response.token | str",
        "customer_id": "response.hidden.customer_id | str",
        "store_id": "response.hidden.store_id | str",
    },
)
QUALTRICS: Final = Table(
    kind=_qualtrics_kind,
    rules={
        "response": [
            answer(
                lambda native: _text(native, "question_id", "survey_id"), lambda native: native.event.get("score")
            )
        ]
    },
    fields={
        "event_id": "response_id | hash",
        "occurred_at": "recorded_at | iso_naive(%time_zone)",
        "channel": channel_of,
        "session_id": "session_id | str ?? response_id | str",
        "customer_id": "customer_id | str",
        "store_id": "store_id | str",
    },
)
DELIGHTED: Final = Table(
    kind=_delighted_kind,
    rules={
        "survey_response.created": [
            answer(lambda native: str(_data(native, "survey_type")), lambda native: _data(native, "score"))
        ]
    },
    fields={
        "event_id": "event_data.id | prefix(dl-)",
        "occurred_at": "event_data.created_at | epoch_s",
        "channel": channel_of,
        "session_id": "event_data.person_properties.session_id | str ?? event_data.id | prefix(dl-)",
        "customer_id": "event_data.person_properties.customer_id | str",
        "store_id": "event_data.person_properties.store_id | str",
    },
)
FAMILIES: Final = (
    Family("typeform", TYPEFORM, _typeform, Reply(200), scheme="typeform", user_agent="''"),
    Family("qualtrics", QUALTRICS, _qualtrics, Reply(200), scheme="qualtrics", user_agent="''"),
    Family("delighted", DELIGHTED, json_object, Reply(200), scheme="delighted", user_agent="''"),
)
