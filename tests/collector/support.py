"""Sources and requests for tests of the collector."""

import json
from base64 import b64decode
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from pipeline.collector.bodies import Body
from pipeline.collector.incoming import Incoming
from pipeline.collector.intake import Intake, Policy
from pipeline.collector.sources import FAMILIES
from schemas.times import parse_rfc3339
from schemas.vocabulary import CONTRACT

CAPTURES = Path(__file__).with_name("captures")
NOW_MS = parse_rfc3339("2026-11-28T04:00:00Z")
AT = "2026-11-28T03:59:00Z"
AT_MS_TEXT = "2026-11-28T03:59:00.000Z"


def intake(family: str, policy: Policy | None = None, own: Mapping[str, str] | None = None, **told: Any) -> Intake:
    """A source that takes everybody's requests. ``told``: constants of its configuration."""
    constants = {"source": "s", **told}
    keys_of = FAMILIES[family].keys_of

    def look_at_keys(asked: Incoming, body: Body) -> None:
        if keys_of is not None:
            keys_of(asked, body)

    return Intake(FAMILIES[family], constants, policy or Policy(), look_at_keys, CONTRACT, own)


def request(
    body: Any = b"",
    path: str = "/",
    method: str = "POST",
    received_ms: int = NOW_MS,
    headers: Mapping[str, str] | None = None,
) -> Incoming:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    address = urlsplit(path)
    query = dict(parse_qsl(address.query, keep_blank_values=True))
    return Incoming(method, address.path, query, dict(headers or {}), raw, received_ms, address.query)


def touchpoints(source: Intake, asked: Incoming) -> list[dict[str, Any]]:
    taken = source.take(asked)
    assert not taken.problems, taken.error
    return [json.loads(one.payload) for one in taken.finished]


def one(
    family: str, body: Any, headers: dict[str, str] | None = None, path: str = "/", **told: Any
) -> dict[str, Any]:
    found = touchpoints(intake(family, **told), request(body, path, headers=headers))
    assert len(found) == 1, found
    return {name: value for name, value in found[0].items() if name != "event_id"}


def ignored(family: str, body: Any, headers: dict[str, str] | None = None, **told: Any) -> list[str]:
    taken = intake(family, **told).take(request(body, headers=headers))
    assert not taken.finished
    assert not taken.problems, taken.error
    return list(taken.ignored)


def problem(family: str, body: Any, headers: dict[str, str] | None = None, **told: Any) -> str:
    taken = intake(family, **told).take(request(body, headers=headers))
    assert not taken.finished
    return taken.error


def captured(path: Path) -> Iterator[tuple[int, dict[str, Any], Incoming]]:
    """The requests of a capture with their lines, preflights left out."""
    for number, line in enumerate(path.read_text().splitlines(), start=1):
        told = json.loads(line)
        if told["method"] != "OPTIONS":
            headers = {name.lower(): value for name, value in told["headers"].items()}
            body, at_ms = b64decode(told["body_b64"]), parse_rfc3339(told["received_at"])
            yield number, told, request(body, told["path"], told["method"], at_ms, headers)
