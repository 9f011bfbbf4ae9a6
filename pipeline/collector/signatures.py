"""Who sent it: signatures and keys, by one verifier and a table of what each vendor signs and how.

What is signed is put together of parts: the body byte for byte, the address as it was registered with the vendor
(never rebuilt from the header Host: a proxy changes it), a time. Compared in constant time, with every key that
the source has: an old one stays good while a new one is brought in.
"""

import base64
import binascii
import hashlib
import hmac
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from urllib.parse import parse_qsl

from pipeline.collector.incoming import Incoming

_STANDARD_PREFIX: Final = "whsec_"


class AuthenticationError(ValueError):
    """The request is not from whom it should be; the message names the header, never a key."""


@dataclass(frozen=True, slots=True)
class Scheme:
    """How one vendor signs."""

    header: str
    """In lower case."""
    algorithm: str = "sha256"
    encoding: str = "base64"
    prefix: str = ""
    """Before the signature in its header; what several are told apart by."""
    signed: tuple[str, ...] = ("body",)
    """``body``, ``url``, ``url+hash`` (with the body's hash as ``bodySHA256``), ``@header``, ``field:NAME`` of a
    form, ``params`` (a form's, sorted), or a text."""
    timestamp: str = ""
    """The header with the time of sending; empty: there is none."""
    tolerance_s: float = 300.0
    field: str = ""
    """The field of a form that holds the signature, where no header does."""
    is_standard: bool = False
    """Keys are Base64 after ``whsec_`` (Standard Webhooks)."""


#: By the name that the file of sources uses. Sources: the vendors' pages on verifying webhooks.
SCHEMES: Final[Mapping[str, Scheme]] = {
    "shopify": Scheme("x-shopify-hmac-sha256"),
    "woocommerce": Scheme("x-wc-webhook-signature"),
    "square": Scheme("x-square-hmacsha256-signature", signed=("url", "body")),
    "typeform": Scheme("typeform-signature", prefix="sha256="),
    "delighted": Scheme("x-delighted-webhook-signature", encoding="hex", prefix="sha256="),
    "surveymonkey": Scheme("sm-signature", algorithm="sha1"),
    "qualtrics": Scheme("", algorithm="sha512", encoding="hex", signed=("field:MSG",), field="HMAC"),
    "zendesk": Scheme(
        "x-zendesk-webhook-signature",
        signed=("@x-zendesk-webhook-signature-timestamp", "body"),
        timestamp="x-zendesk-webhook-signature-timestamp",
    ),
    "intercom": Scheme("x-hub-signature", algorithm="sha1", encoding="hex", prefix="sha1="),
    "meta": Scheme("x-hub-signature-256", encoding="hex", prefix="sha256="),
    "twilio": Scheme("x-twilio-signature", algorithm="sha1", signed=("url", "params")),
    "twilio_json": Scheme("x-twilio-signature", algorithm="sha1", signed=("url+hash",)),
    "standard_webhooks": Scheme(
        "webhook-signature",
        prefix="v1,",
        signed=("@webhook-id", ".", "@webhook-timestamp", ".", "body"),
        timestamp="webhook-timestamp",
        is_standard=True,
    ),
}


class Signed:
    """Checks requests of one scheme."""

    def __init__(self, scheme: Scheme, secrets: Sequence[str], url: str, now_s: Callable[[], float]) -> None:
        """``url``: as registered. Raises ValueError for a secret that is none."""
        self._scheme, self._url, self._now_s = scheme, url, now_s
        self._keys = [_key_of(secret, scheme) for secret in secrets]

    def check(self, request: Incoming) -> None:
        """Raises AuthenticationError."""
        scheme = self._scheme
        given = self._given(request)
        if scheme.timestamp:
            self._check_age(request.headers.get(scheme.timestamp, ""))
        text = b"".join(self._part(part, request) for part in scheme.signed)
        for key in self._keys:
            expected = hmac.new(key, text, scheme.algorithm).digest()
            if any(hmac.compare_digest(one, expected) for one in given):
                return
        raise AuthenticationError(f"{scheme.header or scheme.field}: not signed with a key of this source")

    def _given(self, request: Incoming) -> list[bytes]:
        scheme = self._scheme
        if scheme.field:
            texts = [_form(request.raw).get(scheme.field, "")]
        else:
            # Standard Webhooks allows several, separated by blanks, while a key is changed.
            texts = request.headers.get(scheme.header, "").split() if scheme.header else []
        signatures = [
            _decoded(text.removeprefix(scheme.prefix), scheme.encoding)
            for text in texts
            if text.startswith(scheme.prefix)
        ]
        if not (found := [one for one in signatures if one]):
            raise AuthenticationError(f"{scheme.header or scheme.field}: there is no signature")
        return found

    def _part(self, part: str, request: Incoming) -> bytes:
        if part == "body":
            return request.raw
        if part == "url":
            return self._url.encode()
        if part == "url+hash":
            mark = "&" if "?" in self._url else "?"
            return f"{self._url}{mark}bodySHA256={hashlib.sha256(request.raw).hexdigest()}".encode()
        if part == "params":
            # Of a name that comes several times each value counts once, as Twilio does it.
            return "".join(name + value for name, value in sorted(set(_pairs(request.raw)))).encode()
        if part.startswith("@"):
            return request.headers.get(part[1:], "").encode("latin-1", "replace")
        if part.startswith("field:"):
            return _form(request.raw).get(part.removeprefix("field:"), "").encode()
        return part.encode()

    def _check_age(self, text: str) -> None:
        try:
            at_s = float(text) if text.isdigit() else datetime.fromisoformat(text).timestamp()
        except (ValueError, OverflowError) as error:
            raise AuthenticationError(f"{self._scheme.timestamp}: no time") from error
        age_s = abs(self._now_s() - at_s)
        if age_s > self._scheme.tolerance_s:
            raise AuthenticationError(f"{self._scheme.timestamp}: {age_s:.0f} s from now")


def is_one_of(given: str, wanted: Sequence[str]) -> bool:
    """Whether a key is one of these, compared in constant time, with all of them."""
    tried = [hmac.compare_digest(_fixed(given), _fixed(one)) for one in wanted]
    return any(tried)


def basic_user(header: str) -> tuple[str, str]:
    """User and password of ``Authorization: Basic``; empty where there are none. The colon may lack."""
    scheme, _, text = header.partition(" ")
    if scheme.lower() != "basic":
        return "", ""
    try:
        user, _, password = base64.b64decode(text.strip(), validate=True).decode().partition(":")
    except (binascii.Error, ValueError):
        return "", ""
    return user, password


def _key_of(secret: str, scheme: Scheme) -> bytes:
    if scheme.is_standard and secret.startswith(_STANDARD_PREFIX):
        return base64.b64decode(secret.removeprefix(_STANDARD_PREFIX), validate=True)
    return secret.encode()


def _decoded(text: str, encoding: str) -> bytes:
    try:
        return bytes.fromhex(text) if encoding == "hex" else base64.b64decode(text, validate=True)
    except ValueError:
        return b""


def _fixed(text: str) -> bytes:
    """Of one length, so that a comparison does not tell it."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()


def _form(raw: bytes) -> dict[str, str]:
    return dict(_pairs(raw))


def _pairs(raw: bytes) -> list[tuple[str, str]]:
    try:
        return parse_qsl(raw.decode(), keep_blank_values=True, max_num_fields=1_000)
    except ValueError:
        return []
