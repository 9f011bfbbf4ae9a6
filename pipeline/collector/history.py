"""A file of one source's requests or rows to touchpoints, each once: for ``replay``."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from pipeline.collector.finishing import Finished
from pipeline.collector.recorded import requests_in
from pipeline.collector.sources_file import Source


class Unread(NamedTuple):
    """What cannot be mapped."""

    line: int
    problem: str


def touchpoints_in(
    path: Path, source: Source, headers: Mapping[str, str], skipped: int = 0
) -> Iterator[tuple[int, Finished] | Unread]:
    """Each touchpoint with its line. Copies, and orders told again, are left out.

    Raises RecordedError, OSError.
    """
    seen = set[bytes]()
    for line, request in requests_in(path, source.path, headers, skipped):
        if request.method == "OPTIONS" or source.intake.hand_shake(request) is not None:
            continue
        try:
            taken = source.intake.take(request, is_known=True)
        except ValueError as error:
            yield Unread(line, str(error))
            continue
        if taken.problems:
            yield Unread(line, taken.error)
        for one in taken.finished:
            keys = {key for key in (one.native, one.order) if key}
            if seen.isdisjoint(keys):
                yield line, one
            seen |= keys
