"""Whom ids are of, and by which names they are stored."""

import json
from collections.abc import Iterable
from typing import NamedTuple
from urllib.parse import quote

from pipeline.model.privacy import pseudonym
from schemas.erasures import mark_of
from schemas.facts import CUSTOMER, VISITOR


class Person(NamedTuple):
    """One id that is to be erased."""

    name: str
    """``c:`` or ``v:``, and the id as states and rows have it: with a key, its pseudonym."""
    raw: str | None
    """The id as events have it; None where only the pseudonym is known."""

    @property
    def mark(self) -> str:
        return mark_of(self.name)

    @property
    def shown(self) -> str:
        """For who asked, by the id given; of one that was found, by its first characters."""
        kind = "customer" if self.name.startswith(CUSTOMER) else "visitor"
        return f"{kind} {self.raw}" if self.raw is not None else f"{kind} {self.name[2:8]}..."


def people(customers: Iterable[str], visitors: Iterable[str], key: bytes) -> list[Person]:
    """``key``: that of pseudonyms; empty: ids are stored as they are."""
    named = [(CUSTOMER, one) for one in customers] + [(VISITOR, one) for one in visitors]
    return [Person(kind + (pseudonym(key, one) if key else one), one) for kind, one in dict.fromkeys(named)]


def visitor_found(shown: str, key: bytes) -> Person:
    """A visitor by the id in a row."""
    return Person(VISITOR + shown, None if key else shown)


def forms(person: Person) -> list[bytes]:
    """How an id may be written: as it is, in JSON with escapes, in an address; and what stands for it."""
    found = {person.name[2:]}
    if person.raw is not None:
        found |= {person.raw, json.dumps(person.raw)[1:-1], quote(person.raw), quote(person.raw, safe="")}
    return sorted(one.encode(errors="surrogatepass") for one in found)
