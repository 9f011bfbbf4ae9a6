"""Start the embedded ClickHouse as a process of its own, and wait until it answers."""

import os
import sys
from pathlib import Path
from typing import Final

from deploy.embedded.process import Child, StartError, is_listening

#: How the libraries are loaded, and how they use the processor.
_LOADING: Final = ("LD_LIBRARY_PATH", "LD_PRELOAD", "OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE", "PYTHONMALLOC")


def start(port: int, data_dir: Path, log: Path | None, password: str = "", user: str = "default") -> Child:
    """Serve the data directory on 127.0.0.1:port. One process owns a directory. Raises StartError.

    ``password``: what clients have to know; empty: nothing.
    """
    data_dir.mkdir(parents=True, exist_ok=True)
    module = "deploy.embedded.clickhouse_server"
    command = [sys.executable, "-m", module, str(port), str(data_dir.absolute())]
    # Only what it needs: a client might make the engine tell of the rest.
    kept = ("PATH", "LANG", "LC_ALL", "PYTHONPATH", "HOME", *_LOADING)
    environ = {name: os.environ[name] for name in kept if name in os.environ}
    environ |= {"CX_CLICKHOUSE__USER": user, "CX_CLICKHOUSE__PASSWORD": password}
    child = Child("embedded ClickHouse", command, log, environ)
    try:
        child.wait_until(lambda: is_listening("127.0.0.1", port), timeout_s=60)
    except StartError:
        child.stop()
        raise
    return child
