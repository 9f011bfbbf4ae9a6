"""The whole thing on one machine: Kafka, ClickHouse, and what is given to run on them."""

import contextlib
import json
import os
import secrets
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path

from deploy.embedded import clickhouse, kafka
from deploy.embedded.process import Child, check_free, free_port


class Stack:
    """Starts the parts, keeps them together, ends them in reverse order."""

    def __init__(
        self,
        data_dir: Path | None,
        user: str = "default",
        password: str = "",
        kafka_address: str = "",
        kafka_home: str = "",
    ) -> None:
        """``user``, ``password``: who may use ClickHouse; without a password one is made up.

        ``kafka_address``: of a broker that runs already; ``kafka_home``: of an installed Kafka.
        """
        self.user, self.password = user, password or secrets.token_urlsafe(24)
        self._temporary = data_dir is None
        self.data_dir = data_dir or Path(tempfile.mkdtemp(prefix="cx-signals-"))
        self.data_dir.mkdir(parents=True, exist_ok=True)
        self.data_dir.chmod(0o700)
        self.logs = self.data_dir / "logs"
        self.logs.mkdir(exist_ok=True)
        self.shop_file = self.data_dir / "incidents.json"
        """What is ordered of a simulated shop."""
        self.caught_up_file = self.data_dir / "caught-up"
        """There as soon as the simulated past has been sent."""
        for path in (self.shop_file, self.caught_up_file):
            path.unlink(missing_ok=True)
        self.children: dict[str, Child] = {}
        self.kafka: kafka.Kafka | None = None
        """The broker that it has started."""
        self.kafka_address = kafka_address
        self._kafka_home = kafka_home
        self._is_own = not kafka_address
        self._is_new = False
        self.clickhouse_port = 0
        self.web_port = 0
        self.collector_port = 0
        self.collector_metrics_port = ""
        self.shop_port = 0
        """Of the demo shop; 0 where there is none."""

    def start(
        self,
        kafka_port: int | None,
        clickhouse_port: int | None,
        web_port: int | None,
        collector_port: int | None = None,
    ) -> None:
        """Start Kafka and ClickHouse on the ports given, or on free ones. Raises StartError."""
        own_port = _port(kafka_port, "Kafka")
        self.clickhouse_port = _port(clickhouse_port, "ClickHouse")
        self.web_port = _port(web_port, "web")
        self.collector_port = _port(collector_port, "collector")
        # One that somebody has chosen, for a Prometheus beside this, stays.
        self.collector_metrics_port = os.environ.get("CX_COLLECTOR__METRICS_PORT") or str(free_port())
        if self._is_own:
            log = self.logs / "kafka.log"
            self.kafka = kafka.Kafka(self.data_dir / "kafka", own_port, log, self._kafka_home)
            self._is_new, self.kafka_address = self.kafka.is_new, self.kafka.address
            self.children["kafka"] = self.kafka.start()
        self.children["clickhouse"] = clickhouse.start(
            self.clickhouse_port,
            self.data_dir / "clickhouse",
            self.logs / "clickhouse.log",
            self.password,
            self.user,
        )

    def environment(self) -> dict[str, str]:
        """Settings that point everything at this stack; those of a broker that is not ours stay as they are."""
        return {
            "CX_KAFKA__BOOTSTRAP_SERVERS": self.kafka_address,
            "CX_CLICKHOUSE__SECURE": "false",
            "CX_CLICKHOUSE__CLUSTER": "",
            "CX_CLICKHOUSE__HOST": "127.0.0.1",
            "CX_CLICKHOUSE__PORT": str(self.clickhouse_port),
            "CX_CLICKHOUSE__USER": self.user,
            "CX_CLICKHOUSE__PASSWORD": self.password,
            "CX_WEB__HOST": "127.0.0.1",
            "CX_WEB__PORT": str(self.web_port),
            "CX_COLLECTOR__HOST": "127.0.0.1",
            "CX_COLLECTOR__PORT": str(self.collector_port),
            "CX_COLLECTOR__METRICS_PORT": self.collector_metrics_port,
            "CX_COLLECTOR__MEMORY_DIR": str(self.data_dir / "collector"),
            **(self._of_own_broker() if self._is_own else {}),
        }

    def _of_own_broker(self) -> dict[str, str]:
        return {"CX_KAFKA__SECURITY_PROTOCOL": "PLAINTEXT", "CX_PIPELINE__GENERATION": str(self._generation())}

    def run(self, name: str, command: list[str], environ: Mapping[str, str]) -> Child:
        """Start a process of ours beside them; its output goes to a log."""
        child = Child(name, command, self.logs / f"{name}.log", os.environ | dict(environ))
        self.children[name] = child
        return child

    def ready_line(self) -> str:
        addresses = {
            "kafka": self.kafka_address,
            "clickhouse": f"127.0.0.1:{self.clickhouse_port}",
            "web": f"http://127.0.0.1:{self.web_port}",
            "collector": f"http://127.0.0.1:{self.collector_port}",
        }
        if self.shop_port:
            addresses["shop"] = f"http://127.0.0.1:{self.shop_port}"
        return f"ready {json.dumps(addresses)}"

    @property
    def has_a_past(self) -> bool:
        """Whether it goes on with the topics of an earlier start, or with those of a broker that is not ours."""
        return not self._is_new

    def stop(self) -> list[str]:
        """End everything, the last started first; gives what each one said last that had to be made to end."""
        forced = [
            f"{child.name} did not end when asked: {child.tail()}"
            for child in reversed(list(self.children.values()))
            if not child.stop()
        ]
        self.children.clear()
        if self._temporary:
            shutil.rmtree(self.data_dir, ignore_errors=True)
        return forced

    def _generation(self) -> int:
        """One more where Kafka's logs have started anew since: ClickHouse may hold rows of the former ones."""
        path = self.data_dir / "generation"
        if not hasattr(self, "_counted"):
            before = 0
            with contextlib.suppress(FileNotFoundError, ValueError):
                before = int(path.read_text())
            self._counted = max(1, before + self._is_new)
            path.write_text(f"{self._counted}\n")
        return self._counted


def _port(wanted: int | None, what: str) -> int:
    if wanted is None:
        return free_port()
    check_free(wanted, what)
    return wanted


def resident_bytes(pid: int) -> int | None:
    """Memory of a process; None where the system does not tell."""
    with contextlib.suppress(OSError, ValueError, IndexError):
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")
    return None
