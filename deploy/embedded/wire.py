"""What the driver's readers read from, in place of a plain socket."""

import socket
from typing import Any


class Memory:
    """Bytes in memory, as the driver's reader takes them from a socket."""

    def __init__(self, data: bytes) -> None:
        self._rest = memoryview(data)

    def recv_into(self, buffer: Any) -> int:
        count = min(len(buffer), len(self._rest))
        buffer[:count] = self._rest[:count]
        self._rest = self._rest[count:]
        return count


class Tap:
    """A socket that can keep a copy of what is read from it: a block's bytes, to be passed on as is."""

    def __init__(self, sock: socket.socket) -> None:
        self._socket = sock
        self._copy: bytearray | None = None

    def recv_into(self, buffer: Any) -> int:
        count = self._socket.recv_into(buffer)
        if self._copy is not None:
            self._copy += memoryview(buffer)[:count]
        return count

    def start(self, reader: Any) -> None:
        """Copy from the reader's next byte on."""
        self._copy = bytearray(bytes(reader.buffer[reader.position : reader.current_buffer_size]))

    def stop(self, reader: Any) -> bytes:
        """The bytes that the reader has consumed since ``start``."""
        assert self._copy is not None
        unread = reader.current_buffer_size - reader.position
        copied, self._copy = self._copy, None
        return bytes(copied[: len(copied) - unread])
