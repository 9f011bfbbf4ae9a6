"""What ClickHouse holds of persons, rewritten without their ids; what was counted of them stays.

No query has an id in it, for servers keep queries and mutations: rows are found by the marks of names.
"""

from collections.abc import Iterable, Sequence
from typing import Any, Final, NamedTuple

from pipeline.tools.erase.people import Person, forms
from schemas.facts import CUSTOMER, VISITOR

_MARK: Final = "lower(hex(substring(SHA256({}), 1, 16)))"
_OF_PERSON: Final = _MARK.format("person") + " IN %(marks)s"
_OF_CUSTOMER: Final = _MARK.format(f"concat('{CUSTOMER}', customer_id)") + " IN %(marks)s"
_OF_VISITOR: Final = _MARK.format(f"concat('{VISITOR}', visitor_id)") + " IN %(marks)s"
_OF_JOURNEY: Final = f"({_OF_CUSTOMER} OR {_OF_VISITOR})"
_WITHOUT: Final = {
    "recoveries": "'' AS person",
    "moments": "'' AS person, replaceOne(moment_id, concat(':', m.person, ':'), '::') AS moment_id",
    "purchases": "'' AS person",
}
"""By table keyed by persons, what stands in the place of what tells one."""
_LETTERS_AT_ONCE: Final = 1_000
_WAITING: Final = {"mutations_sync": 2}
"""Until all replicas have done it."""

Place = tuple[str, int, int]


class Found(NamedTuple):
    """Of one table."""

    table: str
    rows: int


class Rows:
    """The tables of the database ``cx``."""

    def __init__(self, client: Any) -> None:
        self._client = client

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

    def rewrite(self, who: Sequence[Person]) -> None:
        """Leave the ids out. To be done again where it was interrupted; doing it twice changes nothing."""
        values = {"marks": _marks(who)}
        self._mutate(
            f"ALTER TABLE cx.journeys UPDATE customer_id = if({_OF_CUSTOMER}, '', customer_id), "
            f"visitor_id = if({_OF_VISITOR}, '', visitor_id) WHERE {_OF_JOURNEY}",
            values,
        )
        for table, without in _WITHOUT.items():
            # Who it was is part of what tells rows apart: another row has to take their place.
            self._client.execute(
                f"INSERT INTO cx.{table} SELECT m.* REPLACE ({without}) FROM cx.{table} AS m FINAL "
                f"WHERE {_OF_PERSON.replace('person', 'm.person')}",
                values,
            )
            self._mutate(f"ALTER TABLE cx.{table} DELETE WHERE {_OF_PERSON}", values)
        places = self._letters(who)
        for at in range(0, len(places), _LETTERS_AT_ONCE):
            some = places[at : at + _LETTERS_AT_ONCE]
            self._mutate(
                "ALTER TABLE cx.dead_letters UPDATE payload = '', error = 'erased', sha256 = '' "
                "WHERE (topic, partition, offset) IN %(places)s",
                {"places": some},
            )

    def _mutate(self, statement: str, values: dict[str, Any]) -> None:
        self._client.execute(statement, values, settings=_WAITING)

    def _letters(self, who: Sequence[Person]) -> list[Place]:
        """The dead letters that hold one of the ids."""
        needles = [needle for one in who for needle in forms(one)]
        rows = self._client.execute_iter(
            "SELECT topic, partition, offset, payload, error FROM cx.dead_letters",
            settings={"strings_as_bytes": True},
        )
        found = {
            (topic.decode(), partition, offset)
            for topic, partition, offset, payload, error in rows
            if any(needle in payload or needle in error for needle in needles)
        }
        return sorted(found)


def _marks(who: Iterable[Person]) -> list[str]:
    return [one.mark for one in who]
