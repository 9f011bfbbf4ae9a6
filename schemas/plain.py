"""Texts of others on terminals, in logs, tables, mails: what they say, and nothing that they do."""

import json
from typing import Any


def shown(text: str, most: int | None = None) -> str:
    """The text with everything escaped that is not printable: control characters, bidirectional ones, half pairs.

    ``most``: the longest that is given.
    """
    beginning = text if most is None else text[: most + 1]
    if not beginning.isprintable():
        beginning = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in beginning)
    return beginning if most is None or len(beginning) <= most else beginning[: most - 1] + "…"


def json_shown(value: Any) -> str:
    """JSON of the same value in which everything is escaped that is not printable."""
    text = json.dumps(value, ensure_ascii=False)
    return text if text.isprintable() else "".join(c if c.isprintable() else json.dumps(c)[1:-1] for c in text)
