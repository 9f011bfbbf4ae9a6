"""The migrations for a replicated cluster: the same statements, told to all replicas, on replicated engines.

One shard with as many replicas as are wanted: a row's newest version is found by merging, which does not reach
over shards. The macros ``{shard}`` and ``{replica}`` are each server's own (its configuration's ``macros``).
"""

import re
from typing import Final

_ENGINE: Final = re.compile(r"\bENGINE = (\w*MergeTree)\b(?:\(([^)]*)\))?")
_CREATE: Final = re.compile(
    r"^(CREATE (?:DATABASE|TABLE|MATERIALIZED VIEW|VIEW)(?: IF NOT EXISTS)?|ALTER TABLE|"
    r"DROP (?:TABLE|VIEW) IF EXISTS) "
    r"([\w.]+)(?= |\n|$)"
)


def on_cluster(statement: str, cluster: str) -> str:
    """The statement for all servers of the cluster; statements about data stay as they are."""
    found = _CREATE.match(statement)
    if found is None:
        return statement
    name = found[2]
    told = f"{found[0]} ON CLUSTER '{cluster}'{statement[found.end() :]}"
    return _ENGINE.sub(lambda engine: _replicated(engine, name), told)


def _replicated(engine: re.Match[str], name: str) -> str:
    path = f"'/clickhouse/tables/{{shard}}/{name.replace('.', '/')}', '{{replica}}'"
    arguments = ", ".join(filter(None, (path, engine[2])))
    return f"ENGINE = Replicated{engine[1]}({arguments})"
