"""Those who listen to the stream. Frames wait for each of them in a short queue; who is slow is let go."""

import asyncio
from collections import deque
from collections.abc import Callable, Iterable
from typing import Final, NamedTuple

from pipeline.web.asked import StreamParameters

#: Frames that may wait for a client; a second gives one to five.
MOST_WAITING: Final = 60


class Frame(NamedTuple):
    """A server-sent event."""

    event: str
    data: str


class TooManyClients(RuntimeError):  # noqa: N818 - it is a state, not an error
    """No more can listen."""


class Client:
    """One who listens, and what is waiting for them."""

    def __init__(self, asked: StreamParameters, who: str = "") -> None:
        """``who``: their address."""
        self.asked = asked
        self.who = who
        self.is_new = True
        """Whether everything is still to be sent."""
        self.is_slow = False
        self._frames: deque[Frame] = deque()
        self._changed = asyncio.Event()
        self._is_closed = False

    def put(self, frame: Frame) -> None:
        """Have it sent. A client that does not keep up gets nothing more."""
        if self._is_closed:
            return
        if len(self._frames) >= MOST_WAITING:
            self.is_slow = True
            self._frames.clear()
            self.close()
            return
        self._frames.append(frame)
        self._changed.set()

    def put_all(self, frames: Iterable[Frame]) -> None:
        for frame in frames:
            self.put(frame)

    def close(self) -> None:
        """Nothing more comes."""
        self._is_closed = True
        self._changed.set()

    async def next(self) -> Frame | None:
        """The next frame, as it comes; None at the end."""
        while not self._frames:
            if self._is_closed:
                return None
            self._changed.clear()
            await self._changed.wait()
        return self._frames.popleft()


class Clients:
    """All who listen."""

    def __init__(
        self, most: int, on_count: Callable[[int], None] = lambda _: None, most_of_one: int | None = None
    ) -> None:
        """``on_count`` is told how many there are whenever that changes. ``most_of_one``: of one address."""
        self._most = most
        self._most_of_one = most if most_of_one is None else most_of_one
        self._on_count = on_count
        self._all: set[Client] = set()
        self._is_closed = False

    def __len__(self) -> int:
        return len(self._all)

    def join(self, asked: StreamParameters, who: str = "") -> Client:
        """Raises TooManyClients."""
        if self._is_closed or len(self._all) >= self._most:
            raise TooManyClients(f"{self._most} clients are listening already (CX_WEB__CLIENTS)")
        if sum(one.who == who for one in self._all) >= self._most_of_one:
            raise TooManyClients(
                f"{self._most_of_one} clients of one address listen already (CX_WEB__CLIENTS_EACH)"
            )
        client = Client(asked, who)
        self._all.add(client)
        self._on_count(len(self._all))
        return client

    def leave(self, client: Client) -> None:
        client.close()
        self._all.discard(client)
        self._on_count(len(self._all))

    def by_view(self) -> dict[StreamParameters, list[Client]]:
        """Clients that look at the same thing."""
        found: dict[StreamParameters, list[Client]] = {}
        for client in self._all:
            found.setdefault(client.asked, []).append(client)
        return found

    def put(self, frame: Frame) -> None:
        """To all."""
        for client in self._all:
            client.put(frame)

    def close(self) -> None:
        """Let everybody go: the worker is about to end."""
        self._is_closed = True
        for client in self._all:
            client.close()
