"""What clients of the embedded ClickHouse may do: our own database, and nothing that reaches outside of it.

Three layers, each of which holds by itself against most of what was tried: the engine's own grants, read from a
configuration that we write; a look at the words of a statement, for what no grant is asked for (the function
``file``, INTO OUTFILE, engines that write files); and the kernel (``confine``).
"""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Final
from xml.sax.saxutils import escape

_GRANTS: Final = (
    "SHOW, SELECT, INSERT, ALTER, CREATE DATABASE, CREATE TABLE, CREATE VIEW, DROP, TRUNCATE, OPTIMIZE ON cx.*",
    "SELECT ON system.*",
    "KILL QUERY, CREATE TEMPORARY TABLE ON *.*",
)
#: Settings that open what the grants close, or that name files.
_PINNED: Final = (
    "allow_introspection_functions",
    "allow_python_table_function",
    "allow_experimental_eval_table_function",
    "dialect",
    "format_schema",
    "format_template_resultset",
    "format_template_row",
    "input_format_record_errors_file_path",
)
_USERS: Final = """<clickhouse>
<profiles><default>
<allow_introspection_functions>0</allow_introspection_functions>
<allow_python_table_function>0</allow_python_table_function>
<constraints>{pinned}</constraints>
</default></profiles>
<quotas><default/></quotas>
<users><default>
<no_password/><networks><ip>::/0</ip></networks><profile>default</profile><quota>default</quota>
<grants>{grants}</grants>
</default></users>
</clickhouse>
"""


def configure(folder: Path) -> Path:
    """Write the engine's configuration into a folder; gives the file that it is to be started with."""
    folder.mkdir(parents=True, exist_ok=True)
    users, config = folder / "users.xml", folder / "config.xml"
    pinned = "".join(f"<{name}><readonly/></{name}>" for name in _PINNED)
    grants = "".join(f"<query>GRANT {grant}</query>" for grant in _GRANTS)
    users.write_text(_USERS.format(pinned=pinned, grants=grants))
    config.write_text(f"<clickhouse><users_config>{escape(str(users))}</users_config></clickhouse>\n")
    return config


class RefusedError(PermissionError):
    """A statement that is not for clients."""

    def __init__(self, what: str) -> None:
        super().__init__(
            f"Code: 497. DB::Exception: {what} is refused to clients of the embedded ClickHouse. (ACCESS_DENIED)"
        )


#: Statements without any of these are let through unseen: nearly all.
_SUSPICIOUS: Final = re.compile(r"file|disk|engine|url|executable|fuzz|eval|runner|\\x|additional_", re.IGNORECASE)
_STRING: Final = re.compile(r"'(?:[^'\\]|\\.)*'", re.DOTALL)
_WORDS: Final = re.compile(r"\b(?:file|infile|outfile|disk|executable|eval|fuzzQuery|fuzzJSON)\b", re.IGNORECASE)
_ENGINE: Final = re.compile(r"\bENGINE\s*=?\s*`?(\w+)", re.IGNORECASE)
_ENGINES: Final = re.compile(
    r"(?:Replacing|Summing|Aggregating|Collapsing|VersionedCollapsing|Coalescing)?MergeTree|Memory|Null|"
    r"(?:Tiny|Stripe)?Log|Buffer|Set|Join|Merge|Atomic"
)
#: A column's default, given as text to a table function, is an expression: the function file may be in it.
_HIDDEN_CALL: Final = re.compile(r"\bfile\b.*\(", re.IGNORECASE | re.DOTALL)
_INSERT: Final = re.compile(r"\s*INSERT\b", re.IGNORECASE)


def refuse(query: str, canonical: Callable[[str], str]) -> None:
    """Raise RefusedError for a statement that reaches outside, so far as no grant is asked for it.

    ``canonical``: has the engine's own parser write the statement anew, so that escapes, comments and line breaks
    hide nothing. Raises what that raises: what cannot be parsed is an error anyway.
    """
    if not _SUSPICIOUS.search(query):
        return
    # An INSERT may carry its data, which the parser does not read.
    text = query if _INSERT.match(query) else canonical(query)
    strings, bare = _STRING.findall(text), _STRING.sub("''", text)
    if "\\x" in bare:
        raise RefusedError("an escaped name")
    if found := _WORDS.search(bare):
        raise RefusedError(found[0])
    for name in _ENGINE.findall(bare):
        if not _ENGINES.fullmatch(name) and not name.isupper():
            raise RefusedError(f"the engine {name}")
    if any(_HIDDEN_CALL.search(one) for one in strings) and re.search(
        r"\b(?:format|input|null|values)\(|additional_", bare
    ):
        raise RefusedError("the function file")
