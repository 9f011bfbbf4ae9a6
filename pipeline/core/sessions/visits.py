"""Visits: who was there in a session, and when.

A visit is a stretch of a session in which no silence is longer than the longest timeout of any funnel: what is
open is over after such a silence. To persons each visit is a session of its own, so that what is known of it is a
function of events that are there, however long ago another one of the same id was.
"""

from collections.abc import Iterable
from typing import NamedTuple

from pipeline.model.erasure import Erased
from pipeline.model.event_time import NEVER_MS
from pipeline.model.facts import MOST_CUSTOMERS
from schemas.touchpoint import NOBODY


class Named(NamedTuple):
    """Events one after the other that name the same, without a long silence between them."""

    first_ms: int
    last_ms: int
    customer_id: str | None
    visitor_id: str | None
    """``NOBODY``: they were without consent."""


class Visit(NamedTuple):
    """Who was there. All times are those of events."""

    first_ms: int
    last_ms: int
    customer_id: str | None
    """The last one that was named with consent."""
    visitor_id: str | None
    """The same."""
    customers: list[str]
    """All that were named, each once; of very many the last."""
    visitors: list[str]
    denied: list[int]
    """From when until when what ended was nobody's: from an event without consent to the next that names somebody,
    a pair of times each, the last until ``NEVER_MS``."""

    def is_denied(self, at_ms: int) -> bool:
        """Whether there was no consent to keep what ended then."""
        denied = self.denied
        return any(denied[at] <= at_ms < denied[at + 1] for at in range(0, len(denied), 2))

    def erased(self, erased: Erased) -> "Visit":
        """The same with stand-ins for who is erased."""
        return self._replace(
            customer_id=self.customer_id and erased.customer(self.customer_id),
            visitor_id=self.visitor_id and erased.visitor(self.visitor_id),
            customers=[erased.customer(one) for one in self.customers],
            visitors=[erased.visitor(one) for one in self.visitors],
        )


# Every fact comes here. Functions are called directly in C, methods of a NamedTuple are not; and tuple's own
# constructor takes a third of a NamedTuple's, which is Python.


def begun(first_ms: int) -> Visit:
    """A visit of which nothing but its first event's time is known."""
    return tuple.__new__(Visit, (first_ms, first_ms, None, None, [], [], []))


def after(visit: Visit, events: Named) -> Visit:
    """The visit with its next events."""
    first_ms, last_ms, customer, visitor = events
    begun_ms, _, last_customer, last_visitor, customers, visitors, denied = visit
    is_denied = bool(denied) and denied[-1] == NEVER_MS
    if visitor == NOBODY:
        if not is_denied:
            if len(denied) == 2 * MOST_CUSTOMERS:
                denied = [denied[0], *denied[3:]]  # of very many the first become one, with what lies between
            denied = [*denied, first_ms, NEVER_MS]
        rest = last_customer, last_visitor, customers, visitors, denied
        return tuple.__new__(Visit, (begun_ms, last_ms, *rest))
    if is_denied and (customer is not None or visitor is not None):
        denied = [*denied[:-1], first_ms]
    if customer is not None and customer not in customers:
        customers = [*customers[1 - MOST_CUSTOMERS :], customer]
    if visitor is not None and visitor not in visitors:
        visitors = [*visitors[1 - MOST_CUSTOMERS :], visitor]
    last = customer or last_customer, visitor or last_visitor
    return tuple.__new__(Visit, (begun_ms, last_ms, *last, customers, visitors, denied))


def visits_of(events: Iterable[Named], longest_ms: int, before: Visit | None = None) -> list[Visit]:
    """The visits of a session's events, in order. ``before``: the one under way before them."""
    visit = before
    found: list[Visit] = []
    for some in events:
        if visit is None or some.first_ms - visit.last_ms > longest_ms:
            if visit is not None:
                found.append(visit)
            visit = begun(some.first_ms)
        visit = after(visit, some)
    if visit is not None:
        found.append(visit)
    return found


def named(events: Iterable[tuple[int, str | None, str | None]], longest_ms: int) -> list[Named]:
    """Time, customer and visitor of events in order, put together where they name the same."""
    found: list[Named] = []
    for at_ms, customer, visitor in events:
        last = found[-1] if found else None
        if (
            last is not None
            and (last.customer_id, last.visitor_id) == (customer, visitor)
            and at_ms - last.last_ms <= longest_ms
        ):
            found[-1] = Named(last.first_ms, at_ms, customer, visitor)
        else:
            found.append(Named(at_ms, at_ms, customer, visitor))
    return found
