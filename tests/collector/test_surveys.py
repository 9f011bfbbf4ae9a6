"""Typeform, Qualtrics, Delighted, surveys of PostHog: made from the vendors' public documents."""

from typing import Any

from tests.collector.support import AT, AT_MS_TEXT, NOW_MS, ignored, intake, one, problem, request, touchpoints

SURVEYS = {
    "q1": {"survey": "nps", "scale": None, "rescale": False},
    "q2": {"survey": "ces", "scale": 5, "rescale": True},
}


def typeform(*answers: dict[str, Any]) -> dict[str, Any]:
    response = {"token": "t1", "submitted_at": AT, "hidden": {"session_id": "s1"}, "answers": [*answers]}
    return {"event_id": "e", "event_type": "form_response", "form_response": response}


def test_answers_of_typeform() -> None:
    body = typeform(
        {"type": "number", "number": 9, "field": {"id": "x", "ref": "q1"}},
        {"type": "number", "number": 5, "field": {"id": "y", "ref": "q2"}},
        {"type": "text", "text": "nice", "field": {"id": "z", "ref": "q3"}},
    )
    source = intake("typeform", surveys=SURVEYS)
    taken = source.take(request(body))
    assert taken.ignored == {"another question": 1}
    found = touchpoints(source, request(body))
    assert [(event["survey"], event["score"], event.get("scale")) for event in found] == [
        ("nps", 9.0, None),
        ("ces", 7.0, None),
    ]
    assert {event["session_id"] for event in found} == {"s1"}
    assert len({event["event_id"] for event in found}) == 2


def test_an_effort_score_of_five_points_is_refused_unless_it_is_to_be_spread() -> None:
    strict = {"q2": {"survey": "ces", "scale": 5, "rescale": False}}
    body = typeform({"type": "number", "number": 5, "field": {"ref": "q2"}})
    assert "scale" in problem("typeform", body, surveys=strict)


def test_qualtrics() -> None:
    body = {
        "response_id": "R_1",
        "survey_id": "q1",
        "score": "9",
        "recorded_at": "2026-11-28 03:59:00",
        "session_id": "s1",
    }
    found = one("qualtrics", body, surveys=SURVEYS)
    assert (found["survey"], found["score"], found["occurred_at"]) == ("nps", 9.0, AT_MS_TEXT)
    form = b"Topic=t&Status=Complete&SurveyID=SV_1&ResponseID=R_1"
    assert ignored("qualtrics", form) == ["completedResponse without its answer"]
    assert "no [sources.NAME.surveys" in problem("qualtrics", {**body, "survey_id": "SV_9"}, surveys=SURVEYS)


def test_delighted() -> None:
    data = {
        "id": "d1",
        "survey_type": "nps",
        "score": 10,
        "created_at": NOW_MS // 1_000 - 60,
        "person_properties": {},
    }
    surveys = {"nps": SURVEYS["q1"]}
    found = one("delighted", {"event_type": "survey_response.created", "event_data": data}, surveys=surveys)
    assert (found["score"], found["session_id"], found["occurred_at"]) == (10.0, "dl-d1", AT_MS_TEXT)
    changed = {"event_type": "survey_response.updated", "event_data": data}
    assert ignored("delighted", changed, surveys=surveys) == ["survey_response.updated"]


def test_a_survey_of_posthog() -> None:
    properties = {"$survey_id": "q1", "$survey_response": "9", "$session_id": "s1", "$survey_submission_id": "u1"}
    event = {"event": "survey sent", "uuid": "x", "timestamp": AT, "distinct_id": "d", "properties": properties}
    assert one("posthog", event, surveys=SURVEYS)["score"] == 9.0
    assert "surveys" in problem("posthog", event)
