"""Apache Kafka's jars, from Maven Central by their coordinates: once, and only those whose sums are pinned.

``python -m deploy.embedded.jars`` fetches what is not there yet (``make`` does so while setting up); with
``--lock`` it resolves anew what Kafka needs and writes the sums of that. Neither Maven nor an installed Java is
asked for: the jars are resolved in Python, and the Java that runs them is a wheel.
"""

import argparse
import hashlib
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

from deploy.embedded.process import StartError

LOCK: Final = Path(__file__).with_name("kafka.lock")
_ASKED: Final = (
    "org.apache.kafka:kafka_2.13:4.3.1",
    "org.slf4j:slf4j-simple:1.7.36",  # Kafka logs through slf4j 1.7, so the binding is 1.7 too
)
_AT_ONCE: Final = 8
Resolve = Callable[[str, Path], Path]
"""Gives the file of a coordinate, kept in a folder."""
_TIMEOUT_S: Final = 30


def class_path(home: str = "") -> str:
    """Of the jars, fetched where they are not there yet. ``home``: of an installed Kafka, taken instead.

    Raises StartError where they cannot be had.
    """
    if home:
        libs = Path(home) / "libs"
        if not any(libs.glob("kafka-server-*.jar")):
            raise StartError(f"embedded Kafka: no Kafka is installed in {home}: {libs} has no kafka-server jar")
        return f"{libs}/*"
    return f"{fetched()}/*"


def _resolved(coordinate: str, cache: Path) -> Path:
    from jgo.maven import MavenContext

    group, artifact, version = coordinate.split(":")
    project = MavenContext(repo_cache=cache, timeout=_TIMEOUT_S).project(group, artifact)
    return Path(project.at_version(version).artifact().resolve())


def fetched(lock: Path = LOCK, cache: Path | None = None, resolve: Resolve = _resolved) -> Path:
    """The folder with the jars that ``lock`` pins, named after it; it is whole where it is there at all.

    Raises StartError.

    ``cache``: where that folder is; None: in the user's own.
    """
    text = lock.read_bytes()
    cache = cache or Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "cx-signals"
    folder = cache / f"{lock.stem}-{hashlib.sha256(text).hexdigest()[:12]}"
    if folder.is_dir():
        return folder
    cache.mkdir(parents=True, exist_ok=True)
    fresh = Path(tempfile.mkdtemp(prefix=f".{lock.stem}-", dir=cache))
    try:
        wanted = [line.split() for line in text.decode().splitlines() if line and not line.startswith("#")]
        with tempfile.TemporaryDirectory() as held, ThreadPoolExecutor(_AT_ONCE) as pool:
            contents = pool.map(lambda one: _content(one[0], one[1], Path(held), resolve), wanted)
            for (coordinate, _), content in zip(wanted, contents, strict=True):
                _, artifact, version = coordinate.split(":")
                (fresh / f"{artifact}-{version}.jar").write_bytes(content)
        fresh.rename(folder)
    except OSError:
        if not folder.is_dir():  # else another process was quicker
            raise
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
    return folder


def _content(coordinate: str, sha256: str, held: Path, resolve: Resolve) -> bytes:
    """Of one jar; ``held``: where the resolver keeps what it loads. Raises StartError."""
    try:
        content = resolve(coordinate, held).read_bytes()
    except Exception as error:  # of requests, of the resolver, of the disk
        raise StartError(
            f"embedded Kafka: {coordinate} cannot be fetched from Maven Central ({error}); once it can, "
            "'python -m deploy.embedded.jars' does. Or name an installed Kafka in CX_EMBEDDED__KAFKA_HOME, or "
            "one that runs in CX_EMBEDDED__KAFKA"
        ) from error
    if hashlib.sha256(content).hexdigest() != sha256:
        raise StartError(
            f"embedded Kafka: {coordinate} is not the file that {LOCK.name} pins: nothing of it is run"
        )
    return content


def locked(asked: Iterable[str] = _ASKED) -> str:
    """Coordinates and sums of all that these need, as a lock has them. Asks Maven Central."""
    from jgo.maven import Dependency, MavenContext

    with tempfile.TemporaryDirectory() as cache:
        context = MavenContext(repo_cache=Path(cache), timeout=_TIMEOUT_S)
        parts = [coordinate.split(":") for coordinate in asked]
        artifacts = [context.project(group, name).at_version(version).artifact() for group, name, version in parts]
        inputs, others = context.resolver.resolve([Dependency(one, scope="compile") for one in artifacts])
        sums = {
            f"{one.groupId}:{one.artifactId}:{one.version}": hashlib.sha256(one.resolve().read_bytes()).hexdigest()
            for one in (dependency.artifact for dependency in (*inputs, *others))
        }
    lines = (
        "# Made by 'make lock': coordinates and SHA-256.",
        *(f"{name} {sums[name]}" for name in sorted(sums)),
    )
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--lock", action="store_true", help="write the sums of what Kafka needs now")
    if parser.parse_args().lock:
        LOCK.write_text(locked())
        return
    try:
        fetched()
    except StartError as error:
        sys.exit(f"warning: {error}")


if __name__ == "__main__":
    main()
