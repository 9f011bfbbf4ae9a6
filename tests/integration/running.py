"""``cx-signals up`` as a child process, and the commands beside it."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from clickhouse_driver import Client
from confluent_kafka import Message

from pipeline.kafka.clients import new_producer
from pipeline.kafka.logs import partitions_of, read_to_end
from pipeline.settings import KafkaSettings

COMMAND = [sys.executable, "-m", "pipeline"]
_READY_S = 90.0


def cx(
    *arguments: str, environ: Mapping[str, str] | None = None, timeout: float = 300
) -> subprocess.CompletedProcess[str]:
    """Run a command of the command line to its end."""
    env = {k: v for k, v in os.environ.items() if not k.startswith("CX_")} | dict(environ or {})
    return subprocess.run(
        [*COMMAND, *arguments], env=env, capture_output=True, text=True, timeout=timeout, check=False
    )


@dataclass
class Running:
    process: subprocess.Popen[str]
    addresses: dict[str, str]
    log: Path

    @classmethod
    def start(cls, folder: Path, *options: str, environ: Mapping[str, str] | None = None) -> "Running":
        log = folder / "up.log"
        env = {k: v for k, v in os.environ.items() if not k.startswith("CX_")} | dict(environ or {})
        with log.open("w") as errors:
            process = subprocess.Popen(
                [*COMMAND, "up", *(options or ("--no-simulate",))],
                env=env,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
            )
        assert process.stdout is not None
        for line in process.stdout:
            if line.startswith("ready "):
                return cls(process, json.loads(line.removeprefix("ready ")), log)
        raise AssertionError(f"up ended before it was ready: {log.read_text()}")

    @property
    def environ(self) -> dict[str, str]:
        host, _, port = self.addresses["clickhouse"].rpartition(":")
        return {
            "CX_KAFKA__BOOTSTRAP_SERVERS": self.addresses["kafka"],
            "CX_CLICKHOUSE__HOST": host,
            "CX_CLICKHOUSE__PORT": port,
        }

    @property
    def kafka(self) -> KafkaSettings:
        return KafkaSettings(bootstrap_servers=self.addresses["kafka"])

    def cx(self, *arguments: str, timeout: float = 300) -> subprocess.CompletedProcess[str]:
        return cx(*arguments, environ=self.environ, timeout=timeout)

    def sql(self, query: str, values: Any = None) -> Any:
        host, _, port = self.addresses["clickhouse"].rpartition(":")
        client = Client(host, port=int(port))
        try:
            return client.execute(query, values)
        finally:
            client.disconnect()

    def send(self, topic: str, messages: list[tuple[str, bytes]], **more: Any) -> None:
        producer = new_producer(self.kafka)
        for key, value in messages:
            producer.produce(topic, key=key, value=value, **more)
        assert producer.flush(30) == 0

    def messages(self, topic: str) -> list[Message]:
        sources = partitions_of(self.kafka, [topic])
        return [message for _, some in read_to_end(self.kafka, sources) for message in some]

    def wait_for(self, what: Callable[[], bool], timeout_s: float = 60.0) -> None:
        deadline = time.monotonic() + timeout_s
        while not what():
            assert time.monotonic() < deadline, self.log.read_text()
            time.sleep(0.2)

    def stop(self, number: int = signal.SIGINT) -> int:
        self.process.send_signal(number)
        try:
            return self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise
