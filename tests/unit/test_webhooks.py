"""Webhooks are signed as the standard has it, tried again while that may help, and never silently lost."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from pipeline.delivery.hooks import Hook, Wanted, load_hooks
from pipeline.delivery.letters import Letters, message_id, send_again
from pipeline.delivery.posting import Delivery, signed
from pipeline.delivery.signatures import SIGNATURE, TIMESTAMP, SignatureError, check, key_of, signed_headers
from pipeline.settings import SettingsError
from schemas.journeys import JourneyMessage, journey_message_id
from schemas.moments import MomentMessage
from sinks.base import SinkError, SinkRejectedError, SinkUnavailableError
from sinks.http import MemoryPoster
from sinks.memory import MemorySink
from tests.unit.test_examples import bought, cart

SECRET = b"a secret of this test"
NOW = 1_772_449_200.0
BODY = b'{"id": "a/1", "value": 2}'


def hook(**more: Any) -> Hook:
    given = {"name": "mail", "url": "http://x.example/hook", "messages": "journeys", "secret_file": "s"}
    return Hook.model_validate(given | more)


class Waits:
    """Instead of sleeping."""

    def __init__(self) -> None:
        self.pauses: list[float] = []

    async def __call__(self, seconds: float) -> None:
        self.pauses.append(seconds)


def delivery(poster: MemoryPoster, waits: Waits, **more: Any) -> Delivery:
    return Delivery(hook(**more), signed(SECRET), poster, lambda: NOW, waits)


def test_the_signature_is_that_of_the_standard() -> None:
    # The example of the Standard Webhooks specification, with its secret decoded.
    secret = key_of("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    body = b'{"test": 2432232314}'
    found = signed_headers(secret, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, body)
    assert found[SIGNATURE] == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_a_request_is_in_order_only_as_it_was_signed_and_only_for_a_while() -> None:
    headers = signed_headers(SECRET, "a/1", NOW, BODY)
    assert check(SECRET, headers, BODY, NOW + 299) == "a/1"
    both = headers | {SIGNATURE: f"v1,bmVpbg== {headers[SIGNATURE]}"}
    assert check(SECRET, both, BODY, NOW) == "a/1"
    wrong: list[tuple[bytes, dict[str, str], bytes, float]] = [
        (b"another secret", headers, BODY, NOW),
        (SECRET, headers, BODY + b" ", NOW),
        (SECRET, headers | {"webhook-id": "a/2"}, BODY, NOW),
        (SECRET, headers | {TIMESTAMP: str(int(NOW) + 1)}, BODY, NOW),
        (SECRET, headers, BODY, NOW + 301),
        (SECRET, headers, BODY, NOW - 301),
        (SECRET, {SIGNATURE: headers[SIGNATURE]}, BODY, NOW),
        (SECRET, headers | {TIMESTAMP: "now"}, BODY, NOW),
    ]
    for secret, given, body, now in wrong:
        with pytest.raises(SignatureError):
            check(secret, given, body, now)


def test_what_passes_is_tried_again_after_longer_and_longer_pauses() -> None:
    poster, waits = MemoryPoster(), Waits()
    poster.failures = [SinkUnavailableError("503")] * 3
    asyncio.run(delivery(poster, waits).deliver("a/1", BODY))
    ((url, body, headers),) = poster.posts
    assert (url, body) == ("http://x.example/hook", BODY)
    assert check(SECRET, headers, body, NOW) == "a/1"
    assert all(1.0 <= pause / expected <= 1.2 for pause, expected in zip(waits.pauses, (1, 2, 4), strict=True))


def test_a_receiver_that_asks_for_patience_gets_it() -> None:
    poster, waits = MemoryPoster(), Waits()
    poster.failures = [SinkUnavailableError("429", 30.0), SinkUnavailableError("429", 0.5)]
    asyncio.run(delivery(poster, waits).deliver("a/1", BODY))
    assert [30 <= waits.pauses[0] <= 36, 2 <= waits.pauses[1] <= 2.4] == [True, True]


@pytest.mark.parametrize("name", ["a\x7f", "a\r\nb: c", "sé/日本", "a\x00", "half \ud83d", "50%"])
def test_any_id_can_be_sent_and_its_signature_checked_by_who_reads_latin_1(name: str) -> None:
    headers = signed_headers(SECRET, journey_message_id("web", name, f"cart:{name}", 1, 2), NOW, BODY)
    received = {key: value.encode().decode("latin-1") for key, value in headers.items()}
    assert check(SECRET, received, BODY, NOW) == headers["webhook-id"]
    assert headers["webhook-id"].isascii()
    assert headers["webhook-id"].isprintable()


@pytest.mark.parametrize(
    "more", [{"webhook-id": "\udcff"}, {SIGNATURE: "v1,\udcff"}, {TIMESTAMP: "9" * 400}, {TIMESTAMP: ""}]
)
def test_no_request_does_more_than_fail(more: dict[str, str]) -> None:
    with pytest.raises(SignatureError):
        check(SECRET, signed_headers(SECRET, "a/1", NOW, BODY) | more, BODY, NOW)


def test_after_its_attempts_or_a_refusal_for_good_it_is_given_up() -> None:
    poster, waits = MemoryPoster(), Waits()
    poster.failures = [SinkUnavailableError("503")] * 3
    with pytest.raises(SinkError, match="tried 3 times"):
        asyncio.run(delivery(poster, waits, attempts=3).deliver("a/1", BODY))
    assert len(waits.pauses) == 2
    poster.failures = [SinkRejectedError("410 gone")]
    with pytest.raises(SinkError, match="410 gone"):
        asyncio.run(delivery(poster, waits).deliver("a/1", BODY))
    assert poster.posts == []
    assert len(waits.pauses) == 2


class Published:
    """The part of a producer that is used."""

    def __init__(self) -> None:
        self.messages: list[tuple[str, Any]] = []

    def produce(self, topic: str, value: bytes, **_: Any) -> None:
        self.messages.append((topic, json.loads(value)))

    def flush(self, _timeout: float) -> int:
        return 0


class Store:
    """The part of a ClickHouse client that sending again uses."""

    def __init__(self, rows: list[tuple[int, int, str, str]]) -> None:
        self.rows = rows
        self.marked: list[Any] = []

    def execute(self, query: str, values: Any) -> Any:
        if query.startswith("INSERT"):
            self.marked += values
        return self.rows


def test_what_is_given_up_is_a_dead_letter_and_can_be_sent_again() -> None:
    published, sink = Published(), MemorySink()
    letters = Letters(published, sink)  # type: ignore[arg-type] # notes what is sent
    asyncio.run(letters.keep(hook(), BODY, "http://x.example/hook answers 410"))
    asyncio.run(letters.keep(hook(), BODY, "http://x.example/hook answers 410"))
    (topic, message), again = published.messages
    assert again[1]["id"] == message["id"]  # the same place: one dead letter
    assert (topic, message["topic"], message["reason"]) == ("cx.deadletters", "webhook:mail", "undeliverable")
    assert message["error"] == "http://x.example/hook answers 410"
    row = sink.tables["dead_letters"][0]
    assert row["payload"] == BODY

    store = Store([(0, message["offset"], message["sha256"], message["payload"])] * 2)
    poster, waits = MemoryPoster(), Waits()
    assert asyncio.run(send_again(delivery(poster, waits), store)) == (2, 0)
    assert [body for _, body, _ in poster.posts] == [BODY, BODY]
    assert store.marked[0][0] == "webhook:mail"
    poster.failures = [SinkRejectedError("410")]
    assert asyncio.run(send_again(delivery(poster, waits), store)) == (1, 1)  # the other one is not held up
    assert store.marked[0][-1] == "webhook:mail", "an address may be a secret"
    assert message_id(BODY) == "a/1"


FILE = """
[[webhook]]
name = "mail"
url = "https://mail.example/hook"
messages = "journeys"
secret_file = "{secret}"
where = {{ funnel = "cart", outcome = ["abandoned", "retracted"] }}
"""


def journey(**more: Any) -> JourneyMessage:
    given = {
        "schema_version": "1.0",
        "id": "i",
        "journey_id": "cart:1",
        "funnel": "cart",
        "session_id": "s",
        "customer_id": None,
        "channel": "web",
        "store_id": None,
        "region": None,
        "device": None,
        "entered_at": "2026-03-02T11:00:00.000Z",
        "ended_at": "2026-03-02T11:30:00.000Z",
        "outcome": "abandoned",
        "reason": "timeout",
        "last_step": None,
        "value": 10.0,
        "version": 1,
    }
    return JourneyMessage.model_validate(given | more)


def test_the_file_says_who_gets_what(tmp_path: Path) -> None:
    secret, file = tmp_path / "secret", tmp_path / "hooks.toml"
    secret.write_text("0123456789abcdef\n")
    secret.chmod(0o600)
    file.write_text(FILE.format(secret=secret))
    (found,) = load_hooks(str(file))
    assert found.secret() == b"0123456789abcdef"
    assert found.wants(journey())
    assert not found.wants(journey(outcome="completed", reason=None))
    assert not found.wants(journey(funnel="checkout"))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", r"\[\[webhook\]\]"),
        ("[[webhook]]\nname = 1", "webhook 1: name"),
        ("hook = 1", r"\[\[webhook\]\]"),
        ("[[webhook", "end of an array declaration"),
        (FILE.format(secret="x").replace("funnel =", "colour ="), "no field colour; there are"),
        (FILE.format(secret="x").replace("journeys", "signals"), "'journeys', 'recoveries' or 'moments'"),
        (FILE.format(secret="x").replace("https:", "mailto:"), "url"),
        (FILE.format(secret="x") * 2, "two webhooks 'mail'"),
    ],
)
def test_a_file_that_cannot_be_used_says_where_and_why(text: str, said: str, tmp_path: Path) -> None:
    file = tmp_path / "hooks.toml"
    file.write_text(text)
    with pytest.raises(SettingsError, match=said):
        load_hooks(str(file))


def test_no_file_and_a_secret_that_is_short_or_not_there(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="CX_WEBHOOKS__FILE"):
        load_hooks("")
    with pytest.raises(SettingsError, match="cannot be read"):
        hook(secret_file=str(tmp_path / "none")).secret()
    for text, said in (
        ("abc", "16 bytes"),
        ("whsec_MDEyMzQ1Ng==", "16 bytes"),
        ("whsec_not base64 at all", "no Base64"),
    ):
        path = tmp_path / "secret"
        path.write_text(text)
        path.chmod(0o600)
        with pytest.raises(SettingsError, match=said):
            hook(secret_file=str(path)).secret()


@pytest.mark.parametrize(("mode", "is_taken"), [(0o600, True), (0o440, True), (0o644, False), (0o620, False)])
def test_a_secret_that_others_may_read_or_write_is_refused(mode: int, is_taken: bool, tmp_path: Path) -> None:
    path = tmp_path / "secret"
    path.write_text("0123456789abcdef\n")
    path.chmod(mode)
    if is_taken:
        assert hook(secret_file=str(path)).secret() == b"0123456789abcdef"
    else:
        with pytest.raises(SettingsError, match="chmod 600"):
            hook(secret_file=str(path)).secret()


def test_without_tls_only_this_machine_is_posted_to_unless_the_shop_says_so(tmp_path: Path) -> None:
    file = tmp_path / "hooks.toml"
    file.write_text(FILE.format(secret="s").replace("https:", "http:"))
    with pytest.raises(SettingsError, match="CX_WEBHOOKS__PLAIN_HTTP"):
        load_hooks(str(file))
    assert len(load_hooks(str(file), plain_http=True)) == 1
    file.write_text(FILE.format(secret="s").replace("https://mail.example", "http://127.0.0.1:8080"))
    assert len(load_hooks(str(file))) == 1


def test_who_was_given_an_abandonment_is_told_that_it_was_none() -> None:
    wanted = Wanted(hook(where={"outcome": ["abandoned"]}), remembered=2)
    assert wanted(journey())
    assert wanted(journey(outcome="retracted", reason=None, version=2))
    assert wanted(journey(outcome="completed", reason=None, version=3)), "and of what became of it"
    assert not wanted(journey(outcome="completed", reason=None, session_id="t"))
    assert not wanted(journey(outcome="retracted", reason=None, channel="app"))
    for session in "abc":
        assert wanted(journey(session_id=session))
    assert not wanted(journey(outcome="retracted", reason=None, session_id="a")), "that is long ago"


def test_who_was_given_a_moment_is_told_that_it_was_none() -> None:
    def moment(status: str, version: int, session_id: str = "s") -> MomentMessage:
        given: dict[str, Any] = {"schema_version": "2.0", "id": f"i{version}", "moment_id": "r:c:a:e", "rule": "r"}
        given |= {"person": "c:a", "events": [], "channel": "web", "session_id": session_id}
        given |= {"at": "2026-11-28T04:31:00.000Z", "store_id": None, "region": None, "device": None}
        return MomentMessage.model_validate(given | {"status": status, "version": version})

    wanted = Wanted(hook(messages="moments", where={"status": ["fired"], "rule": ["r"]}))
    assert not wanted(moment("withdrawn", 1))
    assert wanted(moment("fired", 2))
    assert wanted(moment("withdrawn", 3))
    assert not wanted(moment("withdrawn", 3, session_id="t"))


def test_who_was_given_a_cart_that_is_open_is_told_what_becomes_of_it() -> None:
    wanted = Wanted(hook(messages="recoveries", where={"status": ["open"]}))
    assert wanted(cart("anna", 0))
    assert wanted(bought("anna", 0))
    assert not wanted(bought("ben", 0))
    assert wanted(cart("anna", 0, status="retracted"))
