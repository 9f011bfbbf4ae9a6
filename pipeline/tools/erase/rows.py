"""What ClickHouse holds of persons, rewritten without their ids; what was counted of them stays.

No query has an id in it, for servers keep queries and mutations: rows are found by the marks of names.
"""

import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final, NamedTuple

from pipeline.outputs.purchases import VOID
from pipeline.tools.erase.people import Person, forms, whole
from schemas.facts import CUSTOMER, VISITOR
from schemas.moments import WITHDRAWN
from schemas.recoveries import RETRACTED

_MARK: Final = "lower(hex(substring(SHA256({}), 1, 16)))"
_OF_PERSON: Final = _MARK.format("person") + " IN %(marks)s"
_OF_CUSTOMER: Final = _MARK.format(f"concat('{CUSTOMER}', customer_id)") + " IN %(marks)s"
_OF_VISITOR: Final = _MARK.format(f"concat('{VISITOR}', visitor_id)") + " IN %(marks)s"
_OF_JOURNEY: Final = f"({_OF_CUSTOMER} OR {_OF_VISITOR})"
_NO_ID: Final = "replaceOne(moment_id, concat(':', m.person, ':'), '::') AS moment_id"
_WITHOUT: Final = {
    "recoveries": ("'' AS person", RETRACTED),
    "moments": (f"'' AS person, {_NO_ID}", WITHDRAWN),
    "purchases": ("'' AS person", VOID),
}
"""By table keyed by persons: what stands in the place of what tells one, and the status of what was taken back.
That is not written anew: of a visitor and the customer behind them it could take the other's place."""
_LETTERS_AT_ONCE: Final = 1_000
_LOOK_S: Final = 0.2

Place = tuple[str, int, int]


class RewriteError(OSError):
    """Rows could not be rewritten; the message says why."""


class Found(NamedTuple):
    """Of one table."""

    table: str
    rows: int


class Rows:
    """The tables of the database ``cx``."""

    def __init__(self, client: Any, wait: Callable[[float], None] = time.sleep) -> None:
        self._client = client
        self._wait = wait

    def visitors_of(self, customers: Sequence[Person]) -> list[str]:
        """The visitors that journeys name with these customers and with no other."""
        if not customers:
            return []
        rows = self._client.execute(
            "SELECT visitor_id FROM cx.journeys FINAL WHERE visitor_id != '' AND customer_id != '' "
            f"AND visitor_id IN (SELECT visitor_id FROM cx.journeys WHERE {_OF_CUSTOMER}) "
            f"GROUP BY visitor_id HAVING min({_OF_CUSTOMER}) = 1",
            {"marks": _marks(customers)},
        )
        return sorted(visitor for (visitor,) in rows)

    def count(self, who: Sequence[Person]) -> list[Found]:
        """How many rows tell who they were, table by table; of dead letters those that hold an id."""
        conditions = {"journeys": _OF_JOURNEY, **dict.fromkeys(_WITHOUT, _OF_PERSON)}
        found = []
        for table, condition in conditions.items():
            query = f"SELECT count() FROM cx.{table} WHERE {condition}"
            found.append(Found(table, self._client.execute(query, {"marks": _marks(who)})[0][0]))
        return [*found, Found("dead_letters", len(self._letters(who)))]

    def rewrite(self, who: Sequence[Person], marks: Iterable[str]) -> None:
        """Leave out the ids of all who have these marks; and of dead letters what holds ids of these persons.

        To be done again where it was interrupted: twice is once. Journeys come last, for they tell a customer's
        visitors.
        """
        values = {"marks": sorted(marks)}
        for table, (without, taken_back) in _WITHOUT.items():
            # Who it was is part of what tells rows apart: another row has to take their place.
            self._client.execute(
                f"INSERT INTO cx.{table} SELECT m.* REPLACE ({without}) FROM cx.{table} AS m FINAL "
                f"WHERE {_OF_PERSON.replace('person', 'm.person')} AND m.status != %(status)s",
                values | {"status": taken_back},
            )
            self._mutate(table, f"DELETE WHERE {_OF_PERSON}", values)
        places = self._letters(who)
        for at in range(0, len(places), _LETTERS_AT_ONCE):
            some = places[at : at + _LETTERS_AT_ONCE]
            self._mutate(
                "dead_letters",
                "UPDATE payload = '', error = 'erased', sha256 = '' "
                "WHERE (topic, partition, offset) IN %(places)s",
                {"places": some},
            )
        self._mutate(
            "journeys",
            f"UPDATE customer_id = if({_OF_CUSTOMER}, '', customer_id), "
            f"visitor_id = if({_OF_VISITOR}, '', visitor_id) WHERE {_OF_JOURNEY}",
            values,
        )

    def _mutate(self, table: str, what: str, values: dict[str, Any]) -> None:
        """Have it done, and wait for it: a big table takes longer than a client waits for an answer.

        Raises RewriteError where the server cannot.
        """
        self._client.execute(f"ALTER TABLE cx.{table} {what}", values, settings={"mutations_sync": 0})
        while under_way := self._client.execute(
            "SELECT latest_fail_reason FROM system.mutations "
            "WHERE database = 'cx' AND table = %(table)s AND NOT is_done",
            {"table": table},
        ):
            if reason := next((reason for (reason,) in under_way if reason), ""):
                raise RewriteError(f"ClickHouse cannot rewrite cx.{table}: {reason}")
            self._wait(_LOOK_S)

    def _letters(self, who: Sequence[Person]) -> list[Place]:
        """The dead letters that hold one of the ids."""
        needle = whole([form for one in who for form in forms(one)])
        rows = self._client.execute_iter(
            "SELECT topic, partition, offset, payload, error FROM cx.dead_letters",
            settings={"strings_as_bytes": True},
        )
        found = {
            (topic.decode(), partition, offset)
            for topic, partition, offset, payload, error in rows
            if needle.search(payload) or needle.search(error)
        }
        return sorted(found)


def _marks(who: Iterable[Person]) -> list[str]:
    return [one.mark for one in who]
