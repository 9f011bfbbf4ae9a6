"""``simulate``: a believable shop's events."""

import time
from pathlib import Path
from typing import Annotated

import typer

from pipeline.cli.common import kafka_admin, progress, say
from pipeline.settings import Settings, load
from pipeline.tools.replay.send import Sender
from pipeline.tools.simulator.disturbance import Rates, disturb
from pipeline.tools.simulator.incidents import IncidentsFile, Orders
from pipeline.tools.simulator.shop import HABITS, INCIDENTS, Habits
from pipeline.tools.simulator.traffic import ShopSettings, parse_incident, traffic
from schemas.times import parse_rfc3339

_SHARE = {"min": 0.0, "max": 1.0}
INCIDENT_HELP = (
    "Something broken: NAME, NAME@FROM or NAME@FROM+LENGTH, in minutes after the start. May be repeated. "
    + "; ".join(f"{name}: {what}" for name, what in INCIDENTS.items())
)


def register(app: typer.Typer) -> None:
    app.command()(simulate)


def simulate(
    rate: Annotated[float, typer.Option(min=0.01, help="Events per second, mean over a day.")] = 50.0,
    seed: Annotated[int, typer.Option(help="The same seed and start give the same events.")] = 1,
    start: Annotated[str, typer.Option(help="RFC 3339 time to start at; default now.")] = "",
    minutes: Annotated[float, typer.Option(min=0, help="End after so much simulated time; 0: never.")] = 0.0,
    history: Annotated[float, typer.Option(min=0, help="Minutes before the start, sent at once.")] = 0.0,
    fast: Annotated[bool, typer.Option("--fast", help="Send as fast as possible (give --minutes).")] = False,
    incident: Annotated[list[str] | None, typer.Option(help=INCIDENT_HELP)] = None,
    orders: Annotated[
        Path | None, typer.Option(dir_okay=False, help="File of incidents ordered meanwhile, as the console does.")
    ] = None,
    caught_up: Annotated[
        Path | None, typer.Option(dir_okay=False, help="File that is made when the history has been sent.")
    ] = None,
    out_of_order: Annotated[float, typer.Option(**_SHARE, help="Share sent up to 30 s late.")] = 0.03,
    late: Annotated[float, typer.Option(**_SHARE, help="Share sent 5 to 50 min late.")] = 0.002,
    duplicate: Annotated[float, typer.Option(**_SHARE, help="Share sent twice.")] = 0.01,
    broken: Annotated[float, typer.Option(**_SHARE, help="Share that is damaged.")] = 0.001,
    known: Annotated[float, typer.Option(**_SHARE, help="Share of visits that say who it is.")] = HABITS.known,
    returns: Annotated[
        float, typer.Option(**_SHARE, help="Share of customers who come back for what they left.")
    ] = HABITS.returns,
    elsewhere: Annotated[float, typer.Option(**_SHARE, help="Of these on another channel.")] = HABITS.elsewhere,
    shared_devices: Annotated[
        float, typer.Option(**_SHARE, help="Share of customers with a device that is another one's too.")
    ] = HABITS.shared_devices,
    emptied: Annotated[float, typer.Option(**_SHARE, help="Share of carts emptied again.")] = HABITS.emptied,
    cancelled: Annotated[float, typer.Option(**_SHARE, help="Share of orders cancelled.")] = HABITS.cancelled,
    reloaded: Annotated[float, typer.Option(**_SHARE, help="Share of orders told twice.")] = HABITS.reloaded,
) -> None:
    """Send a shop's touchpoints: customers with habits, three channels, a day's rhythm, trouble."""
    settings = load()
    if fast and not minutes:
        raise typer.BadParameter("--fast needs --minutes", param_hint="--fast")
    try:
        start_ms = parse_rfc3339(start) if start else int(time.time() * 1000)
        incidents = tuple(parse_incident(text, start_ms) for text in incident or ())
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error
    kafka_admin(settings)
    ordered = Orders(IncidentsFile(orders), time.monotonic) if orders else tuple
    habits = Habits(known, HABITS.with_cookies, shared_devices, returns, elsewhere, emptied, cancelled, reloaded)
    shop = ShopSettings(rate, seed, incidents=incidents, ordered=ordered, habits=habits)
    until_ms = start_ms + round(minutes * 60_000) if minutes else 2**62
    rates = Rates(out_of_order, late, duplicate, broken)
    since_ms = start_ms - round(history * 60_000)
    sent = run(settings, shop, rates, since_ms, start_ms, until_ms, fast, caught_up)
    say(f"sent {sent} messages")


def run(
    settings: Settings,
    shop: ShopSettings,
    rates: Rates,
    from_ms: int,
    live_ms: int,
    until_ms: int,
    fast: bool,
    caught_up: Path | None = None,
) -> int:
    """Send what happens from ``from_ms`` to ``until_ms``; from ``live_ms`` on at its own pace.

    ``caught_up``: a file that is made between the two, when the broker has all that is past.
    """
    sender = Sender(settings.kafka)
    sent = 0
    behind = time.time() * 1000 - live_ms
    what = "simulating" if fast else "catching up"
    total = round((until_ms - from_ms) / 1000 * shop.events_per_s) if fast else None
    with progress(what, total) as advance:
        for sending in disturb(traffic(shop, from_ms), rates, shop.seed):
            if sending.send_ms >= until_ms:
                break
            if caught_up is not None and sending.send_ms > live_ms:
                sender.finish()
                caught_up.touch()
                caught_up = None
            if not fast and sending.send_ms > live_ms:
                _wait_until(sending.send_ms + behind, sender)
            event = sending.event
            sender.send(event.channel, event.session_id, event.payload)
            sent += 1
            if sent % 500 == 0:
                sender.poll()
                advance(500)
    sender.finish()
    return sent


def _wait_until(wall_ms: float, sender: Sender) -> None:
    while (pause := wall_ms / 1000 - time.time()) > 0:
        sender.poll()
        time.sleep(min(pause, 0.2))
