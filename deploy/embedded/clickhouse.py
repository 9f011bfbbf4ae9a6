"""Start the embedded ClickHouse as a process of its own, and wait until it answers."""

import sys
from pathlib import Path

from deploy.embedded.process import Child, StartError, is_listening


def start(port: int, data_dir: Path, log: Path | None) -> Child:
    """Serve the data directory on 127.0.0.1:port. One process owns a directory. Raises StartError."""
    data_dir.mkdir(parents=True, exist_ok=True)
    module = "deploy.embedded.clickhouse_server"
    child = Child("embedded ClickHouse", [sys.executable, "-m", module, str(port), str(data_dir.absolute())], log)
    try:
        child.wait_until(lambda: is_listening("127.0.0.1", port), timeout_s=60)
    except StartError:
        child.stop()
        raise
    return child
