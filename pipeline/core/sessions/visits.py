"""Visits: who was there in a session, and when.

A visit is a stretch of a session in which no silence is longer than the longest timeout of any funnel: what is
open is over after such a silence. To persons each visit is a session of its own, so that what is known of it is a
function of events that are there, however long ago another one of the same id was.
"""

from collections.abc import Iterable, Iterator
from typing import NamedTuple


class Named(NamedTuple):
    """Whom an event names."""

    at_ms: int
    customer_id: str | None
    visitor_id: str | None


class Visit(NamedTuple):
    """Who was there. All times are those of events."""

    first_ms: int
    last_ms: int
    customer_id: str | None
    """The last one that was named."""
    visitor_id: str | None
    """The same."""
    customers: list[str]
    """All that were named, each once."""
    visitors: list[str]

    def has(self, from_ms: int, until_ms: int) -> bool:
        """Whether what happened from the one time to the other belongs to it."""
        return self.first_ms <= until_ms and from_ms <= self.last_ms

    def after(self, event: Named) -> "Visit":
        """The visit with its next event."""
        _, customer, visitor = event
        customers, visitors = self.customers, self.visitors
        if customer is not None and customer not in customers:
            customers = [*customers, customer]
        if visitor is not None and visitor not in visitors:
            visitors = [*visitors, visitor]
        last = customer or self.customer_id, visitor or self.visitor_id
        return Visit(self.first_ms, event.at_ms, *last, customers, visitors)


def visits_of(events: Iterable[Named], longest_ms: int, before: Visit | None = None) -> Iterator[Visit]:
    """The visits of a session's events, in order. ``before``: the one under way before them."""
    visit = before
    for event in events:
        if visit is None or event.at_ms - visit.last_ms > longest_ms:
            if visit is not None:
                yield visit
            visit = Visit(event.at_ms, event.at_ms, None, None, [], [])
        visit = visit.after(event)
    if visit is not None:
        yield visit
