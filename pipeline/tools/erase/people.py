"""Whom ids are of, and by which names they are stored."""

import json
import re
from collections.abc import Iterable
from typing import Final, NamedTuple
from urllib.parse import quote

from pipeline.model.privacy import pseudonym
from schemas.erasures import mark_of
from schemas.facts import CUSTOMER, VISITOR

_UNICODE: Final = re.compile(r"\\u([0-9a-f]{4})")
_PERCENT: Final = re.compile("%[0-9A-F]{2}")


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
        escaped, whole_quoted = json.dumps(person.raw)[1:-1], quote(person.raw, safe="")
        found |= {person.raw, escaped, escaped.replace("/", "\\/"), quote(person.raw), whole_quoted}
        found |= {
            _UNICODE.sub(lambda at: "\\u" + at[1].upper(), escaped),
            _PERCENT.sub(lambda at: at[0].lower(), whole_quoted),
        }
    return sorted(one.encode() for one in found)


def whole(needles: Iterable[bytes]) -> re.Pattern[bytes]:
    """Finds these ids, and no other that one of them is a part of, nor a number or a time."""
    of = b"|".join(re.escape(needle) for needle in needles)
    return re.compile(b"(?<![0-9A-Za-z_.:+-])(?:" + of + b")(?![0-9A-Za-z_.:+-])")
