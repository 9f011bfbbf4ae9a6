"""The simulated shop is repeatable, believable, and goes wrong where it is told to."""

import itertools
import json
from collections import Counter

import pytest

from pipeline.tools.simulator.disturbance import Rates, disturb
from pipeline.tools.simulator.traffic import Event, ShopSettings, parse_incident, traffic
from schemas.decoding import decode
from schemas.reasons import Refusal
from schemas.times import parse_rfc3339

NOON = parse_rfc3339("2026-03-02T12:00:00Z")
DAY_MS = 86_400_000


def some(count: int, seed: int = 1, *incidents: str) -> list[Event]:
    on = tuple(parse_incident(text, NOON) for text in incidents)
    return list(itertools.islice(traffic(ShopSettings(20.0, seed, incidents=on), NOON), count))


def kinds(events: list[Event]) -> Counter[str]:
    return Counter(json.loads(event.payload)["type"] for event in events)


def test_the_same_seed_gives_the_same_bytes_and_another_does_not() -> None:
    assert some(2_000) == some(2_000)
    assert some(2_000) != some(2_000, seed=2)


def test_every_event_is_valid_in_order_and_of_its_channel() -> None:
    events = some(5_000)
    assert [event.at_ms for event in events] == sorted(event.at_ms for event in events)
    for event in events:
        decoded = decode(event.payload)
        assert not isinstance(decoded, Refusal), decoded
        assert (decoded.channel, decoded.session_id, decoded.at_ms) == event[1:3] + event[:1]
    assert {event.channel for event in events} == {"web", "app", "pos"}
    assert len(kinds(events)) >= 24


def test_the_rate_is_the_days_mean_and_nights_are_quiet() -> None:
    midnight = NOON - DAY_MS // 2
    events = itertools.takewhile(
        lambda event: event.at_ms < midnight + DAY_MS, traffic(ShopSettings(1.0), midnight)
    )
    by_hour = Counter((event.at_ms - midnight) // 3_600_000 for event in events)
    assert by_hour.total() == pytest.approx(DAY_MS / 1000, rel=0.1)
    assert by_hour[3] < by_hour[12] * 0.6
    assert max(by_hour, key=by_hour.__getitem__) in (18, 19, 20)


@pytest.mark.parametrize(
    ("incident", "fewer", "more"),
    [
        ("payment-mobile", "order_completed", "error_shown"),
        ("slow-till", "queue_served", "queue_left"),
        ("search-broken", "product_viewed", "error_shown"),
    ],
)
def test_an_incident_shows(incident: str, fewer: str, more: str) -> None:
    well, ill = kinds(some(12_000)), kinds(some(12_000, 1, f"{incident}@0+600"))
    assert ill[more] > 1.5 * well[more]
    assert ill[fewer] < 0.98 * well[fewer]


def test_a_wrong_incident_is_explained() -> None:
    with pytest.raises(ValueError, match="payment-mobile, slow-till, search-broken"):
        parse_incident("fire", NOON)
    with pytest.raises(ValueError, match="in minutes"):
        parse_incident("slow-till@soon", NOON)


def test_disturbance_at_the_rates_asked_for() -> None:
    rates = Rates(out_of_order=0.2, late=0.0, duplicate=0.1, broken=0.05)
    sent = list(disturb(some(10_000), rates, seed=3))
    assert sent == list(disturb(some(10_000), rates, seed=3))
    assert len(sent) == pytest.approx(11_000, rel=0.03)
    broken = sum(isinstance(decode(sending.event.payload), Refusal) for sending in sent)
    assert broken == pytest.approx(0.05 * 11_000, rel=0.2)
    late = sum(sending.send_ms > sending.event.at_ms for sending in sent)
    assert late == pytest.approx(0.2 * 10_000 + 0.1 * 10_000, rel=0.15)
    assert [s.send_ms for s in sent] == sorted(s.send_ms for s in sent)
    assert list(disturb(some(1_000), Rates(0, 0, 0, 0), 1)) == [(e.at_ms, e) for e in some(1_000)]
