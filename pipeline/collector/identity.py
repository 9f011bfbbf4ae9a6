"""What was taken in the last 48 hours: so that copies of an event, and orders told twice, are sent on once.

Best effort, of bounded size, of this process alone: copies that differ in nothing are exact anyway, by the
contract's identity. What it must catch are copies that do differ: an order from a pixel and from a webhook, an
event whose time had to be corrected.
"""

import contextlib
import fcntl
import os
from collections import deque
from pathlib import Path
from typing import BinaryIO, Final

KEPT_MS: Final = 48 * 3_600_000
_PIECE_MS: Final = 4 * 3_600_000
_KEY_BYTES: Final = 16


class Seen:
    """Keys of 16 bytes, in pieces by the time they came; the oldest piece goes first."""

    def __init__(self, most: int = 2_000_000, folder: Path | None = None) -> None:
        """``most``: keys kept, about 100 bytes each. ``folder``: where they survive a restart.

        Raises OSError where the folder cannot be used, or another process uses it.
        """
        self._most, self._most_of_piece = most, max(1, most * _PIECE_MS // KEPT_MS)
        self._folder = folder
        self._pieces: deque[_Piece] = deque()
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)
            self._lock = _locked(folder / "lock")
            self._read(folder)

    def __contains__(self, key: bytes) -> bool:
        return any(key in piece.keys for piece in self._pieces)

    def __len__(self) -> int:
        return sum(len(piece.keys) for piece in self._pieces)

    def add(self, keys: list[bytes], now_ms: int) -> None:
        """``now_ms``: wall time; what is older than 48 hours is forgotten."""
        piece = self._piece(now_ms)
        piece.keys.update(keys)
        piece.write(keys)

    def close(self) -> None:
        for piece in self._pieces:
            piece.close()
        if self._folder is not None:
            self._lock.close()

    def _piece(self, now_ms: int) -> "_Piece":
        while self._pieces and self._pieces[0].since_ms + _PIECE_MS + KEPT_MS < now_ms:
            self._pieces.popleft().remove()
        newest = self._pieces[-1] if self._pieces else None
        if newest is not None and self._has_room(newest, now_ms):
            return newest
        while self._pieces and len(self) > self._most:
            self._pieces.popleft().remove()
        if newest is not None:
            newest.close()
        path = None if self._folder is None else self._folder / f"{now_ms:013d}.seen"
        self._pieces.append(_Piece(now_ms, path))
        return self._pieces[-1]

    def _has_room(self, piece: "_Piece", now_ms: int) -> bool:
        is_of_now = piece.since_ms <= now_ms < piece.since_ms + _PIECE_MS
        return is_of_now and len(piece.keys) < self._most_of_piece

    def _read(self, folder: Path) -> None:
        for path in sorted(folder.glob("*.seen")):
            with contextlib.suppress(ValueError):
                piece = _Piece(int(path.stem), path)
                # Killed while writing, the last key may be cut short.
                content = path.read_bytes()
                whole = len(content) - len(content) % _KEY_BYTES
                os.truncate(path, whole)
                piece.keys.update(content[at : at + _KEY_BYTES] for at in range(0, whole, _KEY_BYTES))
                self._pieces.append(piece)


class _Piece:
    def __init__(self, since_ms: int, path: Path | None) -> None:
        self.since_ms = since_ms
        self.keys: set[bytes] = set()
        self._path = path
        self.file: BinaryIO | None = None

    def write(self, keys: list[bytes]) -> None:
        """Append them. Raises OSError; the next time the file is opened anew."""
        if self._path is None:
            return
        try:
            if self.file is None:
                self.file = self._path.open("ab")
            self.file.write(b"".join(keys))
            self.file.flush()
        except OSError:
            self.close()
            raise

    def close(self) -> None:
        file, self.file = self.file, None
        if file is not None:
            with contextlib.suppress(OSError):  # what was not written is not known after a restart
                file.close()

    def remove(self) -> None:
        self.close()
        if self._path is not None:
            self._path.unlink(missing_ok=True)


def _locked(path: Path) -> BinaryIO:
    file = path.open("wb")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        file.close()
        raise OSError(f"{path.parent} is in use by another collector") from error
    return file
