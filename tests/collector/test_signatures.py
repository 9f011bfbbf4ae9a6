"""Who sent it: the vectors of the vendors' schemes, a flipped byte, keys in rotation, times."""

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st
from square.utils.webhooks_helper import verify_signature
from standardwebhooks.webhooks import Webhook

from pipeline.collector.signatures import SCHEMES, AuthenticationError, Signed, basic_user, is_one_of
from pipeline.collector.sources_file import load_sources
from pipeline.delivery.signatures import signed_headers
from schemas.vocabulary import CONTRACT
from tests.collector.support import request

BODY = '{"id":1,"note":"café"}'.encode()
SECRET = "topsecret"
NOW_S = 1_795_838_400.0
STANDARD = "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3"
SQUARE_URL = "https://cx.example.com/in/square"
TWILIO_URL = "https://cx.example.com/in/twilio?x=1"
B64 = "DolpXOrLA2/eDT0yo5idYWLQe9Icx25daRdi77OqYZI="
HEX = "0e89695ceacb036fde0d3d32a3989d6162d07bd21cc76e5d691762efb3aa6192"
#: By scheme: headers, body, secret, address. From the vendors' own libraries where there are such.
VECTORS = {
    "shopify": ({"x-shopify-hmac-sha256": B64}, BODY, SECRET, ""),
    "woocommerce": ({"x-wc-webhook-signature": B64}, BODY, SECRET, ""),
    "typeform": ({"typeform-signature": f"sha256={B64}"}, BODY, SECRET, ""),
    "delighted": ({"x-delighted-webhook-signature": f"sha256={HEX}"}, BODY, SECRET, ""),
    "meta": ({"x-hub-signature-256": f"sha256={HEX}"}, BODY, SECRET, ""),
    "intercom": ({"x-hub-signature": "sha1=fab7ab41f046b0899a543a084ea4c3b1dcf3b9a8"}, BODY, SECRET, ""),
    "square": (
        {"x-square-hmacsha256-signature": "XiKqAxHhX3eAUqae94wT9gYGkG7J5VfypWAlbw/k56Q="},
        BODY,
        SECRET,
        SQUARE_URL,
    ),
    "zendesk": (
        {
            "x-zendesk-webhook-signature": "uwWnuWEjodizZayBap4yhdhif+ATtGyjAOME0I/dwjQ=",
            "x-zendesk-webhook-signature-timestamp": "2026-11-28T04:00:00Z",
        },
        BODY,
        SECRET,
        "",
    ),
    "surveymonkey": ({"sm-signature": "/bLsesa8LbggdLQjOgCa/tLN/mQ="}, BODY, f"cid&{SECRET}", ""),
    "twilio": (
        {"x-twilio-signature": "6bbnsS28CWiXfY7pqZkX/cccTbA="},
        b"CallSid=CA1&Digits=5&From=%2B15550001",
        SECRET,
        TWILIO_URL,
    ),
    "standard_webhooks": (
        {
            "webhook-id": "msg_1",
            "webhook-timestamp": "1795838400",
            "webhook-signature": "v1,wicekBP2L276mPv5GfBDsRpBfohcxP1EF+Ug+xCO1CE=",
        },
        BODY,
        STANDARD,
        "",
    ),
}


def signed(scheme: str, *secrets: str, url: str = "", now_s: Callable[[], float] = lambda: NOW_S) -> Signed:
    return Signed(SCHEMES[scheme], secrets, url, now_s)


@pytest.mark.parametrize("scheme", VECTORS)
def test_a_request_that_is_in_order_is_taken(scheme: str) -> None:
    headers, body, secret, url = VECTORS[scheme]
    signed(scheme, secret, url=url).check(request(body, headers=headers))


@pytest.mark.parametrize("scheme", VECTORS)
def test_a_flipped_byte_is_refused(scheme: str) -> None:
    headers, body, secret, url = VECTORS[scheme]
    one = signed(scheme, secret, url=url)
    with pytest.raises(AuthenticationError):
        one.check(request(body[:-2] + bytes([body[-2] ^ 1]) + body[-1:], headers=headers))
    with pytest.raises(AuthenticationError):
        signed(scheme, STANDARD[:-4] + "AAAA", url=url).check(request(body, headers=headers))
    with pytest.raises(AuthenticationError, match="no signature"):
        one.check(request(body))


@pytest.mark.parametrize("scheme", VECTORS)
def test_the_old_key_stays_good_while_a_new_one_is_brought_in(scheme: str) -> None:
    headers, body, secret, url = VECTORS[scheme]
    signed(scheme, "whsec_bmV3", secret, url=url).check(request(body, headers=headers))


@pytest.mark.parametrize("scheme", ["zendesk", "standard_webhooks"])
def test_an_old_request_is_refused(scheme: str) -> None:
    headers, body, secret, _ = VECTORS[scheme]
    asked = request(body, headers=headers)
    signed(scheme, secret, now_s=lambda: NOW_S + 299).check(asked)
    for off_s in (301, -301):
        with pytest.raises(AuthenticationError, match="from now"):
            signed(scheme, secret, now_s=lambda off_s=off_s: NOW_S + off_s).check(asked)  # type: ignore[misc] # bound early


def test_a_form_is_signed_by_one_of_its_fields() -> None:
    message = '{"SurveyID":"SV_1","ResponseID":"R_1"}'
    signature = hmac.new(SECRET.encode(), message.encode(), "sha512").hexdigest()
    assert signature.startswith("10254d901f7067c45c8e28d2cb60ab09")
    assert signature.endswith("ec260d4e90")
    body = urlencode({"HMAC": signature, "MSG": message, "Topic": "t"}).encode()
    signed("qualtrics", SECRET).check(request(body))
    with pytest.raises(AuthenticationError):
        signed("qualtrics", SECRET).check(request(body.replace(b"SV_1", b"SV_2")))


def test_a_signed_field_is_read_as_a_form_only(tmp_path: Path) -> None:
    (tmp_path / "k").write_text(SECRET)
    (tmp_path / "k").chmod(0o600)
    (tmp_path / "s.toml").write_text('[sources.q]\nkind = "qualtrics"\nsecret_files = ["k"]\n')
    (source,) = load_sources(str(tmp_path / "s.toml"), CONTRACT, time.time)
    message = "x"
    signature = hmac.new(SECRET.encode(), message.encode(), "sha512").hexdigest()
    forged = json.dumps({"a": f"&MSG={message}&HMAC={signature}&b=", "response_id": "evil", "score": 0}).encode()
    with pytest.raises(AuthenticationError, match="a form is wanted"):
        source.intake.take(request(forged))


def test_what_this_project_signs_it_takes() -> None:
    key = base64.b64decode(STANDARD.removeprefix("whsec_"))
    headers = signed_headers(key, "msg_1", NOW_S, BODY)
    signed("standard_webhooks", STANDARD).check(request(BODY, headers=headers))


@pytest.mark.parametrize(
    ("header", "user"),
    [
        ("Basic V0s6", ("WK", "")),
        ("Basic V0s=", ("WK", "")),  # without the colon
        ("basic dTpw", ("u", "p")),
        ("Bearer x", ("", "")),
        ("Basic !!", ("", "")),
        ("", ("", "")),
    ],
)
def test_basic_authorization(header: str, user: tuple[str, str]) -> None:
    assert basic_user(header) == user


def test_keys_are_compared_with_all_of_them() -> None:
    assert is_one_of("b", ["a", "b"])
    assert not is_one_of("", ["a"])
    assert not is_one_of("a", [])


def test_the_table_names_algorithms_that_there_are() -> None:
    assert {scheme.algorithm for scheme in SCHEMES.values()} <= hashlib.algorithms_guaranteed


@given(st.binary(min_size=1, max_size=500))
def test_squares_own_library_agrees(body: bytes) -> None:
    text = body.decode("latin-1")
    signature = base64.b64encode(hmac.new(SECRET.encode(), SQUARE_URL.encode() + text.encode(), "sha256").digest())
    headers = {"x-square-hmacsha256-signature": signature.decode()}
    assert verify_signature(
        request_body=text,
        signature_header=signature.decode(),
        signature_key=SECRET,
        notification_url=SQUARE_URL,
    )
    signed("square", SECRET, url=SQUARE_URL).check(request(text.encode(), headers=headers))


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=200))
def test_the_standards_own_library_agrees(body: str) -> None:
    now = datetime.now(tz=UTC)
    signature = Webhook(STANDARD).sign("msg_1", now, body)
    headers = {
        "webhook-id": "msg_1",
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": signature,
    }
    signed("standard_webhooks", STANDARD, now_s=time.time).check(request(body.encode(), headers=headers))
