"""One client of the embedded ClickHouse: the native TCP protocol, spoken over a connection.

Serves what ``clickhouse-driver`` and ``clickhouse-client`` need: hello, ping, query, data, exception, end of
stream. It announces protocol revision 54430, before per-column serialization kinds and query parameters, so that a
block on the wire is the block info and the bytes of ``FORMAT Native``. The protocol is described in ClickHouse's
documentation under "Native protocol"; the driver's own readers and writers do the encoding.
"""

import contextlib
import hmac
import re
import socket
import socketserver
import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final

from clickhouse_driver import defines
from clickhouse_driver.block import BlockInfo
from clickhouse_driver.bufferedreader import BufferedSocketReader
from clickhouse_driver.bufferedwriter import BufferedSocketWriter
from clickhouse_driver.context import Context
from clickhouse_driver.protocol import ClientPacketTypes, ServerPacketTypes
from clickhouse_driver.reader import read_binary_str, read_binary_uint8
from clickhouse_driver.varint import read_varint, write_varint
from clickhouse_driver.writer import write_binary_int32, write_binary_str, write_binary_uint8

from deploy.embedded.access import refuse
from deploy.embedded.native_blocks import header_of, skip_column
from deploy.embedded.wire import Tap

if TYPE_CHECKING:
    from deploy.embedded.clickhouse_server import Server

REVISION: Final = 54_430
_INSERT: Final = re.compile(
    r"\s*INSERT\s+INTO\s+(?:TABLE\s+)?(?P<table>[^\s(]+)\s*(?P<columns>\([^)]*\))?\s*"
    r"(?P<settings>SETTINGS\s+.*?)?\s*(?:FORMAT\s+)?(?:VALUES|NATIVE)\s*;?\s*",
    re.IGNORECASE | re.DOTALL,
)
_SELECTS: Final = re.compile(r"\s*(?:SELECT|WITH|\()", re.IGNORECASE)
_CODE: Final = re.compile(r"Code: (\d+)")
_SKIPPED_SETTINGS: Final = frozenset({"use_numpy", "insert_block_size"})
_HELLO_S: Final = 10.0
"""Who has not said by then who it is is let go."""
_LONGEST_NAME: Final = 4_096
UNKNOWN_ERROR: Final = 1002
SUPPORT_IS_DISABLED: Final = 344


class _ServerInfo:
    """What the driver's block streams ask their context about the other side."""

    used_revision = REVISION

    def get_timezone(self) -> str:
        return "UTC"


def _context() -> Context:
    context = Context()
    context.server_info = _ServerInfo()
    context.client_settings = {
        "strings_as_bytes": True,
        "strings_encoding": "utf-8",
        "use_numpy": False,
        "opentelemetry_traceparent": None,
        "opentelemetry_tracestate": "",
        "quota_key": "",
        "input_format_null_as_default": False,
        "namedtuple_as_json": True,
        "server_side_params": False,
    }
    context.settings = {}
    return context


class Handler(socketserver.BaseRequestHandler):
    """One client connection, with an engine connection of its own so that queries run in parallel."""

    server: "Server"

    def setup(self) -> None:
        self.request.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.tap = Tap(self.request)
        self.fin = BufferedSocketReader(self.tap, defines.BUFFER_SIZE)
        self.fout = BufferedSocketWriter(self.request, defines.BUFFER_SIZE)
        self.context = _context()
        self.engine: Any = None
        self.tag = f"cx-{next(self.server.numbers)}"

    def finish(self) -> None:
        if self.engine is not None:
            self.engine.close()

    def handle(self) -> None:
        # What is no client of ours may send anything.
        with contextlib.suppress(EOFError, ConnectionError, TimeoutError, ValueError, OverflowError, MemoryError):
            self.request.settimeout(_HELLO_S)
            self._hello()
            self.request.settimeout(None)
            while True:
                packet = read_varint(self.fin)
                if packet == ClientPacketTypes.PING:
                    write_varint(ServerPacketTypes.PONG, self.fout)
                    self.fout.flush()
                elif packet == ClientPacketTypes.QUERY:
                    self._query()
                elif packet == ClientPacketTypes.CANCEL:
                    continue
                else:
                    raise ConnectionError(f"packet {packet} is not served")

    def _hello(self) -> None:
        if read_varint(self.fin) != ClientPacketTypes.HELLO:
            raise ConnectionError("no hello")
        read_binary_str(self.fin)
        for _ in range(3):
            read_varint(self.fin)
        database = read_binary_str(self.fin)
        self._let_in(read_binary_str(self.fin), read_binary_str(self.fin))
        if database and database != "default":
            try:
                self.engine.query(f"USE `{database}`")
            except Exception as error:
                self._exception(error)
                raise ConnectionError("no such database") from error
        major, minor, patch, *_ = (int(part) for part in self.server.version.split("."))
        write_varint(ServerPacketTypes.HELLO, self.fout)
        write_binary_str("ClickHouse", self.fout)
        write_varint(major, self.fout)
        write_varint(minor, self.fout)
        write_varint(REVISION, self.fout)
        write_binary_str("UTC", self.fout)
        write_binary_str("cx-signals embedded", self.fout)
        write_varint(patch, self.fout)
        self.fout.flush()

    def _let_in(self, user: str, password: str) -> None:
        """Give the client its connection to the engine. Raises ConnectionError."""
        given, wanted = (user, password), (self.server.user, self.server.password)
        matches = [hmac.compare_digest(a.encode(), b.encode()) for a, b in zip(given, wanted, strict=True)]
        if self.server.password and not all(matches):
            self._exception(
                PermissionError(
                    f"Code: 516. DB::Exception: {user[:64]}: Authentication failed: password is incorrect, or "
                    "there is no user with such name. (AUTHENTICATION_FAILED)"
                )
            )
            raise ConnectionError("not let in")
        self.engine = self.server.connect()
        self.engine.query(f"SET log_comment = '{self.tag}'")

    # --- queries ----------------------------------------------------------------------------------

    def _query(self) -> None:
        read_binary_str(self.fin)
        self._skip_client_info()
        settings = dict(self._read_settings())
        read_varint(self.fin)
        compressed = read_varint(self.fin)
        query = read_binary_str(self.fin)
        try:
            if compressed:
                raise NotImplementedError("compression is not served, connect with compression=False")
            insert = _INSERT.fullmatch(query)
            if insert:
                self._insert(insert, settings)
            else:
                self._drain_blocks()
                refuse(query, self._canonical)
                with self.server.watch.over(self.request, self.tag):
                    self._select(_with_settings(query, settings))
            write_varint(ServerPacketTypes.END_OF_STREAM, self.fout)
        except (EOFError, ConnectionError):
            raise
        except Exception as error:
            self._exception(error)
        self.fout.flush()

    def _canonical(self, query: str) -> str:
        """The statement as the engine's parser writes it. Raises what the engine raises."""
        # A parameter's text is read as TSV has it.
        escapes = {"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r", "\0": "\\0"}
        text = "".join(escapes.get(c, c) for c in query)
        found = self.engine.query("SELECT formatQuerySingleLine({q:String})", "TSVRaw", params={"q": text})
        return str(found.bytes().decode())

    def _skip_client_info(self) -> None:
        if read_binary_uint8(self.fin) == 0:
            return
        for _ in range(3):
            read_binary_str(self.fin)
        read_binary_uint8(self.fin)
        for _ in range(3):
            read_binary_str(self.fin)
        for _ in range(3):
            read_varint(self.fin)
        read_binary_str(self.fin)
        read_varint(self.fin)

    def _read_settings(self) -> Iterator[tuple[str, str]]:
        while name := read_binary_str(self.fin):
            read_binary_uint8(self.fin)
            value = read_binary_str(self.fin)
            if name not in _SKIPPED_SETTINGS:
                yield name, value

    def _drain_blocks(self) -> None:
        """Read the blocks that follow a query (external tables are not served) up to the empty one."""
        for _ in self._blocks():
            pass

    def _blocks(self) -> Iterator[tuple[bytes, int]]:
        """Data blocks as they came, in the form of ``FORMAT Native``, and their rows, up to the empty one."""
        while True:
            if read_varint(self.fin) != ClientPacketTypes.DATA:
                raise ConnectionError("a data packet was expected")
            read_binary_str(self.fin)
            BlockInfo().read(self.fin)
            self.tap.start(self.fin)
            columns, rows = read_varint(self.fin), read_varint(self.fin)
            for _ in range(columns):
                read_binary_str(self.fin)
                skip_column(self.context, self.fin, read_binary_str(self.fin), rows)
            data = self.tap.stop(self.fin)
            if not rows:
                return
            yield data, rows

    def _select(self, query: str) -> None:
        if not _SELECTS.match(query):
            self._send_native(self.engine.query(query, "Native").bytes())
            return
        sent = False
        for chunk in self.engine.send_query(query, "Native"):
            data = chunk.bytes()
            if data:
                if not sent:
                    # Clients take the columns' names from a block without rows, which comes first.
                    self._send_header(header_of(self.context, data))
                self._send_native(data)
                sent = True
        if not sent:
            self._send_empty_header(query)

    def _send_empty_header(self, query: str) -> None:
        """A result without rows still tells its columns, which the engine leaves out."""
        with contextlib.suppress(Exception):
            columns = self.engine.query(f"DESCRIBE TABLE ({query.rstrip().rstrip(';')})", "TSVRaw")
            names = [line.split("\t")[:2] for line in columns.bytes().decode().splitlines()]
            self._send_header(names)

    def _send_native(self, data: bytes) -> None:
        if not data:
            return
        self._start_block()
        self.fout.write(data)
        self.fout.flush()

    def _send_header(self, names: list[list[str]]) -> None:
        self._start_block()
        write_varint(len(names), self.fout)
        write_varint(0, self.fout)
        for name, kind in names:
            write_binary_str(name, self.fout)
            write_binary_str(kind, self.fout)
        self.fout.flush()

    def _start_block(self) -> None:
        write_varint(ServerPacketTypes.DATA, self.fout)
        write_binary_str("", self.fout)
        BlockInfo().write(self.fout)

    # --- inserts ----------------------------------------------------------------------------------

    def _insert(self, insert: re.Match[str], settings: dict[str, str]) -> None:
        self._drain_blocks()
        table, columns = insert["table"], insert["columns"] or ""
        described = self.engine.query(f"DESCRIBE TABLE {table}", "TSVRaw").bytes().decode()
        types = [line.split("\t")[:3] for line in described.splitlines()]
        insertable = [[name, kind] for name, kind, default in types if default not in ("MATERIALIZED", "ALIAS")]
        if columns:
            by_name = dict(insertable)
            wanted = [name.strip().strip('`"') for name in columns.strip("()").split(",")]
            missing = [name for name in wanted if name not in by_name]
            if missing:
                raise LookupError(f"Code: 16. There is no column {missing[0]} in table {table}")
            insertable = [[name, by_name[name]] for name in wanted]
        self._send_header(insertable)
        target = f"{table} ({', '.join(f'`{name}`' for name, _ in insertable)})"
        blocks = list(self._blocks())
        if not blocks:
            return
        # By way of a file, not of the engine's insert stream: that one says nothing of rows which a
        # constraint, say, has kept out, so that they would be lost.
        path = self.server.incoming / f"{threading.get_ident()}.native"
        path.write_bytes(b"".join([data for data, _ in blocks]))
        try:
            given = ", ".join(f"{name} = {_quoted(value)}" for name, value in settings.items())
            with_settings = f"SETTINGS {given} " if given else ""
            done = self.engine.query(
                f"INSERT INTO {target} FROM INFILE {_quoted(str(path))} {with_settings}FORMAT Native"
            )
        finally:
            path.unlink()
        # What views make of them is counted too.
        if done.rows_written() < sum([rows for _, rows in blocks]):
            raise OSError(f"only {done.rows_written()} rows of an insert into {table} were stored")

    # --- errors -----------------------------------------------------------------------------------

    def _exception(self, error: Exception) -> None:
        text = str(error)
        found = _CODE.search(text)
        code = int(found[1]) if found else UNKNOWN_ERROR
        if isinstance(error, NotImplementedError):
            code = SUPPORT_IS_DISABLED
        write_varint(ServerPacketTypes.EXCEPTION, self.fout)
        write_binary_int32(code, self.fout)
        write_binary_str("DB::Exception", self.fout)
        write_binary_str(text if text.startswith("Code") else f"DB::Exception: {text}", self.fout)
        write_binary_str("", self.fout)
        write_binary_uint8(0, self.fout)
        self.fout.flush()


def _with_settings(query: str, settings: dict[str, str]) -> str:
    """Settings sent beside a query, put into it where its kind of statement takes them."""
    takes = _SELECTS.match(query) or query.startswith("INSERT INTO")
    if not settings or not takes or re.search(r"\bSETTINGS\b", query, re.IGNORECASE):
        return query
    pairs = ", ".join(f"{name} = {_quoted(value)}" for name, value in settings.items())
    return f"{query.rstrip().rstrip(';')} SETTINGS {pairs}"


def _quoted(value: str) -> str:
    escaped = value.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"
