"""``erase``: have everything forget a customer or a visitor."""

import time
from typing import Annotated

import typer

from pipeline.cli.common import clickhouse_client, err, kafka_admin, progress, say
from pipeline.kafka.clients import new_producer
from pipeline.kafka.erasures import Erasures, append
from pipeline.kafka.logs import LogError
from pipeline.kafka.topics import topic_specs
from pipeline.settings import Settings, load
from pipeline.tools.erase.people import Person, forms, people, visitor_found
from pipeline.tools.erase.rows import Rows
from pipeline.tools.erase.search import configs, gone_by_ms, in_tables, in_topics
from pipeline.tools.erase.states import remove_spare, wait_for_states
from schemas.erasures import ERASURES_TOPIC
from schemas.times import format_rfc3339
from schemas.values import VALUES_TOPIC

_CUSTOMER = Annotated[list[str], typer.Option(help="A customer's id, as in events. May be given several times.")]
_VISITOR = Annotated[list[str], typer.Option(help="A visitor's id. May be given several times.")]
_CHECK = Annotated[list[str], typer.Option(help="Only search everything for this id, and say where it still is.")]
_KEEP = Annotated[bool, typer.Option("--keep-visitors", help="Not the visitors that are these customers alone.")]
_YES = Annotated[bool, typer.Option("--yes", help="Do it. Without: only say what would be done.")]
_TIMEOUT = Annotated[float, typer.Option(min=0, help="Seconds to wait for the workers.")]


def register(app: typer.Typer) -> None:
    app.command()(erase)


def erase(
    customer: _CUSTOMER = [],  # noqa: B006 - typer's way of an option that may be given several times
    visitor: _VISITOR = [],  # noqa: B006 - the same
    check: _CHECK = [],  # noqa: B006 - the same
    keep_visitors: _KEEP = False,
    yes: _YES = False,
    timeout: _TIMEOUT = 300.0,
) -> None:
    """Have everything forget customers and visitors: what is known of them, and what will ever come of them.

    Says first what that would be; --yes does it: puts them on a list that all workers read, waits until their
    states are without them, and rewrites the rows of ClickHouse without the ids. What was counted stays counted.
    What lies in Kafka ages out: it says when. A customer's visitors go too, unless another customer is named
    with them. --check ID searches every topic, checkpoint, dead letter and table for an id, and exits with 1
    where it is still found.
    """
    settings = load()
    if (check and (customer or visitor)) or not (check or customer or visitor):
        raise typer.BadParameter("give --customer or --visitor, or --check alone")
    if not all((*customer, *visitor, *check)):
        raise typer.BadParameter("an id is empty")
    if any("\udc80" <= letter <= "\udcff" for one in (*customer, *visitor, *check) for letter in one):
        raise typer.BadParameter("an id is not UTF-8")
    kafka_admin(settings)
    key = settings.privacy.customer_key.get_secret_value().encode()
    if check:
        _check(settings, [*people(check, check, key)])
        return
    who = people(customer, visitor, key)
    rows = Rows(clickhouse_client(settings))
    if not keep_visitors:
        found = [visitor_found(one, key) for one in rows.visitors_of([one for one in who if one.name[:2] == "c:"])]
        who += [one for one in found if one.name not in {other.name for other in who}]
    _tell(rows, who)
    if not yes:
        say("nothing was changed: --yes does it")
        return
    _erase(settings, rows, who, timeout)


def _tell(rows: Rows, who: list[Person]) -> None:
    for one in who:
        print(one.shown)
    for table, count in rows.count(who):
        print(f"cx.{table}: {count} rows")


def _erase(settings: Settings, rows: Rows, who: list[Person], timeout_s: float) -> None:
    now_ms = int(time.time() * 1000)
    _check_topic(settings)
    end = append(new_producer(settings.kafka), [one.mark for one in who], format_rfc3339(now_ms))
    say("waiting for the workers to forget them")
    with progress("states"):
        waiting = wait_for_states(settings.kafka, end, timeout_s)
    # All that ever were: rows of some may have come since, or an earlier run may have been interrupted.
    rows.rewrite(who, Erasures(settings.kafka).read().marks)
    remove_spare(settings.kafka, now_ms)
    print("rows are rewritten without the ids")
    if waiting:
        err.print(
            f"error: not all is forgotten: {', '.join(waiting)} have not said so within {timeout_s:g} s. They do "
            "once workers run; then run the same again, for rows may have come meanwhile"
        )
        raise typer.Exit(1)
    print("states: without them")
    by_ms, staying = _ages_out(settings, now_ms)
    if by_ms is not None:
        print(f"Kafka: aged out by {format_rfc3339(by_ms)}; --check says what still holds an id")
    if staying:
        print(f"never: {', '.join(staying)}: 'cx-signals topics --print' shows how they should be configured")


def _check_topic(settings: Settings) -> None:
    """What is not compacted is forgotten itself, and who was erased comes back."""
    admin = kafka_admin(settings)
    if ERASURES_TOPIC not in admin.list_topics(timeout=10).topics:
        raise LogError(f"there is no topic {ERASURES_TOPIC}: run 'cx-signals topics'")
    policy = configs(admin, [ERASURES_TOPIC])[ERASURES_TOPIC].get("cleanup.policy")
    if policy != "compact":
        raise LogError(f"the topic {ERASURES_TOPIC} must have cleanup.policy=compact, found {policy}")


def _ages_out(settings: Settings, now_ms: int) -> tuple[int | None, list[str]]:
    """By when what has been appended until now has gone, and the topics of which that is not to be said."""
    admin = kafka_admin(settings)
    present = admin.list_topics(timeout=10).topics
    kept = (VALUES_TOPIC, ERASURES_TOPIC)  # they hold no id
    names = [spec.name for spec in topic_specs(settings.kafka) if spec.name in present and spec.name not in kept]
    found = {name: gone_by_ms(config, now_ms) for name, config in configs(admin, names).items()}
    staying = [name for name, ms in found.items() if ms is None]
    return max((ms for ms in found.values() if ms is not None), default=None), staying


def _check(settings: Settings, who: list[Person]) -> None:
    needles = sorted({needle for one in who for needle in forms(one)})
    if any(len(needle) < 4 for needle in needles):
        say("an id so short is found in other texts as well")
    client = clickhouse_client(settings)
    with progress("searching topics") as advance:
        found = list(in_topics(settings.kafka, kafka_admin(settings), needles, advance))
    with progress("searching tables"):
        found += in_tables(client, needles)
    for place, count, gone_by in found:
        until = f", aged out by {format_rfc3339(gone_by)}" if gone_by is not None else ""
        print(f"{place}: {count}{until}")
    if found:
        raise typer.Exit(1)
    print("nothing is left")
