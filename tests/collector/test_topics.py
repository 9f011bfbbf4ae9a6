"""A Kafka topic of other JSON as a source: by the same mapping, once, over a restart of the collector."""

import json
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from confluent_kafka import Consumer, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from deploy.embedded.process import Child, free_port
from schemas.times import format_rfc3339
from tests.systems import Lab, clean

#: Of the first test: a killed member is missed after 45 s.
pytestmark = pytest.mark.timeout(600)
PARTITIONS = 2
SOURCES = """
[sources.commerce]
kind = "json"
topic = "shop.messages"
kind_at = "type"

[sources.commerce.events.OrderCreated]
type = "order_completed"

[sources.commerce.fields]
event_id = "id"
occurred_at = "createdAt | iso"
channel = "'web'"
session_id = "'order-{resource.id}'"
order_id = "resource.id"
value = "order.totalPrice.centAmount | minor(order.totalPrice.currencyCode)"
currency = "order.totalPrice.currencyCode"
"""


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    made = Lab.start(tmp_path_factory.mktemp("topics"), workers=0)
    admin = AdminClient({"bootstrap.servers": made.addresses["kafka"]})
    for one in admin.create_topics([NewTopic("shop.messages", PARTITIONS, 1)]).values():
        one.result(30)
    yield made
    made.stop()


def message(number: int) -> tuple[str, bytes]:
    price = {"centAmount": 100 * number, "currencyCode": "EUR"}
    told = {
        "id": f"m{number}",
        "type": "OrderCreated" if number % 5 else "ProductPublished",
        "createdAt": format_rfc3339(time.time_ns() // 1_000_000),
        "resource": {"id": f"o{number}"},
        "order": {"totalPrice": price},
    }
    return f"o{number}", json.dumps(told).encode()


def started(lab: Lab, folder: Path) -> Child:
    admin = free_port()
    (folder / "sources.toml").write_text(SOURCES)
    environ = {
        "CX_COLLECTOR__SOURCES": str(folder / "sources.toml"),
        "CX_COLLECTOR__PORT": str(free_port()),
        "CX_COLLECTOR__METRICS_PORT": str(admin),
    }
    command = [sys.executable, "-m", "pipeline", "collect"]
    child = Child("collector", command, folder / "collector.log", clean(lab.environ | environ))

    def is_up() -> bool:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{admin}/healthz", timeout=1) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False

    child.wait_until(is_up, 60)
    return child


def is_done(lab: Lab) -> bool:
    """Whether the collector's group has committed all that the topic has, and something of each partition."""
    places = [TopicPartition("shop.messages", partition) for partition in range(PARTITIONS)]
    settings = {"bootstrap.servers": lab.addresses["kafka"], "group.id": f"{lab.kafka.group}-collector-commerce"}
    consumer = Consumer(settings)
    try:
        committed = [one.offset for one in consumer.committed(places, timeout=20)]
        return committed == [consumer.get_watermark_offsets(one, timeout=20)[1] for one in places]
    except KafkaException:
        return False  # the group's own topic is only now made
    finally:
        consumer.close()


def orders(lab: Lab) -> list[str]:
    events = [json.loads(one.value() or b"{}") for one in lab.messages("touchpoints.web")]
    return sorted((one["order_id"] for one in events), key=lambda name: int(name[1:]))


def test_messages_become_touchpoints_once(lab: Lab, tmp_path: Path) -> None:
    collector = started(lab, tmp_path)
    for _ in range(60):  # the group is made, and begins at the topic's end
        for partition in range(PARTITIONS):
            lab.send("shop.messages", [message(0)], partition=partition)  # no order: nothing comes of it
        time.sleep(1)
        if is_done(lab):
            break
    lab.send("shop.messages", [message(number) for number in range(1, 50)])
    wanted = [f"o{number}" for number in range(1, 50) if number % 5]
    lab.wait_for(lambda: orders(lab) == wanted, 60)
    lab.wait_for(lambda: is_done(lab), 60)  # killed before, it reads on, and sends on, what it had sent
    collector.kill()
    lab.send("shop.messages", [message(number) for number in range(50, 60)])
    again = started(lab, tmp_path)
    wanted = [f"o{number}" for number in range(1, 60) if number % 5]
    lab.wait_for(lambda: set(orders(lab)) == set(wanted), 90)
    again.stop(30)
    assert again.process.returncode == 0
    assert orders(lab) == wanted
    lab.send("shop.messages", [("x", b"{rubbish")])
    last = started(lab, tmp_path)
    lab.wait_for(lambda: bool(lab.sql("SELECT 1 FROM cx.dead_letters WHERE topic = 'collector:commerce'")), 60)
    last.stop(30)
