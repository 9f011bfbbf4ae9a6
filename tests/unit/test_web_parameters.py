"""Bad parameters are refused with what is allowed; cursors come back as they were."""

import pytest
from multidict import MultiDict

from pipeline.settings import Settings
from pipeline.web import asked as api
from pipeline.web.catalogue import catalogue
from pipeline.web.parameters import ParameterError, from_cursor, parse, to_cursor

NAMES = catalogue(Settings())


def faults(model: type[api.Parameters], *given: tuple[str, str]) -> dict[str, str]:
    with pytest.raises(ParameterError) as refused:
        parse(model, MultiDict(given), NAMES)
    return {fault.parameter: fault.message for fault in refused.value.faults}


def test_what_is_not_given_has_its_default() -> None:
    asked = parse(api.CurrentParameters, MultiDict(), NAMES)
    assert asked == api.CurrentParameters(limit=100, window="5m")


def test_all_that_is_wrong_is_said_at_once_with_what_is_allowed() -> None:
    found = faults(api.CurrentParameters, ("limit", "5000"), ("window", "3m"), ("colour", "red"))
    assert "1000" in found["limit"]
    assert "'1m', '5m', '15m' or '1h'" in found["window"]
    assert found["colour"] == "no such parameter; there are: at, limit, cursor, segment, dimension, signal, window"


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (("signal", "happiness"), "there are: csat, nps, ces, friction, search_abandonment"),
        (("dimension", "device|channel"), "there are: all, channel, store_id, region, channel|device"),
        (("segment", "web"), "no segment: write all, channel=web"),
        (("segment", "device=mobile|channel=web"), "alphabetical order: channel=web|device=mobile"),
        (("segment", "store_id='; DROP TABLE x=1"), "percent-encoded"),
        (("cursor", "a b"), "match pattern"),
    ],
)
def test_names_that_there_are_not(given: tuple[str, str], said: str) -> None:
    assert said in faults(api.CurrentParameters, given)[given[0]]


def test_a_parameter_given_twice_and_one_left_out() -> None:
    assert faults(api.HistoryParameters, ("window", "1m"), ("window", "5m")) == {"window": "given more than once"}
    assert "required" in faults(api.HistoryParameters, ("window", "1m"))["signal"]


def test_times_need_an_offset_and_are_brought_into_what_events_can_have() -> None:
    assert "timezone" in faults(api.AlertsParameters, ("from", "2026-03-02T11:00:00"))["from"]
    assert "since" in faults(api.AlertsParameters, ("since", "2026-03-02T11:00:00Z"))
    asked = parse(api.AlertsParameters, MultiDict([("from", "0001-01-01T00:00:00Z")]), NAMES)
    assert asked.span_ms == (0, 7_258_118_400_000)
    asked = parse(api.AlertsParameters, MultiDict([("to", "1970-01-01T01:00:00.25+01:00")]), NAMES)
    assert asked.span_ms == (0, 250)


def test_a_cursor_is_what_it_was_made_of_and_nothing_else_is_one() -> None:
    cursor = to_cursor(7, "channel=web|store=ä", "csat")
    assert api.Paged(cursor=cursor).cursor == cursor
    assert from_cursor(cursor, int, str, str) == (7, "channel=web|store=ä", "csat")
    assert from_cursor(None, int) == ()
    for other in ("AAAA", "e30", to_cursor("7"), to_cursor(7, 7)):
        with pytest.raises(ParameterError, match="next"):
            from_cursor(other, int)
