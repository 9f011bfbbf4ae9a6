"""Shopify's and Twilio's own libraries as judges: of each signature they say what we say."""

import base64
import hashlib
import hmac
import json
import random
import subprocess
from typing import Any
from urllib.parse import parse_qsl, urlencode

import pytest

from pipeline.collector.signatures import SCHEMES, AuthenticationError, Signed
from tests.collector.support import request
from tests.node import script

ADDRESSES = ("https://cx.example.com/in/a", "https://cx.example.com/in/a?x=1&y=%20'")
LETTERS = 'ab1 +&=%"\\é\u3042\n'
SECRET = "topsecret"


def words(draw: random.Random, least: int = 0) -> str:
    return "".join(draw.choice(LETTERS) for _ in range(draw.randint(least, 12)))


def body(scheme: str, draw: random.Random) -> str:
    fields = [(draw.choice("AaB") + words(draw), words(draw)) for _ in range(draw.randint(1, 5))]
    if scheme == "twilio":
        return urlencode(fields + fields[: draw.randint(0, 2)])  # a name may come twice
    return json.dumps(dict(fields), ensure_ascii=draw.random() < 0.5)


def signature(scheme: str, url: str, text: str, secret: str) -> str:
    """By hand, of what the vendor's page says is signed."""
    raw, algorithm = text.encode(), "sha256" if scheme == "shopify" else "sha1"
    if scheme == "twilio":
        fields = sorted({tuple(pair) for pair in _fields(text)})
        raw = (url + "".join(name + value for name, value in fields)).encode()
    if scheme == "twilio_json":
        mark = "&" if "?" in url else "?"
        raw = f"{url}{mark}bodySHA256={hashlib.sha256(raw).hexdigest()}".encode()
    return base64.b64encode(hmac.new(secret.encode(), raw, algorithm).digest()).decode()


def _fields(text: str) -> list[tuple[str, str]]:
    return parse_qsl(text, keep_blank_values=True)


def drawn(scheme: str, count: int = 100) -> list[dict[str, Any]]:
    draw = random.Random(scheme)
    cases = []
    for number in range(count):
        url, text = draw.choice(ADDRESSES), body(scheme, draw)
        signed = signature(scheme, url, text, "another" if number % 4 == 3 else SECRET)
        if number % 4 == 1:
            text += " "
        if number % 4 == 2:
            signed = ("B" if signed[0] == "A" else "A") + signed[1:]
        cases.append({"scheme": scheme, "url": url, "secret": SECRET, "body": text, "signature": signed})
    return cases


def is_good(case: dict[str, Any]) -> bool:
    scheme = SCHEMES[case["scheme"]]
    asked = request(case["body"].encode(), headers={scheme.header: case["signature"]})
    try:
        Signed(scheme, [case["secret"]], case["url"], lambda: 0).check(asked)
    except AuthenticationError:
        return False
    return True


@pytest.mark.parametrize("scheme", ["shopify", "twilio", "twilio_json"])
def test_the_vendors_library_says_the_same(scheme: str) -> None:
    cases = drawn(scheme)
    done = subprocess.run(
        script("verifiers.mjs"),
        input=json.dumps(cases),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    theirs = json.loads(done.stdout)
    assert theirs == [is_good(case) for case in cases]
    assert sum(theirs) == len(cases) / 4
