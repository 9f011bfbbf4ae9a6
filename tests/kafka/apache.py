"""A real Apache Kafka for tests: one KRaft node on free ports, its log kept over restarts.

The jars come from Maven Central once and stay in ``build/``. Where Java or Maven is missing the tests
that need it are skipped with the reason; in CI they fail.
"""

import hashlib
import os
import shutil
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from deploy.embedded.process import Child, free_port
from tests.needs import need

_POM: Final = Path(__file__).with_name("pom.xml")
_ROOT: Final = Path(__file__).parents[2]
_CLUSTER_ID: Final = "Y3gtc2lnbmFscy10ZXN0cw"
_JAVA: Final = (
    "java",
    "-Xmx512m",
    "-Xms128m",
    "-XX:+UseSerialGC",
    "-XX:TieredStopAtLevel=1",
    "-Djava.awt.headless=true",
    "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
)
_READY_S: Final = 60.0


def missing() -> str | None:
    """What is not there; None where the broker can be run."""
    lacking = [tool for tool in ("java", "mvn") if shutil.which(tool) is None]
    return f"Apache Kafka needs {' and '.join(lacking)}, not found" if lacking else None


def require() -> None:
    """Skip the test where the broker cannot be run; in CI, fail."""
    reason = missing() or ""
    need(not reason, reason)


def jars() -> Path:
    """The folder with the jars, fetched where it is not there yet."""
    digest = hashlib.sha256(_POM.read_bytes()).hexdigest()[:12]
    folder = _ROOT / "build" / f"kafka-{digest}"
    if not folder.is_dir():
        fresh = folder.with_suffix(f".{os.getpid()}")
        command = [
            "mvn",
            "-q",
            "-B",
            "-f",
            str(_POM),
            "dependency:copy-dependencies",
            f"-DoutputDirectory={fresh}",
        ]
        done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
        assert done.returncode == 0, f"Maven could not fetch Kafka: {done.stdout[-2000:]}{done.stderr[-2000:]}"
        try:
            fresh.rename(folder)
        except OSError:  # another test process was quicker
            shutil.rmtree(fresh)
    return folder


@dataclass(frozen=True, slots=True)
class Secured:
    """A listener that takes TLS and users only."""

    identity: str
    """PEM: the broker's key and certificate."""
    user: str
    password: str
    mechanism: str = "SCRAM-SHA-512"


class ApacheKafka:
    """One broker in a folder. ``start`` after ``stop`` or ``kill`` goes on with the same log.

    ``secured``: such a listener beside the plain one, which only the broker itself uses then.
    """

    def __init__(
        self,
        folder: Path,
        secured: Secured | None = None,
        properties: str | None = None,
        port: int | None = None,
    ) -> None:
        """``properties``: a configuration to start with as it is; ``port``: the one that it names."""
        self._folder = folder
        self._properties = properties
        self._secured = secured
        self._secured_port = free_port()
        self._config = folder / "server.properties"
        self._class_path = f"{jars()}/*"
        self.port = port or free_port()
        self._controller_port = free_port()
        self.child: Child | None = None

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self._secured_port if self._secured else self.port}"

    def start(self) -> None:
        """Start it and wait until it answers."""
        if not self._config.exists():
            self._format()
        command = [*_JAVA, "-cp", self._class_path, "kafka.Kafka", str(self._config)]
        self.child = Child("Apache Kafka", command, self._folder / "kafka.log")
        self.child.wait_until(self._answers, _READY_S)

    def stop(self) -> None:
        assert self.child is not None
        self.child.stop(30)

    def kill(self) -> None:
        assert self.child is not None
        self.child.kill()

    def _format(self) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        more = self._secured_properties(self._secured) if self._secured else ""
        self._config.write_text(
            self._properties
            or _PROPERTIES.format(
                port=self.port,
                controller=self._controller_port,
                data=self._folder / "data",
                more_listeners=f",SASL_SSL://127.0.0.1:{self._secured_port}" if self._secured else "",
            )
            + more
        )
        tool = ["kafka.tools.StorageTool", "format", "-t", _CLUSTER_ID, "-c", str(self._config)]
        if one := self._secured:
            tool += ["--add-scram", f"{one.mechanism}=[name={one.user},password={one.password}]"]
        subprocess.run([*_JAVA, "-cp", self._class_path, *tool], check=True, capture_output=True, timeout=60)

    def _secured_properties(self, secured: Secured) -> str:
        identity = self._folder / "identity.pem"
        identity.write_text(secured.identity)
        return _SECURED.format(identity=identity, mechanism=secured.mechanism, lower=secured.mechanism.lower())

    def _answers(self) -> bool:
        admin = AdminClient({"bootstrap.servers": f"127.0.0.1:{self.port}", "log_level": 0})
        try:
            return bool(admin.list_topics(timeout=1).brokers)
        except KafkaException:
            time.sleep(0.1)
            return False


#: One node that is broker and controller. Small numbers, quick timeouts; what a cluster has otherwise is
#: the default. The session timeouts of consumers are Kafka's own.
_PROPERTIES: Final = """\
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{controller}
listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}{more_listeners}
advertised.listeners=PLAINTEXT://127.0.0.1:{port}{more_listeners}
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,SASL_SSL:SASL_SSL
controller.listener.names=CONTROLLER
inter.broker.listener.name=PLAINTEXT
log.dirs={data}
auto.create.topics.enable=false
offsets.topic.replication.factor=1
offsets.topic.num.partitions=4
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
num.network.threads=2
num.io.threads=4
log.cleaner.dedupe.buffer.size=16777216
broker.heartbeat.interval.ms=250
broker.session.timeout.ms=1500
"""
_SECURED: Final = """\
ssl.keystore.type=PEM
ssl.keystore.location={identity}
sasl.enabled.mechanisms={mechanism}
listener.name.sasl_ssl.{lower}.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required;
"""
