"""What persons have bought: rows. By them it is seen what telling of a moment has changed."""

from pipeline.core.persons.changing import PurchaseRow
from sinks.base import Columns

COUNTED, VOID = "counted", "void"


def purchase_columns(rows: list[PurchaseRow], version: int) -> Columns:
    """The columns of the table ``purchases``."""
    facts = [row.purchase for row in rows]
    return [
        [row.person for row in rows],
        [fact.channel for fact in facts],
        [fact.session_id for fact in facts],
        [fact.event_id for fact in facts],
        [fact.at_ms for fact in facts],
        [fact.value for fact in facts],
        [COUNTED if row.counts else VOID for row in rows],
        [version] * len(rows),
    ]
