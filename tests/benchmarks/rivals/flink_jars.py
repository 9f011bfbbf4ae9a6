"""Resolve anew what the Flink job needs and write coordinates and SHA-256 of that to ``flink.lock``.

In the environment of the rivals: ``python -m tests.benchmarks.rivals.flink_jars``.
"""

import hashlib
import tempfile
from pathlib import Path
from typing import Final

from jgo.maven import Dependency, MavenContext

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


def main() -> None:
    with tempfile.TemporaryDirectory() as cache:
        context = MavenContext(repo_cache=Path(cache), timeout=30)
        parts = [coordinate.split(":") for coordinate in _ASKED]
        artifacts = [context.project(group, name).at_version(version).artifact() for group, name, version in parts]
        inputs, others = context.resolver.resolve([Dependency(one, scope="compile") for one in artifacts])
        sums = {
            f"{one.groupId}:{one.artifactId}:{one.version}": hashlib.sha256(one.resolve().read_bytes()).hexdigest()
            for one in (dependency.artifact for dependency in (*inputs, *others))
        }
    lines = ("# Coordinates and SHA-256.", *(f"{name} {sums[name]}" for name in sorted(sums)))
    Path(__file__).with_name("flink.lock").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
