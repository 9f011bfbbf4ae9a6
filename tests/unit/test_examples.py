"""The worked examples do what they say."""

from email import message_from_bytes
from email.policy import SMTP
from typing import Any

from docs.examples.recovery_email import WAIT_MS, Recovery, mail
from docs.examples.slack_alert import text
from docs.examples.staffing_bot import is_of_a_queue
from schemas.alerts import AlertMessage
from schemas.recoveries import RecoveryMessage
from schemas.signals import SignalMessage
from schemas.times import format_rfc3339

START = 1_772_449_200_000


def cart(customer: str, at_ms: int, **more: Any) -> RecoveryMessage:
    end = format_rfc3339(START + at_ms)
    given = {
        "schema_version": "2.0",
        "id": "i",
        "person": f"c:{customer}",
        "funnel": "cart",
        "channel": "web",
        "session_id": "s",
        "journey_id": f"cart:{customer}",
        "entered_at": end,
        "ended_at": end,
        "value": 50.0,
        "status": "open",
        "recovered_at": None,
        "recovered_channel": None,
        "recovered_session": None,
        "recovered_value": 0.0,
        "store_id": None,
        "region": None,
        "device": None,
        "version": 1,
    }
    return RecoveryMessage.model_validate(given | more)


def bought(customer: str, at_ms: int, status: str = "recovered") -> RecoveryMessage:
    when = format_rfc3339(START + at_ms)
    by = {"recovered_channel": "pos", "recovered_session": "t", "recovered_value": 50.0}
    return cart(customer, at_ms, status=status, recovered_at=when, **by)


def test_a_mail_waits_an_hour_and_goes_to_those_who_did_not_buy_after_all() -> None:
    recovery = Recovery({})
    assert recovery.take(cart("stays-away", 0)) == []
    recovery.take(cart("buys-later", 1_000))
    recovery.take(cart("had-bought", 1_500))
    recovery.take(cart("was-never", 2_000))
    recovery.take(cart("is-somebody-else", 2_500))
    recovery.take(cart("cheap", 3_000, value=5.0))
    recovery.take(cart("nobody", 3_000, person="v:browser"))
    recovery.take(bought("buys-later", 60_000))
    recovery.take(bought("had-bought", 1_500, "completed_elsewhere"))
    recovery.take(cart("was-never", 2_000, status="retracted"))
    recovery.take(cart("is-somebody-else", 2_500, status="retracted", journey_id="cart:an-earlier-one"))
    assert recovery.take(cart("passer-by", WAIT_MS - 1)) == []
    due = recovery.take(cart("passer-by", 3_000 + WAIT_MS))
    assert [one.person for one in due] == ["c:stays-away", "c:is-somebody-else"]
    assert "50.00 EUR" in mail(due[0]).get_content()
    assert [one.person for one in recovery.take(bought("late", 4_000 + WAIT_MS))] == []


def test_an_id_of_many_addresses_is_one_address_of_nobody() -> None:
    for customer in (
        "a@evil.example, b",
        'x" <boss@corp.example>',
        "a\r\nBcc: all@corp.example",
        "\u202e\ud83d\ude00",
    ):
        message = mail(cart(customer, 0, journey_id="pay\x1b[2J"))
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
