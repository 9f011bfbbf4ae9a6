"""The Faust app: everything wired from settings, nothing built at import."""

import logging
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Final

import faust
from confluent_kafka import KafkaException, Producer

from pipeline.durability.checkpointer import Checkpointer
from pipeline.durability.kafka import KafkaCheckpoints
from pipeline.durability.recovery import Recovery
from pipeline.kafka.clients import describe, new_producer, ssl_context
from pipeline.kafka.erasures import Erasures
from pipeline.kafka.errors import is_passing
from pipeline.kafka.reader import BatchReader
from pipeline.kafka.values import SharedValues
from pipeline.logs import plain_records, spare_repetitions
from pipeline.metrics import Metrics
from pipeline.model.rules import Rules
from pipeline.runtime.background import Background
from pipeline.settings import (
    AlertmanagerSettings,
    KafkaSettings,
    Settings,
    customers_digest,
    holdout,
    rules,
    rules_digest,
)
from pipeline.settings.alert_rules import shops_rules
from pipeline.stages.alerts import AlertsStage
from pipeline.stages.floods import FloodWatch
from pipeline.stages.journeys import JourneysStage
from pipeline.stages.lease import Leases
from pipeline.stages.outbox import Outbox
from pipeline.stages.paging import Paging
from pipeline.stages.persons import PersonsStage, VisitorsStage
from pipeline.stages.rejected import RejectedMessages, RejectedRows
from pipeline.stages.signals import SignalsStage
from pipeline.stages.ticks import Ticker
from pipeline.tools.simulator.incidents import IncidentsFile
from pipeline.web.catalogue import catalogue
from pipeline.web.reads import Reads, reads_of
from pipeline.web.server import Runner
from pipeline.web.shop import Shop
from pipeline.web.site import Worker, add_site
from schemas.events import TOUCHPOINT_TOPICS
from schemas.evidence import EVIDENCE_TOPIC
from schemas.facts import FACTS_TOPIC, VISITS_TOPIC
from schemas.tiles import TILES_TOPIC
from sinks.alertmanager import Alertmanager
from sinks.base import Sink
from sinks.buffer import Limits, SinkBuffer
from sinks.clickhouse import ClickHouseSink
from sinks.tables import COLUMNS, KEYS

logger = logging.getLogger(__name__)
_METADATA_MS: Final = 15_000


def create_app(settings: Settings, sink: Sink | None = None, reads: Reads | None = None) -> faust.App:
    """A worker's app. ``sink``, ``reads``: in place of ClickHouse."""
    plain_records()
    spare_repetitions("aiokafka")
    metrics, pipeline, deciding = Metrics(), settings.pipeline, rules(settings)
    producer = new_producer(settings.kafka)
    erasures = Erasures(settings.kafka)
    leases, checkpointer = _new_leases(settings, deciding, producer, metrics, erasures)
    buffer = _new_buffer(settings, sink, metrics)
    outbox = Outbox(producer, buffer)
    buffer.on_rejected = RejectedRows(outbox, buffer, metrics).take
    rejected = RejectedMessages(outbox, metrics)
    outbox.on_refused = rejected.take
    flood_watch = FloodWatch(metrics, pipeline.dead_letter_share, time.monotonic)
    app = _new_app(settings, leases)
    partitions_of = partial(_partitions, producer, lambda: app.should_stop)
    values = SharedValues(settings.kafka, deciding.segmenter.values)
    journeys = JourneysStage(leases, outbox, metrics, partitions_of, checkpointer, flood_watch, values)
    signals = SignalsStage(leases, outbox, metrics, checkpointer, hold_s=pipeline.hold_s)
    visitors = VisitorsStage(leases, outbox, metrics, checkpointer, partitions_of)
    persons = PersonsStage(leases, outbox, metrics, checkpointer, partitions_of, values, holdout(settings))
    paging = _new_paging(settings.alertmanager, leases, metrics)
    on_alerts = paging.note if paging is not None else lambda _: None
    alerts = AlertsStage(leases, outbox, metrics, checkpointer, pipeline.generation, on_alerts)
    for name, topics, process in (
        ("journeys", TOUCHPOINT_TOPICS, journeys.process),
        ("signals", (TILES_TOPIC,), signals.process),
        ("visitors", (VISITS_TOPIC,), visitors.process),
        ("persons", (FACTS_TOPIC,), persons.process),
        ("alerts", (EVIDENCE_TOPIC,), alerts.process),
    ):
        _add_agent(app, name, topics, process)
    background = Background(
        app=app,
        buffer=buffer,
        producer=producer,
        journeys=journeys,
        persons=persons,
        signals=signals,
        ticker=Ticker(leases, producer, pipeline.tick_interval_s),
        metrics=metrics,
        leases=leases,
        checkpointer=checkpointer,
        rejected=rejected,
        erasures=erasures,
        paging=paging,
    )
    background.start(pipeline.emit_interval_s, pipeline.tick_interval_s)
    _serve(app, settings, background, reads)
    return app


def _new_leases(
    settings: Settings, deciding: Rules, producer: Producer, metrics: Metrics, erasures: Erasures
) -> tuple[Leases, Checkpointer]:
    """The states of this worker's partitions, and what keeps them."""
    pipeline = settings.pipeline
    store, digest = KafkaCheckpoints(settings.kafka, producer), rules_digest(settings)
    customers = customers_digest(settings)
    recovery = Recovery(
        store,
        deciding,
        digest,
        shops_rules(settings),
        pipeline.rebuild,
        customers,
        started_ms=int(time.time() * 1000),
        is_compiled=pipeline.engine == "compiled",
        erasures=erasures,
    )
    leases = Leases(recovery, metrics.forget, metrics.acquired, erasures.known)
    interval_s = pipeline.checkpoint_interval_s
    checkpointer = Checkpointer(
        leases, store, metrics, pipeline.generation, digest, interval_s, customers=customers
    )
    return leases, checkpointer


def _new_buffer(settings: Settings, sink: Sink | None, metrics: Metrics) -> SinkBuffer:
    limits = Limits(settings.sink.flush_rows, settings.sink.flush_interval_s, settings.sink.max_buffered_mb << 20)
    target = sink or ClickHouseSink(settings.clickhouse.address(settings.sink.request_timeout_s))
    return SinkBuffer(target, COLUMNS, limits, metrics.stored, metrics.sink_failed, keys=KEYS)


def _serve(app: faust.App, settings: Settings, background: Background, reads: Reads | None) -> None:
    """Have the worker's web server serve its pages, the API and the console."""
    address, site = settings.clickhouse.address(), app.web.web_app
    looks, reads = reads or reads_of(address, threads=1), reads or reads_of(address)
    worker = Worker(background.metrics, background.leases, background.measure, lambda: _is_idle(app))
    shop = _shop(settings.web.shop_file)
    live = add_site(site, catalogue(settings), settings.web, worker, reads, looks, shop)
    app.web._runner = Runner(site, settings.web.connections)
    background.show(live, reads, looks)


def _is_idle(app: faust.App) -> bool:
    """Whether the group has given this worker no partitions."""
    return app.consumer_generation_id > 0 and not app.consumer.assignment()


def _shop(path: str) -> Shop | None:
    """The simulated shop in which the console orders incidents; None where there is none."""
    return IncidentsFile(Path(path)) if path else None


def _new_paging(settings: AlertmanagerSettings, leases: Leases, metrics: Metrics) -> Paging | None:
    if not settings.url:
        return None
    return Paging(leases, Alertmanager(settings.url), metrics, settings.repeat_s, settings.oldest_s)


def _new_app(settings: Settings, leases: Leases) -> faust.App:
    kafka = settings.kafka
    # Faust writes nothing there, but looks: a folder with a name that others can guess could be theirs.
    folder = tempfile.TemporaryDirectory(prefix="cx-signals-faust-")
    servers = kafka.bootstrap_servers.replace(",", ";cxbatch://")
    credentials = _credentials(kafka)
    app = faust.App(
        kafka.group,
        broker=f"cxbatch://{servers}",
        **({"broker_credentials": credentials} if credentials is not None else {}),
        **({"consumer_group_instance_id": kafka.instance_id} if kafka.instance_id else {}),
        store="memory://",
        autodiscover=False,
        datadir=folder.name,
        web_host=settings.web.host,
        web_bind=settings.web.host,
        web_port=settings.web.port,
        broker_session_timeout=kafka.session_timeout_s,
        broker_heartbeat_interval=kafka.session_timeout_s / 3,
        broker_request_timeout=max(300.0, kafka.session_timeout_s),
        # So soon the group is told of partitions that were added; by default after five minutes.
        consumer_metadata_max_age_ms=_METADATA_MS,
        # What is in flight at a rebalance is done again by the next owner; waiting for it would hold
        # the whole group for as long as a sink is out.
        stream_wait_empty=False,
        stream_buffer_maxsize=4,
        # Batches are big: four of them waiting are enough, see transport.py.
        topic_disable_leader=True,
        topic_allow_declare=False,
        table_standby_replicas=0,
        stream_processing_timeout=3_600.0,
    )
    app.cx_folder = folder
    app.cx_authority = leases
    app.cx_batch = settings.pipeline
    app.cx_new_reader = lambda: BatchReader(kafka)
    return app


def _credentials(kafka: KafkaSettings) -> Any:
    """Who the group's member is to the brokers; None where they do not ask. Raises OSError."""
    context = ssl_context(kafka)
    if not kafka.security_protocol.startswith("SASL"):
        return None if context is None else faust.SSLCredentials(context)
    return faust.SASLCredentials(
        username=kafka.sasl_username,
        password=kafka.sasl_password.get_secret_value(),
        ssl_context=context,
        mechanism=kafka.sasl_mechanism,
    )


Process = Callable[[Any], Any]


def _add_agent(app: faust.App, name: str, topics: tuple[str, ...], process: Process) -> None:
    topic = app.topic(*topics, key_type=bytes, value_type=bytes, key_serializer="raw", value_serializer="raw")

    async def agent(stream: Any) -> None:
        async for event in stream.noack().events():
            try:
                await process(event.value)
            except Exception as error:
                # Faust would count the batch as done. It is not: stop, and have it read again.
                logger.exception("stage %s failed", name)
                await app.crash(error)
                raise
            event.ack()

    agent.__name__ = agent.__qualname__ = name
    app.agent(topic, name=name, concurrency=1)(agent)


def _partitions(producer: Producer, is_ending: Callable[[], bool], topic: str) -> int:
    """How many a topic has; asked for until Kafka answers."""
    while True:
        try:
            count = len(producer.list_topics(topic, timeout=10).topics[topic].partitions)
            break
        except KafkaException as error:
            if is_ending() or not is_passing(error.args[0]):
                raise
            logger.warning("Kafka does not say how many partitions %s has: %s", topic, describe(error))
            time.sleep(0.5)
    if not count:
        raise RuntimeError(f"there is no topic {topic}: run 'cx-signals topics' first")
    return count
