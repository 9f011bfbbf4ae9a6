"""``up``: the whole thing on this machine, embedded."""

import os
import signal
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from types import FrameType
from typing import Annotated, NoReturn

import typer

from deploy.embedded.process import StartError, free_port
from deploy.embedded.stack import Stack
from pipeline.cli.admin import apply_migrations, create_topics
from pipeline.cli.board import Board
from pipeline.cli.common import say
from pipeline.kafka.topics import Bounds
from pipeline.settings import load, running
from pipeline.settings.alert_rules import shops_rules
from pipeline.settings.places import load_places

_PORT = {"min": 1, "max": 65_535}
#: What is usual has to be learned before anything can be called unusual: two full hours that nothing can change.
_HISTORY_MIN = 360.0
#: So many events of history are worked off in about a minute; a larger shop gets less of a past.
_HISTORY_EVENTS = 350_000
_READY_S = 90.0
#: What commands in other terminals have to know: where the servers are, and what decides what is computed.
_TOLD = (
    "CX_KAFKA__BOOTSTRAP_SERVERS",
    "CX_CLICKHOUSE__",
    "CX_WEB__PORT",
    "CX_COLLECTOR__",
    "CX_EVENTS",
    "CX_FUNNELS",
    "CX_SEGMENTS",
    "CX_PIPELINE",
)
_ONCE = "CX_PIPELINE__REBUILD"
_DEMO_KEY = "demo"
_SOURCES = f"""\
# What 'cx-signals up' collects from where CX_COLLECTOR__SOURCES names no other file: the demo shop.
[sources.web]
kind = "segment"
keys = ["{_DEMO_KEY}"]
shop = "demo"

[sources.tag]
kind = "tag"
keys = ["{_DEMO_KEY}"]
shop = "demo"
"""


def register(app: typer.Typer) -> None:
    app.command()(up)


def up(
    simulate: Annotated[float, typer.Option(min=0.01, help="Events per second of the simulated shop.")] = 15.0,
    no_simulate: Annotated[bool, typer.Option("--no-simulate", help="No simulated shop.")] = False,
    history: Annotated[
        float | None,
        typer.Option(
            min=0, help="Minutes of the shop's past, sent at once; default 360 up to 16 events/s, fewer above."
        ),
    ] = None,
    incident: Annotated[list[str] | None, typer.Option(help="For the simulated shop; see 'simulate'.")] = None,
    kafka_port: Annotated[int | None, typer.Option(**_PORT, help="Default: a free one.")] = None,
    clickhouse_port: Annotated[int | None, typer.Option(**_PORT, help="Default: a free one.")] = None,
    web_port: Annotated[int | None, typer.Option(**_PORT, help="Default: a free one.")] = None,
    collector_port: Annotated[int | None, typer.Option(**_PORT, help="Default: a free one.")] = None,
    data_dir: Annotated[
        Path | None,
        typer.Option(file_okay=False, help="Kept; default: a temporary one, removed at the end."),
    ] = None,
) -> None:
    """Start Kafka, ClickHouse and a worker on this machine, with a simulated shop; Ctrl-C ends all.

    When all is up it prints one line 'ready {json}' with the addresses, then the signals as they come. Started
    again with the same --data-dir it goes on with the topics and tables that it had.
    """
    settings = load(is_new_stack=True)
    shops_rules(settings)
    load_places(settings.web.stores)
    os.umask(0o077)  # what it writes is for its user alone
    embedded, password = settings.embedded, settings.clickhouse.password.get_secret_value()
    stack = Stack(data_dir, settings.clickhouse.user, password, embedded.kafka, embedded.kafka_home)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _interrupt)
    try:
        say("starting Kafka and ClickHouse")
        stack.start(kafka_port, clickhouse_port, web_port, collector_port)
        environ = stack.environment()
        with_demo = not settings.collector.sources
        if with_demo:
            environ["CX_COLLECTOR__SOURCES"] = str(_own_sources(stack))
        os.environ.update(environ)
        os.environ.pop("CX_CLICKHOUSE__PASSWORD_FILE", None)  # it is known by now
        settings = load(is_new_stack=True)
        create_topics(settings, Bounds(embedded.touchpoints_mb << 20, embedded.outputs_mb << 20))
        apply_migrations(settings)
        say("starting the worker and the collector")
        _start_worker(stack, with_shop=not no_simulate)
        _start_collector(stack)
        if with_demo:
            _start_demo(stack, waits=not no_simulate)
        running.remember(_told(environ))
        print(stack.ready_line(), flush=True)
        if not no_simulate:
            # What is older than a topic's newest events by more than the lateness would be refused.
            most = 0.0 if stack.has_a_past else min(_HISTORY_MIN, _HISTORY_EVENTS / simulate / 60)
            _start_shop(stack, simulate, most if history is None else history, incident or [])
        _watch(stack, Board(settings))
    except KeyboardInterrupt:
        say("stopping")
    finally:
        # A second Ctrl-C must not leave processes behind.
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        running.forget()
        for line in stack.stop():
            say(line)


def _told(environ: Mapping[str, str]) -> dict[str, str]:
    told = {
        name: text for name, text in (os.environ | environ).items() if name.startswith(_TOLD) and name != _ONCE
    }
    config = os.environ.get("CX_CONFIG")
    return told | ({"CX_CONFIG": str(Path(config).resolve())} if config else {})


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _start_worker(stack: Stack, with_shop: bool) -> None:
    environ = {"CX_WEB__SHOP_FILE": str(stack.shop_file)} if with_shop else {}
    if with_shop and "CX_WEB__STORES" not in os.environ:
        environ["CX_WEB__STORES"] = str(files("pipeline.tools.simulator") / "stores.csv")
    child = stack.run("worker", [sys.executable, "-m", "pipeline", "worker"], environ)
    child.wait_until(lambda: _answers(f"http://127.0.0.1:{stack.web_port}/readyz"), _READY_S)


def _start_collector(stack: Stack) -> None:
    child = stack.run("collector", [sys.executable, "-m", "pipeline", "collect"], {})
    child.wait_until(lambda: _answers(f"http://127.0.0.1:{stack.collector_metrics_port}/readyz"), _READY_S)


def _start_demo(stack: Stack, waits: bool) -> None:
    """A shop to click through, whose pages send to the collector.

    ``waits``: it opens when the simulated past has been sent. What is clicked before would be newer than all of
    that, and the rest of the past too late.
    """
    stack.shop_port = free_port()
    address = "http://127.0.0.1:{}".format
    told = [str(stack.shop_port), address(stack.collector_port), address(stack.web_port), _DEMO_KEY]
    told += [str(stack.caught_up_file)] if waits else []
    child = stack.run("shop", [sys.executable, "-m", "deploy.embedded.shop", *told], {})
    child.wait_until(lambda: _answers(address(stack.shop_port)), _READY_S)


def _own_sources(stack: Stack) -> Path:
    """A file with the sources of the demo shop, where none is named."""
    path = stack.data_dir / "sources.toml"
    path.write_text(_SOURCES, encoding="utf-8")
    return path


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=1) as response:  # noqa: S310 - an address of ours
            return bool(response.status == 200)
    except (OSError, urllib.error.URLError):
        return False


def _start_shop(stack: Stack, rate: float, history_min: float, incidents: list[str]) -> None:
    options = [f"--incident={text}" for text in incidents]
    orders = f"--orders={stack.shop_file}"
    caught_up = f"--caught-up={stack.caught_up_file}"
    command = ["simulate", f"--rate={rate}", f"--history={history_min:g}", orders, caught_up, *options]
    stack.run("simulator", [sys.executable, "-m", "pipeline", *command], {})


def _watch(stack: Stack, board: Board) -> NoReturn:
    """Show signals until something ends."""
    while True:
        for child in stack.children.values():
            if child.process.poll() is not None:
                raise StartError(f"{child.name} ended with status {child.process.returncode}: {child.tail()}")
        board.show(stack.kafka.bytes_on_disk() if stack.kafka is not None else None)
        time.sleep(board.interval_s)
