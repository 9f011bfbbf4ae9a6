"""Ends the queries of clients that are gone, or that have said that they do not want the answer any more."""

import contextlib
import select
import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Final

_LOOK_EVERY_S: Final = 0.1


class Watch:
    """Looks at the sockets of clients whose queries are under way: there is nothing to be read unless they give
    up.
    """

    def __init__(self, end: Callable[[str], None]) -> None:
        """``end``: ends the query of this tag."""
        self._end = end
        self._lock = threading.Lock()
        self._watched: dict[int, tuple[socket.socket, str]] = {}
        threading.Thread(target=self._run, daemon=True, name="watch").start()

    @contextlib.contextmanager
    def over(self, client: socket.socket, tag: str) -> Iterator[None]:
        """A query is under way."""
        number = client.fileno()
        with self._lock:
            self._watched[number] = client, tag
        try:
            yield
        finally:
            with self._lock:
                self._watched.pop(number, None)

    def _run(self) -> None:
        while True:
            time.sleep(_LOOK_EVERY_S)
            for tag in self._given_up():
                self._end(tag)

    def _given_up(self) -> list[str]:
        with self._lock:
            if not self._watched:
                return []
            asked = select.poll()
            for number in self._watched:
                asked.register(number, select.POLLIN)
            ready = [number for number, _ in asked.poll(0)]
            return [self._watched.pop(number)[1] for number in ready]
