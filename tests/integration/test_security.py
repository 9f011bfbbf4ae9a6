"""Everything encrypted, everybody known, nobody's customers: on a real Apache Kafka and behind TLS."""

import json
import os
import re
import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest
import trustme
from confluent_kafka.admin import AlterConfigOpType, ConfigEntry, ConfigResource  # type: ignore[attr-defined] # not in its stubs
from cryptography.hazmat.primitives import serialization

from deploy.embedded.process import free_port
from pipeline.durability.kafka import KafkaCheckpoints
from pipeline.kafka.clients import new_admin, new_producer
from pipeline.kafka.logs import partitions_of
from pipeline.kafka.topics import STATEFUL, topic_specs
from pipeline.model.privacy import pseudonym
from tests.brokers import SecuredKafka
from tests.systems import Lab
from tests.tls import TlsFront

USER, PASSWORD, KEY = "cx", "kafka-password-of-this-test", "customer-key-of-this-test"


@pytest.fixture(scope="module")
def secured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """Kafka with TLS and SCRAM, ClickHouse behind TLS, secrets in files, customers under a key."""
    folder = tmp_path_factory.mktemp("secured")
    authority, ca = trustme.CA(), folder / "ca.pem"
    authority.cert_pem.write_to_path(ca)
    identity = authority.issue_cert("127.0.0.1", key_type=trustme.KeyType.RSA)
    pem = "".join([_pkcs8(identity), *(blob.bytes().decode() for blob in identity.cert_chain_pems)])
    (folder / "password").write_text(f"{PASSWORD}\n")
    (folder / "key").write_text(KEY)
    broker = SecuredKafka(folder / "kafka", pem, USER, PASSWORD)
    broker.start()
    more = {
        "CX_KAFKA__SECURITY_PROTOCOL": "SASL_SSL",
        "CX_KAFKA__SASL_USERNAME": USER,
        "CX_KAFKA__SASL_PASSWORD_FILE": str(folder / "password"),
        "CX_KAFKA__SSL_CA_FILE": str(ca),
        "CX_KAFKA__INSTANCE_ID": "worker-0",
        "CX_CLICKHOUSE__SECURE": "true",
        "CX_CLICKHOUSE__CA_FILE": str(ca),
        "CX_PRIVACY__CUSTOMER_KEY_FILE": str(folder / "key"),
    }
    plain = Lab(
        addresses={"kafka": broker.address, "clickhouse": f"127.0.0.1:{free_port()}"},
        log=folder / "worker.log",
        folder=folder,
        broker=broker,
    )
    plain.log.touch()
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    identity.configure_cert(context)
    plain.start_clickhouse()
    with TlsFront(context, int(plain.addresses["clickhouse"].rpartition(":")[2])) as front:
        plain.more = more | {"CX_CLICKHOUSE__PORT": str(front.port)}
        try:
            yield plain
        finally:
            plain.stop()


def _pkcs8(identity: trustme.LeafCert) -> str:
    """The private key in the only form that Kafka reads."""
    key = serialization.load_pem_private_key(identity.private_key_pem.bytes(), None)
    form = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return key.private_bytes(*form).decode()


def test_the_whole_pipeline_runs_encrypted_and_stores_no_customer(secured: Lab) -> None:
    for command in ("topics", "migrate"):
        done = secured.cx(command)
        assert done.returncode == 0, done.stderr
    worker = secured.start_worker()
    secured.wait_for(lambda: worker.owned() > 0)
    sent = secured.cx("simulate", "--fast", "--minutes", "12", "--rate", "8", "--start", "2026-03-02T11:00:00Z")
    assert sent.returncode == 0, sent.stderr
    broken = b'{"event_id": "b", "customer_id": "secret-customer", "session_id": 7}'
    secured.send("touchpoints.web", [("s", broken), ("s", b'[{"customer_id": "secret-customer"')])
    assert "no difference" in secured.verify()
    found = {row[0] for row in secured.sql("SELECT DISTINCT customer_id FROM cx.journeys FINAL")} - {""}
    assert len(found) > 10
    assert all(re.fullmatch("[0-9a-f]{32}", customer) for customer in found)
    letters = secured.sql(
        "SELECT payload, error FROM cx.dead_letters FINAL WHERE position(payload, 'customer_id') > 0"
    )
    assert len(letters) >= 2
    assert "secret-customer" not in str(letters)
    assert pseudonym(KEY.encode(), "secret-customer") in str(letters)
    for message in [*secured.messages("cx.journeys"), *secured.messages("cx.deadletters")]:
        assert b"secret-customer" not in (message.value() or b"")
    log = secured.log.read_text()
    assert PASSWORD not in log
    assert KEY not in log


def found_in(secured: Lab, *ids: str) -> list[str]:
    """The places where ``erase --check`` finds one of them."""
    done = secured.cx("erase", *(word for one in ids for word in ("--check", one)))
    assert done.returncode == (0 if "nothing is left" in done.stdout else 1), done.stderr
    return [line.partition(":")[0] for line in done.stdout.splitlines() if ": " in line]


def seeded(at: str, number: int, kind: str, **more: object) -> tuple[str, bytes]:
    fields = {"event_id": f"seed-{number}", "type": kind, "occurred_at": f"2026-03-02T{at}Z", "channel": "web"}
    return "seeded", json.dumps(fields | {"session_id": "seeded"} | more).encode()


@pytest.mark.timeout(1500)  # it simulates, verifies and waits for segments of logs to age out
def test_who_is_erased_is_found_nowhere_once_what_lies_in_kafka_has_aged_out(secured: Lab) -> None:
    anna, phone, stays = "customer-4711", "visitor-4711", "customer-4712"
    both = {"customer_id": anna, "visitor_id": phone}
    secured.send(
        "touchpoints.web",
        [
            seeded("11:12:00", 1, "product_added", value=12.5, **both),
            seeded("11:12:01", 2, "product_added", visitor_id=phone),
            ("broken", json.dumps({"event_id": 7, "customer_id": anna}).encode()),
        ],
    )
    bought = {"channel": "pos", "store_id": "1", "session_id": "till", "customer_id": anna}
    secured.send(
        "touchpoints.web", [seeded("11:13:00", 4, "product_added", session_id="other", customer_id=stays)]
    )
    secured.send("touchpoints.pos", [seeded("11:31:00", 5, "sale_completed", **bought)])
    later = ("simulate", "--fast", "--rate", "2", "--minutes")
    assert secured.cx(*later, "60", "--start", "2026-03-02T11:13:00Z").returncode == 0
    shown = [pseudonym(KEY.encode(), one) for one in (anna, phone, stays)]
    held = "SELECT count() FROM cx.recoveries WHERE person = %(person)s AND status != 'open'"
    secured.wait_for(lambda: secured.sql(held, {"person": f"c:{shown[0]}"})[0][0] > 0)
    tables = {f"table cx.{table}" for table in ("journeys", "recoveries", "purchases", "dead_letters")}
    topics = {f"topic {topic}" for topic in ("touchpoints.web", "cx.facts", "cx.checkpoints.facts")}
    secured.wait_for(lambda: tables | topics <= {one.partition(",")[0] for one in found_in(secured, anna)}, 300)

    theirs = [anna, phone, *shown[:2]]
    assert {"clickhouse", "kafka"} <= {file.partition("/")[0] for file in on_disk(secured, theirs)}

    said = secured.cx("erase", "--customer", anna)
    assert said.returncode == 0, said.stderr
    assert "nothing was changed" in said.stderr
    assert secured.sql(held, {"person": f"c:{shown[0]}"})[0][0] > 0
    done = secured.cx("erase", "--customer", anna, "--yes")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "states: without them" in done.stdout
    # Whatever comes of them is nobody's; what the shop counts stays, and others stay who they are.
    secured.send("touchpoints.web", [seeded("12:12:30", 6, "product_added", session_id="again", **both)])
    assert secured.cx(*later, "45", "--start", "2026-03-02T12:13:00Z").returncode == 0
    assert "no difference" in secured.verify()
    kept = "SELECT count() FROM cx.journeys FINAL WHERE customer_id = %(id)s"
    assert secured.sql(kept, {"id": shown[2]}) == [(1,)]
    again = "SELECT count(), countIf(customer_id = '') FROM cx.journeys FINAL WHERE session_id = 'again'"
    assert secured.sql(again) == [(1, 1)]
    assert secured.sql("SELECT count(), any(value) FROM cx.recoveries FINAL WHERE person = ''") == [(1, 12.5)]
    assert not named_in_checkpoints(secured, theirs)
    age_out(secured)
    secured.wait_for(lambda: not [one for one in found_in(secured, anna, phone) if not _is_spare(one)], 400)
    secured.wait_for(lambda: not [file for file in on_disk(secured, theirs) if not _is_spare(file)], 400)


def _is_spare(place: str) -> bool:
    """Checkpoints that no longer count stay for ten minutes; nothing names them."""
    return place.startswith(("topic cx.checkpoints.", "kafka/data/cx.checkpoints."))


def on_disk(secured: Lab, ids: list[str]) -> set[str]:
    """The files of broker, server and worker in which the bytes of one of the ids are."""
    found = set()
    for folder, _, names in os.walk(secured.folder):
        for path in (Path(folder) / name for name in names):
            try:
                content = path.read_bytes()
            except FileNotFoundError:  # servers tidy up meanwhile
                continue
            if any(one.encode() in content for one in ids):
                found.add(str(path.relative_to(secured.folder)))
    return found


def named_in_checkpoints(secured: Lab, ids: list[str]) -> list[str]:
    """The shards of the newest checkpoints that hold one of the ids."""
    store = KafkaCheckpoints(secured.kafka, new_producer(secured.kafka))
    found = []
    for source in partitions_of(secured.kafka, STATEFUL):
        newest = next(iter(store.manifests(source)), None)
        shards = {} if newest is None else store.read(source, newest.shards)
        found += [f"{source} {name}" for name, text in shards.items() if any(one.encode() in text for one in ids)]
    return found


def age_out(secured: Lab) -> None:
    """Have topics keep what they do for a second instead of days, and tables their former parts."""
    for table in ("journeys", "recoveries", "moments", "purchases", "dead_letters"):
        secured.sql(f"ALTER TABLE cx.{table} MODIFY SETTING old_parts_lifetime = 1")
    admin = new_admin(secured.kafka)
    names = [spec.name for spec in topic_specs(secured.kafka) if spec.config["cleanup.policy"] == "delete"]
    soon = {"retention.ms": "1000", "segment.ms": "1000", "file.delete.delay.ms": "100"}
    entries = [ConfigEntry(k, v, incremental_operation=AlterConfigOpType.SET) for k, v in soon.items()]
    resources = [ConfigResource(ConfigResource.Type.TOPIC, name, incremental_configs=entries) for name in names]
    for future in admin.incremental_alter_configs(resources).values():
        future.result(30)


def test_a_wrong_password_is_told_in_one_line_without_it(secured: Lab) -> None:
    wrong = {**secured.more, "CX_KAFKA__CONNECT_TIMEOUT_S": "3", "CX_KAFKA__SASL_PASSWORD": "not-the-password"}
    del wrong["CX_KAFKA__SASL_PASSWORD_FILE"]
    lab = Lab(
        addresses=secured.addresses, log=secured.log, folder=secured.folder, broker=secured.broker, more=wrong
    )
    done = lab.cx("topics")
    assert done.returncode == 1
    assert "does not answer" in done.stderr
    assert "not-the-password" not in done.stderr


def test_a_server_that_nobody_vouches_for_is_not_spoken_to(secured: Lab) -> None:
    more = {**secured.more, "CX_CLICKHOUSE__CA_FILE": "", "CX_CLICKHOUSE__CONNECT_TIMEOUT_S": "2"}
    lab = Lab(
        addresses=secured.addresses, log=secured.log, folder=secured.folder, broker=secured.broker, more=more
    )
    done = lab.cx("migrate")
    assert done.returncode == 1
    assert "certificate" in done.stderr.lower()
