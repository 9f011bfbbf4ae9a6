"""Clients with the settings that this system relies on."""

import ssl
import time
from collections.abc import Callable
from typing import Any

from confluent_kafka import KafkaException, Producer
from confluent_kafka.admin import AdminClient

from pipeline.settings import KafkaSettings

#: Tiles of one segment and batch are one message; see ``agents.journeys``.
MAX_OUTPUT_BYTES = 16_777_216
#: What a broker has to take: a batch is somewhat larger than the message in it.
MAX_BATCH_BYTES = MAX_OUTPUT_BYTES + 1_048_576


class KafkaUnavailableError(RuntimeError):
    """No broker answered within the time."""


def _common(settings: KafkaSettings) -> dict[str, Any]:
    return security_config(settings) | {
        "bootstrap.servers": settings.bootstrap_servers,
        "reconnect.backoff.max.ms": 1000,
        "log_level": 2,  # librdkafka retries by itself; what matters comes back as an error
        "broker.address.family": "v4",
    }


def security_config(settings: KafkaSettings) -> dict[str, Any]:
    """How librdkafka is to speak to the brokers, and as whom."""
    given = {
        "security.protocol": settings.security_protocol,
        "ssl.ca.location": settings.ssl_ca_file,
        "ssl.certificate.location": settings.ssl_certificate_file,
        "ssl.key.location": settings.ssl_key_file,
        "ssl.key.password": settings.ssl_key_password.get_secret_value(),
    }
    if settings.security_protocol.startswith("SASL"):
        given |= {
            "sasl.mechanism": settings.sasl_mechanism,
            "sasl.username": settings.sasl_username,
            "sasl.password": settings.sasl_password.get_secret_value(),
        }
    return {name: value for name, value in given.items() if value}


def ssl_context(settings: KafkaSettings) -> ssl.SSLContext | None:
    """The same for clients that are not librdkafka's; None where no TLS is asked for. Raises OSError."""
    if not settings.security_protocol.endswith("SSL"):
        return None
    try:
        context = ssl.create_default_context(cafile=settings.ssl_ca_file or None)
        if settings.ssl_certificate_file:
            password = settings.ssl_key_password.get_secret_value() or None
            context.load_cert_chain(settings.ssl_certificate_file, settings.ssl_key_file, password)
    except OSError as error:
        raise OSError(f"CX_KAFKA__SSL_CA_FILE, _CERTIFICATE_FILE or _KEY_FILE: {error}") from error
    return context


def new_producer(settings: KafkaSettings, linger_ms: int = 50) -> Producer:
    """A producer that neither loses, repeats nor reorders, and partitions as Java clients do.

    ``linger_ms``: how long a message waits for others to go with.
    """
    return Producer(
        _common(settings)
        | {
            # librdkafka's own default is CRC32: the same key would go elsewhere than Faust's or Java's
            "partitioner": "murmur2_random",
            "enable.idempotence": True,
            "message.max.bytes": MAX_OUTPUT_BYTES,
            "linger.ms": linger_ms,
            "message.timeout.ms": 0,  # an outage is waited out, not lost (law 7)
            "topic.metadata.refresh.interval.ms": 15_000,  # partitions that are added are known so soon
            "queue.buffering.max.messages": 500_000,
            "queue.buffering.max.kbytes": 262_144,
        }
    )


def consumer_config(settings: KafkaSettings, group: str) -> dict[str, Any]:
    """For consumers that assign partitions to themselves and never commit."""
    return _common(settings) | {
        "group.id": group,
        "enable.auto.commit": False,
        "enable.auto.offset.store": False,
        "auto.offset.reset": "earliest",
        "enable.partition.eof": True,
        "fetch.wait.max.ms": 100,
        "fetch.queue.backoff.ms": 20,
        "fetch.message.max.bytes": 4_194_304,
        "receive.message.max.bytes": 2 * MAX_OUTPUT_BYTES + 1_048_576,
        "queued.max.messages.kbytes": 32_768,
        "queued.min.messages": 100_000,
        "topic.metadata.refresh.interval.ms": 10_000,
    }


def new_admin(settings: KafkaSettings) -> AdminClient:
    return AdminClient(_common(settings))


def wait_until_reachable(settings: KafkaSettings, tell: Callable[[str], None] = lambda _: None) -> AdminClient:
    """An admin client, as soon as a broker answers. Tells once that it waits.

    Raises KafkaUnavailableError after ``connect_timeout_s``.
    """
    admin = new_admin(settings)
    deadline = time.monotonic() + settings.connect_timeout_s
    told = False
    while True:
        try:
            admin.list_topics(timeout=min(2.0, max(0.2, settings.connect_timeout_s)))
            return admin
        except KafkaException as error:
            what = f"Kafka at {settings.bootstrap_servers} does not answer ({describe(error)})"
            if time.monotonic() >= deadline:
                raise KafkaUnavailableError(f"{what}; tried for {settings.connect_timeout_s:g} s") from error
            if not told:
                tell(f"{what}; retrying for up to {settings.connect_timeout_s:g} s")
                told = True


def describe(error: Exception) -> str:
    """What an error of Kafka's, or of our reading from it, says."""
    inner = error.args[0] if error.args else error
    return str(inner.str() if hasattr(inner, "str") else inner)
