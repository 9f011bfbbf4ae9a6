"""The worked examples do what they say."""

from email import message_from_bytes
from email.policy import SMTP
from typing import Any

from docs.examples.recovery_email import WAIT_MS, Recovery, mail
from docs.examples.slack_alert import text
from docs.examples.staffing_bot import is_of_a_queue
from schemas.alerts import AlertMessage
from schemas.journeys import JourneyMessage
from schemas.signals import SignalMessage
from schemas.times import format_rfc3339
from tests.unit.test_webhooks import journey

START = 1_772_449_200_000


def cart(customer: str, at_ms: int, **more: Any) -> JourneyMessage:
    end = format_rfc3339(START + at_ms)
    given = {"customer_id": customer, "journey_id": f"cart:{customer}", "value": 50.0, "ended_at": end}
    return journey(**(given | more))


def test_a_mail_waits_and_goes_to_those_who_did_not_buy_after_all() -> None:
    recovery = Recovery({})
    assert recovery.take(cart("stays-away", 0)) == []
    recovery.take(cart("buys-later", 1_000))
    recovery.take(cart("was-never", 2_000))
    recovery.take(cart("cheap", 3_000, value=5.0))
    recovery.take(cart("buys-later", 60_000, outcome="completed", reason=None, journey_id="cart:other"))
    recovery.take(cart("was-never", 2_000, outcome="retracted", reason=None))
    due = recovery.take(cart("passer-by", 3_000 + WAIT_MS, outcome="completed", reason=None))
    assert [one.customer_id for one in due] == ["stays-away"]
    assert "50.00 EUR" in mail(due[0]).get_content()
    assert recovery.take(cart("passer-by", 9_000 + WAIT_MS, outcome="completed", reason=None)) == []


def test_an_id_of_many_addresses_is_one_address_of_nobody() -> None:
    for customer in (
        "a@evil.example, b",
        'x" <boss@corp.example>',
        "a\r\nBcc: all@corp.example",
        "\u202e\ud83d\ude00",
    ):
        message = mail(cart(customer, 0, last_step="pay\x1b[2J"))
        (address,) = message["To"].addresses
        assert address.domain == "customers.example"
        assert set(message.keys()) >= {"To", "From", "Subject"}
        assert "Bcc" not in message
        assert "\x1b" not in message.get_content()
        (again,) = message_from_bytes(message.as_bytes(policy=SMTP), policy=SMTP)["To"].addresses
        assert again.domain == "customers.example"


def alert(explanation: str) -> AlertMessage:
    return AlertMessage.model_construct(
        status="firing", rule="friction", severity="warning", explanation=explanation
    )


def test_a_store_called_after_a_channel_calls_nobody() -> None:
    told = text(alert("half of what is usual in store_id=<!channel>\nand <https://evil.example|here>"))
    assert "<" not in told
    assert "\n" not in told


def queue(**more: Any) -> SignalMessage:
    given = {
        "schema_version": "1.0",
        "id": "i",
        "signal": "queue_abandonment",
        "segment": "store_id=store-07",
        "window": "15m",
        "window_end": "2026-03-02T11:00:00.000Z",
        "numerator": 9.0,
        "denominator": 30.0,
        "value": 0.3,
        "lower": 0.17,
        "upper": 0.48,
        "version": 1,
    }
    return SignalMessage.model_validate(given | more)


def test_a_till_is_opened_for_what_is_certain() -> None:
    assert is_of_a_queue(queue())
    assert not is_of_a_queue(queue(lower=0.04))
    assert not is_of_a_queue(queue(segment="channel=pos|store_id=store-07"))
    assert not is_of_a_queue(queue(window="1m"))


def test_an_alert_is_a_line_for_slack() -> None:
    assert text(alert("too many errors")).endswith("*friction* (warning) too many errors")
