"""Resolve anew what the Flink job needs and write coordinates and SHA-256 of that to ``flink.lock``.

``make lock`` does so.
"""

from pathlib import Path
from typing import Final

from deploy.embedded.jars import locked

_VERSION: Final = "2.2.1"
#: Those after ``connector-base`` come by themselves, but the resolver would take another version of some.
_PARTS: Final = (
    *("table-planner-loader", "table-runtime", "table-api-java-bridge", "clients", "json", "connector-base"),
    *("annotations", "cep", "connector-datagen", "core", "core-api", "datastream", "datastream-api"),
    *("file-sink-common", "hadoop-fs", "metrics-core", "queryable-state-client-java", "rpc-akka-loader"),
    *("rpc-core", "runtime", "streaming-java", "table-api-bridge-base", "table-api-java", "table-common"),
)
_ASKED: Final = (
    *(f"org.apache.flink:flink-{part}:{_VERSION}" for part in _PARTS),
    "org.apache.flink:flink-connector-kafka:5.0.0-2.2",
    "org.slf4j:slf4j-nop:1.7.36",
)


if __name__ == "__main__":
    Path(__file__).with_name("flink.lock").write_text(locked(_ASKED))
