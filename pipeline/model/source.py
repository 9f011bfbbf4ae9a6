"""A source: one partition of a topic."""

Source = tuple[str, int]
"""Topic and partition."""


def source_name(source: Source) -> str:
    """``topic:partition``, as in messages, tables, metrics and errors."""
    return f"{source[0]}:{source[1]}"
