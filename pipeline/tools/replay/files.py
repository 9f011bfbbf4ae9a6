"""Files as people have them, opened: gzip is unpacked, a byte order mark passed over, what is no text said so."""

import codecs
import csv
import gzip
import io
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Final, Literal, cast

from schemas.plain import shown

_LONGEST_LINE: Final = 1_048_576 + 2
#: A row of so many lines has a quote that nobody has closed.
_LONGEST_ROW_LINES: Final = 100
#: How files begin that are no UTF-8 text.
_NO_TEXT: Final = {
    codecs.BOM_UTF16_LE: "UTF-16 (iconv -f UTF-16 -t UTF-8 makes it UTF-8)",
    codecs.BOM_UTF16_BE: "UTF-16 (iconv -f UTF-16 -t UTF-8 makes it UTF-8)",
    b"PK": "a ZIP archive; unpack it first",
    b"BZh": "compressed with bzip2; unpack it first",
    b"\x28\xb5\x2f\xfd": "compressed with Zstandard; unpack it first",
    b"\xfd7zXZ": "compressed with xz; unpack it first",
}
_GZIP: Final = b"\x1f\x8b"


class FileError(ValueError):
    """The file as a whole cannot be read; the message is one line that says what to do."""


@contextmanager
def _opened(path: Path) -> Iterator[IO[bytes]]:
    """The file's bytes. Raises FileError."""
    with path.open("rb") as file:
        start = file.read(8)
    for mark, what in _NO_TEXT.items():
        if start.startswith(mark):
            raise FileError(f"{path}: is {what}")
    is_packed = start.startswith(_GZIP)
    try:
        with gzip.GzipFile(path) if is_packed else path.open("rb") as content:
            yield cast(IO[bytes], content)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise FileError(f"{path}: its gzip data is damaged ({error})") from error


def lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """Number and bytes of each line that is not empty, without its end. Raises FileError."""
    with _opened(path) as file:
        number = 0
        while line := file.readline(_LONGEST_LINE):
            number += 1
            if number == 1:
                line = line.removeprefix(codecs.BOM_UTF8)
                _require_lines(path, line)
            if line.strip():
                yield number, line.rstrip(b"\r\n")


def _require_lines(path: Path, first: bytes) -> None:
    """Say so where the file is JSON, and not a line for each event."""
    if first.lstrip().startswith(b"["):
        raise FileError(f"{path}: is one JSON array; one event a line is needed (jq -c '.[]' makes it so)")
    if first.strip().count(b"\r"):
        raise FileError(f"{path}: its lines end with CR alone; tr '\\r' '\\n' makes it readable")


def rows(path: Path, delimiter: str) -> Iterator[tuple[int, dict[str | None, str | None]]]:
    """Number of the last line, and the columns by name, of each row. Raises FileError."""
    quoting: Literal[0, 3] = csv.QUOTE_NONE if delimiter == "\t" else csv.QUOTE_MINIMAL
    line = 0
    try:
        with _opened(path) as file, io.TextIOWrapper(file, "utf-8-sig", newline="") as text:
            reader = csv.DictReader(text, delimiter=delimiter, quoting=quoting, strict=True)
            line = reader.line_num if reader.fieldnames else 0
            for row in reader:
                if reader.line_num - line > _LONGEST_ROW_LINES:
                    raise FileError(
                        f"{path}, line {line + 1}: a row of {reader.line_num - line} lines; is its quote closed?"
                    )
                line = reader.line_num
                yield line, cast(dict[str | None, str | None], row)
    except csv.Error as error:
        raise FileError(f"{path}, line {line + 1}: is its quote closed? ({shown(str(error))})") from error
    except UnicodeDecodeError:
        raise FileError(
            f"{path}, line {_first_undecodable(path)}: is not UTF-8; iconv -f ISO-8859-1 -t UTF-8 mends Latin-1"
        ) from None


def _first_undecodable(path: Path) -> int:
    with _opened(path) as file:
        for number, line in enumerate(file, start=1):
            try:
                line.decode()
            except UnicodeDecodeError:
                return number
    return 0
