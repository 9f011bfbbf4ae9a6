"""Incidents that are ordered while a shop is simulated: a file that one process writes and another reads."""

import contextlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Final

import msgspec

from pipeline.tools.simulator.shop import INCIDENTS
from pipeline.tools.simulator.traffic import Incident

_EVERY_S: Final = 0.5


class IncidentsFile:
    """A list of incidents in a file, replaced as a whole. Implements :class:`pipeline.web.shop.Shop`."""

    names: Final = INCIDENTS

    def __init__(self, path: Path) -> None:
        self._path = path

    def read(self) -> tuple[Incident, ...]:
        """None where there is no file, or it is not one of these."""
        with contextlib.suppress(OSError, msgspec.DecodeError):
            return tuple(msgspec.json.decode(self._path.read_bytes(), type=list[Incident]))
        return ()

    def order(self, name: str, now_ms: int, length_ms: int) -> None:
        """Have an incident of this name begin now, or end now where the length is 0."""
        running = [one for one in self.read() if one.until_ms > now_ms]
        made = [one for one in running if one.name != name]
        began_ms = min([now_ms, *(one.from_ms for one in running if one.name == name)])
        if length_ms or began_ms < now_ms:
            made.append(Incident(name, began_ms, now_ms + length_ms))
        aside = self._path.with_suffix(".new")
        aside.write_bytes(msgspec.json.encode(made))
        os.replace(aside, self._path)


class Orders:
    """What the file says, looked at twice a second by the clock given."""

    def __init__(self, file: IncidentsFile, clock: Callable[[], float]) -> None:
        self._file = file
        self._clock = clock
        self._next = 0.0
        self._found: tuple[Incident, ...] = ()

    def __call__(self) -> tuple[Incident, ...]:
        now = self._clock()
        if now >= self._next:
            self._next = now + _EVERY_S
            self._found = self._file.read()
        return self._found
