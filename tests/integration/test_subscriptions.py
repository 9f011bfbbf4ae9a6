"""Another team's service: it gets every message once, the newest of each, and goes on where it stopped."""

import http.server
import json
import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import takewhile
from pathlib import Path
from typing import Any

import pytest

from deploy.embedded.process import Child, free_port
from pipeline.delivery.signatures import check
from pipeline.subscriptions import SubscriptionError, subscribe
from pipeline.tools.simulator.traffic import ShopSettings, traffic
from schemas.alerts import AlertMessage
from schemas.journeys import JourneyMessage
from schemas.signals import SignalMessage
from schemas.times import format_rfc3339
from tests.systems import COMMAND, Running, System, clean

PAGE = (Path(__file__).parents[2] / "docs" / "subscribe.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def shop(running: System, tmp_path_factory: pytest.TempPathFactory) -> System:
    """Twenty minutes of a shop in which all journeys have ended: nothing more comes by itself."""
    file = tmp_path_factory.mktemp("shop") / "events.ndjson"
    start = round((time.time() - 4 * 3_600) * 1000)
    events = traffic(ShopSettings(10.0, is_steady=True), start)
    file.write_bytes(b"\n".join(one.payload for one in takewhile(lambda e: e.at_ms < start + 1_200_000, events)))
    sent = running.cx("replay", str(file), "--format", "touchpoints")
    assert sent.returncode == 0, sent.stderr
    running.verify()
    return running


Key = tuple[str, str, str, str]


def key(journey: JourneyMessage) -> Key:
    return journey.channel, journey.session_id, journey.journey_id, journey.entered_at


def test_a_new_group_from_the_beginning_gets_the_newest_of_every_journey(shop: System) -> None:
    found: dict[Key, JourneyMessage] = {}
    versions: dict[Key, list[int]] = {}
    with subscribe(
        JourneyMessage, shop.addresses["kafka"], "everything", from_beginning=True, idle_s=6
    ) as journeys:
        for journey in journeys:
            found[key(journey)] = journey
            versions.setdefault(key(journey), []).append(journey.version)
    rows = shop.sql("SELECT session_id, journey_id, outcome, value FROM cx.journeys FINAL")
    assert sorted((one.session_id, one.journey_id, one.outcome, one.value) for one in found.values()) == sorted(
        rows
    )
    assert all(some == sorted(set(some)) for some in versions.values())


def test_repeated_and_superseded_messages_are_not_handed_out(shop: System) -> None:
    found = shop.messages("cx.journeys")[:40]
    sample = [(bytes(m.key() or b"").decode(), bytes(m.value() or b"")) for m in found]
    newer = [json.loads(value) for _, value in sample[:5]]
    for one in newer:
        one |= {"version": one["version"] + 1, "value": 12.5, "id": f"{one['id']}+1"}
    with subscribe(JourneyMessage, shop.addresses["kafka"], "careful", from_beginning=True, idle_s=6) as journeys:
        before = [(key(one), one.version) for one in journeys]
        shop.send("cx.journeys", sample)  # as a worker after a crash does
        shop.send("cx.journeys", [(one["session_id"], json.dumps(one).encode()) for one in newer])
        shop.send("cx.journeys", sample)  # older versions, once more
        after = [(one.version, one.value) for one in journeys]
    assert len(before) == len(set(before)) > 500
    assert sorted(after) == sorted((one["version"], 12.5) for one in newer)


def test_a_group_goes_on_where_it_stopped_and_what_was_under_way_comes_again(shop: System) -> None:
    def take(most: int | None, fails: bool = False) -> list[str]:
        got: list[str] = []
        servers = shop.addresses["kafka"]
        with subscribe(JourneyMessage, servers, "resumed", from_beginning=True, idle_s=6) as journeys:
            for journey in journeys:
                got.append(journey.id)
                if len(got) == most:
                    if fails:
                        raise RuntimeError("the service breaks while it has this one")
                    break
        return got

    first = take(100)
    with pytest.raises(RuntimeError):
        take(1, fails=True)
    rest = take(None)
    assert len(first) == 100
    assert not set(first) & set(rest)
    assert len(first) + len(rest) == len(set(first + rest)) > 500


def test_only_what_is_asked_for_typed(shop: System) -> None:
    def of_all(signal: SignalMessage) -> bool:
        return signal.segment == "all" and signal.window == "5m" and signal.signal == "checkout_abandonment"

    servers = shop.addresses["kafka"]
    with subscribe(SignalMessage, servers, "few", where=of_all, from_beginning=True, idle_s=6) as signals:
        found = {one.window_end: one for one in signals}
    rows = shop.sql(
        "SELECT toUnixTimestamp64Milli(window_end), value, denominator FROM cx.signals FINAL "
        "WHERE segment = 'all' AND window = '5m' AND signal = 'checkout_abandonment'"
    )
    assert {(end, one.value, one.denominator) for end, one in found.items()} == {
        (format_rfc3339(end), value, n) for end, value, n in rows
    }


def test_a_signal_that_becomes_complete_under_its_version_comes_again_and_an_incomplete_one_does_not(
    shop: System,
) -> None:
    signal = {
        "schema_version": "1.0",
        "signal": "csat",
        "segment": "store_id=lagging",
        "window": "1m",
        "window_end": "2026-03-02T09:00:00.000Z",
        **dict.fromkeys(("numerator", "denominator", "value", "lower", "upper"), 1.0),
        "version": 5,
    }
    sent = [signal | {"id": str(is_complete), "complete": is_complete} for is_complete in (False, True)]
    of_it = lambda one: one.segment == "store_id=lagging"  # noqa: E731 - used here only
    with subscribe(
        SignalMessage, shop.addresses["kafka"], "late", where=of_it, from_beginning=True, idle_s=6
    ) as signals:
        order = [json.dumps(one).encode() for one in (*sent, *sent)]
        shop.send("cx.signals.satisfaction", [("store_id=lagging", value) for value in order])
        assert [one.complete for one in signals] == [False, True]


def test_what_is_no_kafka_of_ours_is_one_error() -> None:
    with pytest.raises(SubscriptionError, match="does not answer"):
        subscribe(AlertMessage, f"127.0.0.1:{free_port()}", "nowhere", answer_s=2.0)


class Receiver:
    """Somebody's web server that notes what it gets and answers as it is told."""

    def __init__(self) -> None:
        self.got: list[tuple[dict[str, str], bytes]] = []
        self.answers: dict[str, list[int]] = {}
        """By journey, other than 200."""
        receiver = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                waiting = receiver.answers.get(json.loads(body)["journey_id"])
                status = waiting.pop(0) if waiting else 200
                if status == 200:
                    receiver.got.append(({k.lower(): v for k, v in self.headers.items()}, body))
                self.send_response(status)
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                return None

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.server_port}/hook"


@contextmanager
def hooks(system: System, folder: Path, receiver: Receiver) -> Iterator[dict[str, str]]:
    """``cx-signals webhooks`` with one receiver of abandoned carts; gives its environment."""
    (folder / "secret").write_text("a secret of this test\n")
    (folder / "secret").chmod(0o600)
    (folder / "hooks.toml").write_text(
        f'[[webhook]]\nname = "carts"\nurl = "{receiver.url}"\nmessages = "journeys"\n'
        f'secret_file = "{folder / "secret"}"\nattempts = 2\n'
        'where = { funnel = "cart", outcome = ["abandoned"] }\n'
    )
    environ = system.environ | {"CX_WEBHOOKS__FILE": str(folder / "hooks.toml")}
    child = Child("webhooks", [*COMMAND, "webhooks"], folder / "log", clean(environ))
    try:
        yield environ
    finally:
        child.stop()
        assert child.process.returncode == 0, (folder / "log").read_text()


def cart(number: int, **more: Any) -> tuple[str, bytes]:
    end = format_rfc3339(1_772_449_200_000 + number)
    body = {
        "schema_version": "1.0",
        "id": f"web/hook-{number}/1",
        "journey_id": f"cart:{number}",
        "funnel": "cart",
        "session_id": f"hook-{number}",
        "customer_id": "c-1",
        "channel": "web",
        "store_id": None,
        "region": None,
        "device": None,
        "entered_at": end,
        "ended_at": end,
        "outcome": "abandoned",
        "reason": "timeout",
        "last_step": None,
        "value": 9.5,
        "version": 1,
    }
    return f"hook-{number}", json.dumps(body | more).encode()


def test_webhooks_are_signed_tried_again_and_kept_where_they_fail(shop: System, tmp_path: Path) -> None:
    receiver = Receiver()
    with hooks(shop, tmp_path, receiver) as environ:
        # A new group begins with what comes after it has joined.
        first = 0
        while not receiver.got:
            shop.send("cx.journeys", [cart(first)])
            first += 1
            assert first < 60, (tmp_path / "log").read_text()
            time.sleep(1)
        receiver.answers = {"cart:100": [503]}
        shop.send("cx.journeys", [cart(100), cart(101, funnel="checkout"), cart(102, outcome="completed")])
        shop.wait_for(lambda: b"cart:100" in b"".join(body for _, body in receiver.got), 30)
        receiver.answers = {"cart:200": [410], "cart:201": [503, 503]}
        shop.send("cx.journeys", [cart(200), cart(201), cart(202)])
        letters = "SELECT reason, error, payload FROM cx.dead_letters FINAL WHERE topic = 'webhook:carts'"
        shop.wait_for(lambda: len(shop.sql(letters)) == 2, 60)
        shop.wait_for(lambda: b"cart:202" in b"".join(body for _, body in receiver.got), 30)
        bodies = [json.loads(body) for _, body in receiver.got]
        assert not {"cart:101", "cart:102", "cart:200", "cart:201"} & {one["journey_id"] for one in bodies}
        headers, body = receiver.got[-1]
        assert check(b"a secret of this test", headers, body, time.time()) == bodies[-1]["id"]

        errors = sorted(error for _, error, _ in shop.sql(letters))
        assert "answers 410" in errors[0]
        assert "tried 2 times" in errors[1]
        again = [*COMMAND, "webhooks", "--again", "carts"]
        done = subprocess.run(again, env=clean(environ), capture_output=True, text=True, timeout=60, check=False)
        assert (done.returncode, "2 delivered, 0 left" in done.stderr) == (0, True), done.stderr
        sent = {json.loads(body)["journey_id"] for _, body in receiver.got}
        assert {"cart:200", "cart:201"} <= sent
        done = subprocess.run(again, env=clean(environ), capture_output=True, text=True, timeout=60, check=False)
        assert "0 delivered, 0 left" in done.stderr
    listed = shop.cx("deadletters", "list", "--topic", "webhook:carts")
    assert listed.stdout.count("undeliverable") == 2


def test_tail_as_a_table(shop: System) -> None:
    options = ("--segment", "channel=web", "--window", "15m", "--from-beginning", "--no-follow")
    done = shop.cx("tail", "cx.signals.abandonment", *options, "--format", "table", "--limit", "5")
    head, *lines = done.stdout.splitlines()
    assert head.split()[:3] == ["window_end", "(UTC)", "window"]
    assert len(lines) == 5
    assert all(re.match(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d  15m +channel=web +\w+ +\S+ +\[", line) for line in lines)


def test_the_page_for_subscribers_works_as_it_stands(tmp_path: Path) -> None:
    """Every command and the program, in their order, as another team would type them."""
    blocks = re.findall(r"```(\w+)\n(.*?)```", PAGE, re.S)
    assert [kind for kind, _ in blocks] == ["console", "python", "console"]
    system = Running.start(tmp_path, "--simulate", "15", "--history", "45")
    try:
        path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
        environ = clean({"CX_KAFKA__BOOTSTRAP_SERVERS": system.addresses["kafka"], "PATH": path})
        (tmp_path / "left_carts.py").write_text(blocks[1][1])
        for kind, text in (blocks[0], blocks[2]):
            assert kind == "console"
            for line in text.splitlines():
                command = line.removeprefix("$ ") if line.startswith("$ ") else None
                if command is None or command.startswith("export"):
                    continue
                shown = _first_lines(command, environ, tmp_path)
                assert shown, command
    finally:
        system.stop()


def _first_lines(command: str, environ: dict[str, str], folder: Path) -> str:
    """What a command shows first; one that goes on for ever is ended then."""
    with subprocess.Popen(
        ["bash", "-c", f"exec {command}"],
        env=environ,
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=(folder / "errors").open("w"),
        text=True,
    ) as process:
        assert process.stdout is not None
        killer = threading.Timer(90, process.kill)
        killer.start()
        line = process.stdout.readline()
        killer.cancel()
        process.terminate()
    return line
