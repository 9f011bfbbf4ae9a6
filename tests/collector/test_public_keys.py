"""Senders that sign with a key of their own: bodies, tokens, for whom they are, keys that are none."""

import base64
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from jwt.algorithms import RSAAlgorithm

from pipeline.collector.bodies import decode_body
from pipeline.collector.public_keys import PUBLIC_SCHEMES, PubliclySigned
from pipeline.collector.signatures import AuthenticationError
from pipeline.collector.sources_file import load_sources
from pipeline.settings.environment import SettingsError
from schemas.vocabulary import CONTRACT
from tests.collector.support import request

NOW_S = 1_795_838_400
OURS, OTHERS = (rsa.generate_private_key(public_exponent=65_537, key_size=2_048) for _ in range(2))
BODY = json.dumps({"event_id": "1", "recipient_client_id": "us", "note": "café"}).encode()
WHO = {"iss": "orgId:7", "aud": "webhookId:9", "exp": NOW_S + 60}
OF_BODIES = sorted(name for name, scheme in PUBLIC_SCHEMES.items() if not scheme.is_token)


def pem(key: Any = OURS) -> str:
    kind = serialization.PublicFormat.SubjectPublicKeyInfo
    return str(key.public_key().public_bytes(serialization.Encoding.PEM, kind).decode())


def key_set(key: rsa.RSAPrivateKey = OURS) -> str:
    one = json.loads(RSAAlgorithm.to_jwk(key.public_key())) | {"kid": "a", "use": "sig"}
    return json.dumps({"keys": [one]})


def signature(body: bytes = BODY, key: rsa.RSAPrivateKey = OURS) -> str:
    return base64.b64encode(key.sign(body, padding.PKCS1v15(), hashes.SHA256())).decode()


def check(scheme: str, headers: dict[str, str], body: bytes = BODY, *keys: str, audience: str = "us") -> None:
    asked = request(body, headers=headers)
    signed = PubliclySigned(PUBLIC_SCHEMES[scheme], keys or [pem()], "orgId:7", audience, lambda: NOW_S)
    signed.check(asked, decode_body(body, "", 10_000))


def check_token(claims: dict[str, Any], key: Any = OURS, algorithm: str = "RS256", *keys: str) -> None:
    token = jwt.encode(claims, key, algorithm)
    check("zoho_desk", {"x-zdesk-jwt": token}, BODY, *keys, audience="webhookId:9")


@pytest.mark.parametrize("scheme", OF_BODIES)
def test_a_body_is_known_by_its_signature_and_by_no_other(scheme: str) -> None:
    header = PUBLIC_SCHEMES[scheme].headers[-1]
    check(scheme, {header: signature()})
    check(scheme, {header: signature()}, BODY, pem(OTHERS), pem())  # while keys are changed
    check(scheme, {header: signature()}, BODY, key_set())
    for changed in (BODY.replace(b"1", b"2"), BODY + b" "):
        with pytest.raises(AuthenticationError, match="not signed with a key"):
            check(scheme, {header: signature()}, changed)
    for wrong in (signature(key=OTHERS), "not Base64", "AAAA", "é"):
        with pytest.raises(AuthenticationError, match="not signed with a key"):
            check(scheme, {header: wrong})
    with pytest.raises(AuthenticationError, match="there is no signature"):
        check(scheme, {})


def test_of_adobes_two_signatures_one_is_enough() -> None:
    first, second = PUBLIC_SCHEMES["adobe_io"].headers
    check("adobe_io", {first: signature(key=OTHERS), second: signature()})


@pytest.mark.parametrize(
    "body", [b'{"recipient_client_id":"them"}', b"{}", b"[]", b'[{"recipient_client_id":"us"},3]']
)
def test_what_adobe_has_signed_for_somebody_else_is_not_taken(body: bytes) -> None:
    with pytest.raises(AuthenticationError, match="for somebody else"):
        check("adobe_io", {"x-adobe-digital-signature-1": signature(body)}, body)


def test_a_token_may_expire_by_seconds_or_milliseconds() -> None:
    check_token(WHO)
    check_token(WHO | {"exp": (NOW_S + 60) * 1_000})
    check_token(WHO, OURS, "RS256", key_set(OTHERS), key_set())
    for past in (NOW_S - 1, (NOW_S - 1) * 1_000):
        with pytest.raises(AuthenticationError, match="expired"):
            check_token(WHO | {"exp": past})


@pytest.mark.parametrize(
    ("claims", "why"),
    [
        (WHO | {"iss": "orgId:8"}, "issuer"),
        (WHO | {"aud": "webhookId:1"}, "[Aa]udience"),
        ({"exp": NOW_S + 60}, "(aud|iss)"),
        ({name: WHO[name] for name in ("iss", "aud")}, "exp"),
        (WHO | {"exp": True}, "exp"),
    ],
)
def test_a_token_of_another_webhook_is_not_taken(claims: dict[str, Any], why: str) -> None:
    with pytest.raises(AuthenticationError, match=why):
        check_token(claims)


def test_a_token_that_is_signed_otherwise_is_not_taken() -> None:
    with pytest.raises(AuthenticationError, match="not signed with a key"):
        check_token(WHO, OTHERS)
    # The two old attacks: no signature, and the public key taken for a shared secret.
    with pytest.raises(AuthenticationError):
        check_token(WHO, None, "none")
    with pytest.raises(AuthenticationError):
        check_token(WHO, "a secret of thirty-two bytes or so", "HS256")
    for text in ("", "a.b.c", "."):
        with pytest.raises(AuthenticationError):
            check("zoho_desk", {"x-zdesk-jwt": text})


ELLIPTIC = ec.generate_private_key(ec.SECP256R1())


@pytest.mark.parametrize("text", ["", "{}", '{"keys":[]}', '{"keys":3}', "[]", "a secret", pem(ELLIPTIC)])
def test_a_key_that_is_none_is_said_with_its_line(tmp_path: Path, text: str) -> None:
    (tmp_path / "key").write_text(text)
    with pytest.raises(SettingsError, match=r"sources\.toml, line 5: .* a public key of RSA is wanted"):
        load(tmp_path, 'auth = "adobe_commerce"', 'public_key_files = ["key"]')


@pytest.mark.parametrize(
    ("lines", "why"),
    [
        (['auth = "adobe_io"'], "public_key_files: "),
        (['auth = "adobe_io"', 'public_key_files = ["key"]'], "audience: "),
        (['auth = "zoho_desk"', 'public_key_files = ["key"]', 'audience = "webhookId:9"'], "issuer: "),
        (['auth = "adobe_commerce"', 'public_key_files = ["none"]'], "none cannot be read"),
    ],
)
def test_what_is_missing_is_said(tmp_path: Path, lines: list[str], why: str) -> None:
    (tmp_path / "key").write_text(pem())
    with pytest.raises(SettingsError, match=why):
        load(tmp_path, *lines)


def load(folder: Path, *lines: str, now_s: Callable[[], float] = lambda: NOW_S) -> Any:
    path = folder / "sources.toml"
    first = ["[sources.desk]", 'kind = "zoho_desk"', 'path = "/in/8f3a"']
    path.write_text("\n".join([*first, *lines]) + "\n")
    (source,) = load_sources(str(path), CONTRACT, now_s)
    return source


def test_a_configured_source_asks_for_the_token(tmp_path: Path) -> None:
    (tmp_path / "key").write_text(key_set())
    settings = ['issuer = "orgId:7"', 'audience = "webhookId:9"', 'public_key_files = ["key"]']
    source = load(tmp_path, 'auth = "zoho_desk"', "tickets = true", *settings)
    body = json.dumps(
        [{"eventType": "Ticket_Add", "eventTime": str(NOW_S * 1_000), "orgId": "7", "payload": {"id": "1"}}]
    ).encode()
    token = jwt.encode(WHO, OURS, "RS256")
    taken = source.intake.take(request(body, headers={"x-zdesk-jwt": token}))
    assert [one.type for one in taken.finished] == ["support_contact_started"]
    with pytest.raises(AuthenticationError, match="there is no signature"):
        source.intake.take(request(body))
