"""Whether what one schema's writer may send can be read by another's reader."""

from typing import Any

Schema = dict[str, Any]
_LOWER = ("minimum", "exclusiveMinimum", "minLength", "minItems")
_UPPER = ("maximum", "exclusiveMaximum", "maxLength", "maxItems")


def unreadable(writer: Schema, reader: Schema) -> list[str]:
    """What a writer may send that the reader does not take; a reader ignores fields that it does not know."""
    return _compare("", _resolved(writer, writer), _resolved(reader, reader), writer, reader)


def _compare(where: str, writer: Any, reader: Any, writers: Schema, readers: Schema) -> list[str]:
    found: list[str] = []
    for one in _alternatives(writer, writers):
        tried = [_differences(where, one, other, writers, readers) for other in _alternatives(reader, readers)]
        if all(tried):
            found += sorted(tried, key=len)[0]
    return found


def _differences(where: str, writer: Schema, reader: Schema, writers: Schema, readers: Schema) -> list[str]:
    name = where or "message"
    found = []
    kinds = reader.get("type")
    if kinds is not None and writer.get("type") != kinds and (writer.get("type"), kinds) != ("integer", "number"):
        return [f"{name}: {writer.get('type')} for {kinds}"]
    if (allowed := _values(reader)) is not None and not set(_values(writer) or ["anything"]) <= set(allowed):
        found.append(f"{name}: {_values(writer)} for {allowed}")
    found += [
        f"{name}: {key} {writer.get(key)} for {reader[key]}" for key in _LOWER if _is_below(writer, reader, key)
    ]
    found += [
        f"{name}: {key} {writer.get(key)} for {reader[key]}" for key in _UPPER if _is_above(writer, reader, key)
    ]
    if "pattern" in reader and writer.get("pattern") != reader["pattern"]:
        found.append(f"{name}: pattern {writer.get('pattern')} for {reader['pattern']}")
    missing = set(reader.get("required", [])) - set(writer.get("required", []))
    found += [f"{name}: {field} may be missing" for field in sorted(missing)]
    for field, schema in reader.get("properties", {}).items():
        theirs = writer.get("properties", {}).get(field)
        if theirs is not None:
            found += _compare(f"{where}.{field}".lstrip("."), theirs, schema, writers, readers)
    for inner in ("items", "additionalProperties"):
        if isinstance(reader.get(inner), dict) and isinstance(writer.get(inner), dict):
            found += _compare(f"{where}[]", writer[inner], reader[inner], writers, readers)
    ours, theirs = reader.get("prefixItems", []), writer.get("prefixItems", [])
    for at, (one, other) in enumerate(zip(theirs, ours, strict=False)):
        found += _compare(f"{where}[{at}]", one, other, writers, readers)
    return found


def _alternatives(schema: Any, root: Schema) -> list[Schema]:
    schema = _resolved(schema, root)
    return [_resolved(one, root) for one in schema.get("anyOf", [schema])]


def _resolved(schema: Any, root: Schema) -> Schema:
    while "$ref" in schema:
        schema = root["$defs"][schema["$ref"].rpartition("/")[2]]
    resolved: Schema = schema
    return resolved


def _values(schema: Schema) -> list[Any] | None:
    if "const" in schema:
        return [schema["const"]]
    return schema.get("enum")


def _is_below(writer: Schema, reader: Schema, key: str) -> bool:
    return key in reader and not writer.get(key, float("-inf")) >= reader[key]


def _is_above(writer: Schema, reader: Schema, key: str) -> bool:
    return key in reader and not writer.get(key, float("inf")) <= reader[key]
