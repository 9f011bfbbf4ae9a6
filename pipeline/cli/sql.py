"""``sql``: a query to ClickHouse, its answer as a table."""

from collections.abc import Iterator, Sequence
from enum import StrEnum
from typing import Annotated, Any

import typer
from clickhouse_driver.errors import Error

from pipeline.cli.common import clickhouse_client, say
from pipeline.settings import load
from schemas.plain import json_shown, shown
from sinks.base import SinkError


class Form(StrEnum):
    TABLE = "table"
    JSON = "json"


def register(app: typer.Typer) -> None:
    app.command()(sql)


def sql(
    query: Annotated[str, typer.Argument(help="Such as 'SELECT count() FROM cx.journeys FINAL'.")],
    form: Annotated[Form, typer.Option("--format", help="A table, or JSON lines.")] = Form.TABLE,
) -> None:
    """Run a query and print its answer: of the stack that runs here, or of the ClickHouse that is set."""
    client = clickhouse_client(load())
    try:
        rows, columns = client.execute(query, with_column_types=True) or ([], [])
    except Error as error:
        first = str(error.message if hasattr(error, "message") else error).partition("Stack trace")[0]
        raise SinkError(first) from error
    except ValueError:  # it gives no rows, and the driver does not say so
        return
    finally:
        client.disconnect()
    # Of SHOW and EXPLAIN there are rows without names.
    names = [name for name, _ in columns] or [str(at) for at, _ in enumerate(rows[0] if rows else (), 1)]
    lines = _as_table(names, rows) if form is Form.TABLE else (_as_json(names, row) for row in rows)
    for line in lines:
        print(line)
    if form is Form.TABLE:
        say(f"{len(rows)} rows")


def _as_json(names: Sequence[str], row: Sequence[Any]) -> str:
    return json_shown({name: _plain(value) for name, value in zip(names, row, strict=True)})


def _plain(value: Any) -> Any:
    return value if value is None or isinstance(value, bool | int | float | str) else str(value)


def _as_table(names: Sequence[str], rows: Sequence[Sequence[Any]]) -> Iterator[str]:
    """Lines under heads; numbers to the right."""
    cells = [["NULL" if value is None else shown(str(value)) for value in row] for row in rows]
    heads = [shown(name) for name in names]
    widths = [max(map(len, column)) for column in zip(heads, *cells, strict=True)]
    is_number = [all(isinstance(row[at], int | float) for row in rows) and bool(rows) for at in range(len(names))]

    def line(texts: Sequence[str]) -> str:
        aligned = zip(texts, widths, is_number, strict=True)
        return "  ".join(
            text.rjust(width) if right else text.ljust(width) for text, width, right in aligned
        ).rstrip()

    yield line(heads)
    yield "  ".join("-" * width for width in widths)
    for row in cells:
        yield line(row)
