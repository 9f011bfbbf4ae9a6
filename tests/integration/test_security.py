"""Everything encrypted, everybody known, nobody's customers: on a real Apache Kafka and behind TLS."""

import re
import ssl
from collections.abc import Iterator

import pytest
import trustme
from cryptography.hazmat.primitives import serialization

from deploy.embedded.process import free_port
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
