"""Where something stands in a TOML file: its reader does not say."""

import re


def line_of(text: str, table: str, number: int, key: str) -> int:
    """The line of a key of one of an array of tables, by its number; of its beginning where it has no such key."""
    line, seen, start = 0, -1, 0
    for at, content in enumerate(text.splitlines(), start=1):
        if re.match(r"\s*\[", content):
            seen += content.strip().startswith(f"[[{table}]]")
            if seen > number:
                break
            start = at if seen == number else start
        if seen == number and re.match(rf"\s*{re.escape(key)}\s*=", content):
            line = at
    return line or start
