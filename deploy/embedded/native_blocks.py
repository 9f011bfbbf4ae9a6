"""Blocks of ClickHouse's Native format: names and types of their columns, and where they end."""

from typing import Any, Final

from clickhouse_driver import defines
from clickhouse_driver.bufferedreader import BufferedSocketReader
from clickhouse_driver.columns.service import read_column
from clickhouse_driver.context import Context
from clickhouse_driver.reader import read_binary_str
from clickhouse_driver.varint import read_varint

from deploy.embedded.wire import Memory

#: Bytes a row of the types that have a fixed width; a type's parameters do not change it.
_WIDTHS: Final = {
    **dict.fromkeys(("UInt8", "Int8", "Bool", "Enum8"), 1),
    **dict.fromkeys(("UInt16", "Int16", "Date", "Enum16"), 2),
    **dict.fromkeys(("UInt32", "Int32", "Float32", "DateTime", "Date32"), 4),
    **dict.fromkeys(("UInt64", "Int64", "Float64", "DateTime64"), 8),
    **dict.fromkeys(("UInt128", "Int128", "UUID"), 16),
    **dict.fromkeys(("UInt256", "Int256"), 32),
}


def header_of(context: Context, data: bytes) -> list[list[str]]:
    """Names and types of the columns of a block."""
    reader = BufferedSocketReader(Memory(data), defines.BUFFER_SIZE)
    count, rows = read_varint(reader), read_varint(reader)
    names = []
    for _ in range(count):
        names.append([read_binary_str(reader), read_binary_str(reader)])
        skip_column(context, reader, names[-1][1], rows)
    return names


def skip_column(context: Context, reader: Any, kind: str, rows: int) -> None:
    """Read past a column of this type."""
    if not rows:
        return
    width = _WIDTHS.get(kind.partition("(")[0])
    if width is not None:
        reader.read(width * rows)
    elif kind == "String":
        reader.read_strings(rows)
    else:
        read_column(context, kind, rows, reader)
