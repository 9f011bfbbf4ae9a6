"""Running systems for tests: ``cx-signals up`` as a user starts it, and its parts one by one."""

import collections
import itertools
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self, TypeVar

from clickhouse_driver import Client
from confluent_kafka import Message

from deploy.embedded import clickhouse, kafka
from deploy.embedded.process import Child, free_port
from deploy.embedded.stack import resident_bytes
from pipeline.kafka.clients import new_producer
from pipeline.kafka.logs import partitions_of, read_to_end
from pipeline.settings import KafkaSettings

COMMAND = [sys.executable, "-m", "pipeline"]
Read = TypeVar("Read")
#: ``verify`` waits for what is acknowledged, and that is what is checkpointed: tests have not that much time.
_OFTEN = {"CX_PIPELINE__CHECKPOINT_INTERVAL_S": "2"}


def clean(environ: Mapping[str, str] | None = None) -> dict[str, str]:
    """This process's environment without settings of ours, and the ones given; checkpoints are frequent."""
    others = {k: v for k, v in os.environ.items() if not k.startswith("CX_")}
    return others | _OFTEN | dict(environ or {})


def cx(
    *arguments: str, environ: Mapping[str, str] | None = None, timeout: float = 300
) -> subprocess.CompletedProcess[str]:
    """Run a command of the command line to its end."""
    return subprocess.run(
        [*COMMAND, *arguments], env=clean(environ), capture_output=True, text=True, timeout=timeout, check=False
    )


def unchanged(read: Callable[[], Read]) -> Read:
    """What a page and the tables give of one and the same state: late events correct, timeouts run out."""
    for _ in range(20):
        before = read()
        if read() == before:
            return before
    raise AssertionError("it never stood still")


@dataclass(kw_only=True)
class System:
    """Kafka and ClickHouse with a pipeline between them, and what a test does to it."""

    addresses: dict[str, str]
    log: Path
    more: dict[str, str] = field(default_factory=dict)
    """Settings besides the addresses."""

    @property
    def environ(self) -> dict[str, str]:
        host, _, port = self.addresses["clickhouse"].rpartition(":")
        return {
            "CX_KAFKA__BOOTSTRAP_SERVERS": self.addresses["kafka"],
            "CX_CLICKHOUSE__HOST": host,
            "CX_CLICKHOUSE__PORT": port,
            **self.more,
        }

    @property
    def kafka(self) -> KafkaSettings:
        prefix, from_file = "CX_KAFKA__", "_file"
        given: dict[str, Any] = {
            name.removeprefix(prefix).lower(): value
            for name, value in self.more.items()
            if name.startswith(prefix)
        }
        secrets = {name: given.pop(name + from_file) for name in ("sasl_password",) if name + from_file in given}
        given |= {name: Path(path).read_text().strip() for name, path in secrets.items()}
        return KafkaSettings(bootstrap_servers=self.addresses["kafka"], **given)

    def cx(self, *arguments: str, timeout: float = 300) -> subprocess.CompletedProcess[str]:
        return cx(*arguments, environ=self.environ, timeout=timeout)

    def sql(self, query: str, values: Any = None) -> Any:
        host, _, port = self.addresses["clickhouse"].rpartition(":")
        client = Client(host, port=int(port), password=self.more.get("CX_CLICKHOUSE__PASSWORD", ""))
        try:
            return client.execute(query, values)
        finally:
            client.disconnect()

    def send(self, topic: str, messages: list[tuple[str, bytes]], **more: Any) -> None:
        refused: list[Any] = []
        producer = new_producer(self.kafka)

        def note(error: Any, _: Any) -> None:
            if error:
                refused.append(error)

        for key, value in messages:
            producer.produce(topic, key=key, value=value, on_delivery=note, **more)
        assert producer.flush(30) == 0
        assert not refused

    def messages(self, topic: str) -> list[Message]:
        sources = partitions_of(self.kafka, [topic])
        return [message for _, some in read_to_end(self.kafka, sources) for message in some]

    def wait_for(self, what: Callable[[], bool], timeout_s: float = 180.0) -> float:
        """Wait until it holds; gives the seconds that took."""
        started = time.monotonic()
        while not what():
            assert time.monotonic() < started + timeout_s, self.last_words()
            time.sleep(0.1)
        return time.monotonic() - started

    def last_words(self) -> str:
        """What the worker started last said of errors: their lines, the ends of tracebacks; and the log's end."""
        lines = self.log.read_text().splitlines()
        starts = [i for i, line in enumerate(lines) if line.endswith("[^Worker]: Starting...")]
        said = lines[starts[-1] if starts else 0 :]
        shown: list[str] = []
        for is_ours, run in itertools.groupby(said, lambda line: line.startswith("[20")):
            some = list(run)
            shown += [x for x in some if re.search("WARNING|ERROR|CRITICAL", x)] if is_ours else some[-8:]
        return "\n".join([*(line[:300] for line in shown[-150:]), "...", *said[-5:]])

    def verify(self, timeout_s: float = 200) -> str:
        """Have ``verify`` find no difference when all is checkpointed; gives what it said."""
        done = self.cx("verify", "--wait", "--timeout", str(timeout_s), timeout=timeout_s + 300)
        assert done.returncode == 0, done.stdout + done.stderr + self.log.read_text()[-3_000:]
        return done.stdout

    def stop(self, number: int = signal.SIGINT) -> int:
        raise NotImplementedError


@dataclass(kw_only=True)
class Running(System):
    """``cx-signals up``."""

    process: subprocess.Popen[str]
    said: collections.deque[str]
    """The last lines it has printed."""

    @classmethod
    def start(cls, folder: Path, *options: str, environ: Mapping[str, str] | None = None) -> Self:
        log = folder / "up.log"
        given = {"CX_CLICKHOUSE__PASSWORD": "of this test"} | dict(environ or {})
        with log.open("w") as errors:
            process = subprocess.Popen(
                [*COMMAND, "up", *(options or ("--no-simulate",))],
                env=clean(given),
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
            )
        assert process.stdout is not None
        for line in process.stdout:
            if line.startswith("ready "):
                addresses = json.loads(line.removeprefix("ready "))
                # A pipe that nobody reads from would stop it when it is full.
                said = collections.deque[str](maxlen=1_000)
                threading.Thread(target=said.extend, args=(process.stdout,), daemon=True).start()
                password = {"CX_CLICKHOUSE__PASSWORD": given["CX_CLICKHOUSE__PASSWORD"]}
                return cls(addresses=addresses, log=log, more=password, process=process, said=said)
        raise AssertionError(f"up ended before it was ready: {log.read_text()}")

    def stop(self, number: int = signal.SIGINT) -> int:
        self.process.send_signal(number)
        try:
            return self.process.wait(90)  # on a busy machine; it says which part it had to kill
        except subprocess.TimeoutExpired as error:
            self.process.kill()
            raise AssertionError(f"up did not end: {self.log.read_text()[-2_000:]}") from error


class Worker:
    """One worker process and what its own pages say."""

    def __init__(
        self, environ: Mapping[str, str], log: Path, command: list[str] | None = None, port: int | None = None
    ) -> None:
        self.port = port or free_port()
        self.started = time.monotonic()
        env = clean(environ) | {"CX_WEB__PORT": str(self.port)}
        self.child = Child("worker", command or [*COMMAND, "worker"], log, env)

    def page(self, name: str) -> str:
        """A page of its web server; empty where it does not answer (yet)."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/{name}", timeout=2) as page:
                return str(page.read().decode())
        except OSError:
            return ""

    def owned(self) -> int:
        """Partitions that it has."""
        words = self.page("readyz").split()
        return int(words[0]) if words else 0

    def metric(self, name: str, **labels: str) -> float:
        """Sum of a metric over all series with these labels. No answer is not a zero: it is waited for."""
        total = 0.0
        for line in self._exposition().splitlines():
            found = re.fullmatch(rf"{name}(?:\{{(.*)\}})? (\S+)", line)
            if found and all(f'{key}="{value}"' in (found[1] or "") for key, value in labels.items()):
                total += float(found[2])
        return total

    def _exposition(self) -> str:
        deadline = time.monotonic() + 60
        while not (text := self.page("metrics")):
            assert self.child.process.poll() is None, "the worker has ended"
            assert time.monotonic() < deadline, "the worker's metrics page does not answer"
            time.sleep(0.2)
        return text

    def processed(self) -> float:
        """Records taken from touchpoint topics, ticks left aside."""
        return self.metric("cx_events_total") - self.metric("cx_events_total", outcome="tick")

    def megabytes(self) -> float:
        return (resident_bytes(self.child.pid) or 0) / 2**20


@dataclass(kw_only=True)
class Lab(System):
    """Kafka, ClickHouse and workers, each of which can be killed and started again by itself."""

    folder: Path
    broker: kafka.Kafka
    clickhouse_child: Child | None = None
    workers: list[Worker] = field(default_factory=list)

    @classmethod
    def start(cls, folder: Path, environ: Mapping[str, str] | None = None, workers: int = 1) -> Self:
        clickhouse_port = free_port()
        broker = kafka.Kafka(folder / "kafka")
        broker.start()
        addresses = {"kafka": broker.address, "clickhouse": f"127.0.0.1:{clickhouse_port}"}
        lab = cls(
            addresses=addresses,
            log=folder / "worker.log",
            more=dict(environ or {}),
            folder=folder,
            broker=broker,
        )
        lab.log.touch()
        try:
            lab.start_clickhouse()
            for command in ("topics", "migrate"):
                done = lab.cx(command)
                assert done.returncode == 0, done.stderr
            for _ in range(workers):
                lab.start_worker()
            lab.wait_for(lambda: all(worker.owned() for worker in lab.workers))
        except BaseException:
            lab.stop()
            raise
        return lab

    def start_clickhouse(self) -> None:
        """Start it, or start it again with the data that it had."""
        port = int(self.addresses["clickhouse"].rpartition(":")[2])
        log = self.folder / "clickhouse.log"
        self.clickhouse_child = clickhouse.start(port, self.folder / "clickhouse", log)

    def start_worker(self, command: list[str] | None = None, port: int | None = None, **environ: str) -> Worker:
        worker = Worker(self.environ | environ, self.log, command, port)
        self.workers.append(worker)
        return worker

    def kill_worker(self, worker: Worker) -> None:
        worker.child.kill()
        self.workers.remove(worker)

    def stop_worker(self, worker: Worker) -> int:
        """End it as an operator does; gives its exit status."""
        worker.child.stop(60)
        self.workers.remove(worker)
        return int(worker.child.process.returncode)

    def stop(self, number: int = signal.SIGTERM) -> int:
        for worker in self.workers:
            worker.child.stop()
        if self.clickhouse_child is not None:
            self.clickhouse_child.stop()
        self.broker.stop()
        return 0
