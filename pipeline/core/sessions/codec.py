"""How sessions are stored, by either engine: one behind the other, as the compiled one has them in memory.

Numbers are little-endian. A session is the bytes of its block (4) and of the id in it (2), and how many journeys
of its base are open (2). If any are: the time of the base (8), where the kept events begin in the block (4), and
96 bytes for each journey: value (8); where its opening event, last step and customer are (4 each); its funnel by
number and whether it has timed out (1 each); how often 10**18 goes into the value besides (2); its lines (4);
where its last visitor is (4); how many steps it came to (4), and where the first event at each is (15 times 4).
Then the block.

A block is the session's id and the records of its events: a head of 40 bytes, the event's id, and texts that no
event before it had, each with its length (2) before it. A head refers to texts by their distance from the
block's beginning, 0 for none. What the base refers to comes first (``native/block.pxd``).
"""

from collections.abc import Iterable, Iterator
from struct import Struct, error
from typing import Final, NamedTuple, Protocol

from pipeline.core.sessions.entry import Entry
from pipeline.core.sessions.walk import MOST_STEPS, OpenJourney, Walk
from pipeline.model.dimensions import Dims
from pipeline.model.erasure import Erased
from pipeline.model.rules import Rules
from schemas.facts import CUSTOMER, VISITOR

_SIZES: Final = Struct("<IHH")
_BASE: Final = Struct("<qI")
_OPEN: Final = Struct(f"<qIIIBBHIII{MOST_STEPS}I")
#: Time; amount; where dims, step, customer, visitor and order are; bytes of the record; bytes of the id and type.
_HEAD: Final = Struct("<qqIIIIIHH")
_LENGTH: Final = Struct("<H")
_ABSENT: Final = 0xFFFF
_TYPE_BITS: Final = 7
_NO_AMOUNT: Final = -1
_WHOLE: Final = 10**18
_MOST_WHOLES: Final = 0xFFFF


class StoredSession(NamedTuple):
    """All that a session follows from."""

    session_id: str
    base: Walk | None
    entries: list[Entry]


class Session(Protocol):
    """What is stored of a session."""

    @property
    def session_id(self) -> str: ...
    @property
    def base(self) -> Walk | None: ...
    @property
    def entries(self) -> list[Entry]: ...


def encode(sessions: Iterable[Session], rules: Rules) -> bytes:
    """The sessions of a shard. Nothing follows from one that keeps no event and has no base: it is left out."""
    numbers = {funnel.name: number for number, funnel in enumerate(rules.funnels.all)}
    codes = {kind: code for code, kind in enumerate(rules.vocabulary.event_types)}
    return b"".join(_encoded(one, numbers, codes) for one in sessions if one.entries or one.base is not None)


def _encoded(session: Session, numbers: dict[str, int], codes: dict[str, int]) -> bytes:
    block, base = _Block(session.session_id, codes), session.base
    opens = [] if base is None else [_encoded_open(block, one, numbers) for one in base.open]
    start = len(block.content)
    for entry in session.entries:
        block.event(entry)
    stored = _SIZES.pack(len(block.content), len(session.session_id.encode()), len(opens))
    if base is not None:
        stored += _BASE.pack(base.last_ms, start) + b"".join(opens)
    return stored + block.content


def _encoded_open(block: "_Block", journey: OpenJourney, numbers: dict[str, int]) -> bytes:
    wholes, value = divmod(journey.value, _WHOLE)
    opened_by = block.once(journey.opened_by)
    step, customer = block.text_of(journey.last_step), block.text_of(journey.customer_id)
    number = numbers[journey.funnel.name]
    visitor, wholes = block.text_of(journey.visitor_id), min(wholes, _MOST_WHOLES)
    steps = [block.once(entry) for entry in journey.steps]
    places = steps + [0] * (MOST_STEPS - len(steps))
    head = value, opened_by, step, customer, number, 0, wholes, journey.lines, visitor
    return _OPEN.pack(*head, len(steps), *places)


class _Block:
    """A block that is being written."""

    def __init__(self, session_id: str, codes: dict[str, int]) -> None:
        self._codes = codes
        self.content = bytearray(session_id.encode())
        self._texts: dict[bytes, int] = {}
        self._kept: dict[Entry, int] = {}

    def once(self, entry: Entry) -> int:
        """Where an event that journeys refer to is, written now if it is new."""
        found = self._kept.get(entry)
        if found is None:
            found = self._kept[entry] = self.event(entry)
        return found

    def event(self, entry: Entry) -> int:
        """Write an event; gives where."""
        position = len(self.content)
        event_id = entry.event_id.encode()
        self.content += bytes(_HEAD.size) + event_id
        texts = [self._put(_where(entry.dims))]
        texts += [self.text_of(text) for text in (entry.step, entry.customer_id, entry.visitor_id, entry.order_id)]
        amount = _NO_AMOUNT if entry.amount is None else entry.amount
        size, id_type = len(self.content) - position, len(event_id) << _TYPE_BITS | self._codes[entry.type]
        _HEAD.pack_into(self.content, position, entry.at_ms, amount, *texts, size, id_type)
        return position

    def text_of(self, text: str | None) -> int:
        """Where a text is, written now if it is new; 0: none."""
        return 0 if text is None else self._put(text.encode())

    def _put(self, text: bytes) -> int:
        position = self._texts.get(text)
        if position is None:
            position = self._texts[text] = len(self.content)
            self.content += _LENGTH.pack(len(text)) + text
        return position


def _where(dims: Dims) -> bytes:
    """Store, region, device, campaign and the shop's further dimensions, each behind its length."""
    found = bytearray()
    for value in dims[1:]:
        if value is None:
            found += _LENGTH.pack(_ABSENT)
        else:
            text = value.encode()
            found += _LENGTH.pack(len(text)) + text
    return bytes(found)


def decode(stored: bytes, channel: str, rules: Rules) -> Iterator[StoredSession]:
    """The sessions of a shard. Raises ValueError where it is broken."""
    try:
        at = 0
        while at < len(stored):
            size, id_size, opens = _SIZES.unpack_from(stored, at)
            at += _SIZES.size
            last_ms, start = _BASE.unpack_from(stored, at) if opens else (-1, id_size)
            at += _BASE.size if opens else 0
            rows = [_OPEN.unpack_from(stored, at + number * _OPEN.size) for number in range(opens)]
            at += opens * _OPEN.size
            block = _Reader(stored[at : at + size], channel, rules)
            if len(block.content) < size or not 0 < id_size <= start <= size:
                raise ValueError("it is cut short")
            base = Walk(tuple([block.open_journey(row) for row in rows]), last_ms) if opens else None
            yield StoredSession(block.content[:id_size].decode(), base, list(block.events(start)))
            at += size
    except (error, IndexError, UnicodeDecodeError) as broken:
        raise ValueError(f"stored sessions are broken: {broken}") from broken


def erase(stored: bytes, channel: str, rules: Rules, erased: Erased) -> bytes:
    """The shard with stand-ins for who is erased. Raises ValueError where it is broken.

    Most sessions name nobody who is: they are looked through, in a tenth of the time, and stay as they are.
    """
    found, at = bytearray(), 0
    try:
        while at < len(stored):
            size, id_size, opens = _SIZES.unpack_from(stored, at)
            start = at + _SIZES.size + (_BASE.size + opens * _OPEN.size if opens else 0)
            session = stored[at : start + size]
            if opens or _names_any(stored[start : start + size], id_size, erased):
                session = encode([_erased(one, erased) for one in decode(session, channel, rules)], rules)
            found += session
            at = start + size
    except error as broken:
        raise ValueError(f"stored sessions are broken: {broken}") from broken
    return bytes(found)


def _names_any(block: bytes, position: int, erased: Erased) -> bool:
    """Whether an event of a session without a base names somebody erased."""
    customers, visitors = set[int](), set[int]()
    while position < len(block):
        _, _, _, _, customer, visitor, _, size, _ = _HEAD.unpack_from(block, position)
        customers.add(customer)
        visitors.add(visitor)
        if size < _HEAD.size:
            raise ValueError("stored sessions are broken: an event without a size")
        position += size
    return any(erased.has(CUSTOMER + _text_at(block, one)) for one in customers - {0}) or any(
        erased.has(VISITOR + _text_at(block, one)) for one in visitors - {0}
    )


def _text_at(block: bytes, position: int) -> str:
    start = position + _LENGTH.size
    return block[start : start + _LENGTH.unpack_from(block, position)[0]].decode()


def _erased(session: StoredSession, erased: Erased) -> StoredSession:
    base = session.base
    if base is not None:
        base = base.copy()
        for journey in base.open:
            journey.opened_by = _erased_entry(journey.opened_by, erased)
            journey.steps = tuple([_erased_entry(entry, erased) for entry in journey.steps])
            journey.customer_id = journey.customer_id and erased.customer(journey.customer_id)
            journey.visitor_id = journey.visitor_id and erased.visitor(journey.visitor_id)
    return StoredSession(session.session_id, base, [_erased_entry(entry, erased) for entry in session.entries])


def _erased_entry(entry: Entry, erased: Erased) -> Entry:
    at_ms, event_id, kind, amount, step, customer, visitor, order, dims = entry.fields
    who = customer and erased.customer(customer), visitor and erased.visitor(visitor)
    return Entry(at_ms, event_id, kind, amount, step, *who, order, dims)


class _Reader:
    """A block that is being read."""

    def __init__(self, content: bytes, channel: str, rules: Rules) -> None:
        self.content = content
        self._channel, self._funnels = channel, rules.funnels
        self._types = rules.vocabulary.event_types
        self._stored = len(rules.vocabulary.dimensions) - 1  # the channel is the partition's
        self._dims: dict[int, Dims] = {}

    def events(self, position: int) -> Iterator[Entry]:
        while position < len(self.content):
            size = _HEAD.unpack_from(self.content, position)[7]
            if size < _HEAD.size:
                raise ValueError("stored sessions are broken: an event without a size")
            yield self.event(position)
            position += size

    def event(self, position: int) -> Entry:
        at_ms, amount, where, step, customer, visitor, order, _, id_type = _HEAD.unpack_from(
            self.content, position
        )
        start = position + _HEAD.size
        return Entry(
            at_ms,
            self.content[start : start + (id_type >> _TYPE_BITS)].decode(),
            self._types[id_type & (1 << _TYPE_BITS) - 1],
            None if amount < 0 else amount,
            self._text(step),
            self._text(customer),
            self._text(visitor),
            self._text(order),
            self._dims_at(where),
        )

    def open_journey(self, row: tuple[int, ...]) -> OpenJourney:
        value, opened_by, step, customer, number, _, wholes, lines, visitor, count, *steps = row
        journey = OpenJourney(self._funnels.all[number], self.event(opened_by))
        journey.value, journey.lines = wholes * _WHOLE + value, lines
        journey.last_step, journey.customer_id = self._text(step), self._text(customer)
        journey.visitor_id = self._text(visitor)
        if count > MOST_STEPS:
            raise ValueError("stored sessions are broken: a journey with too many steps")
        journey.steps = tuple([self.event(position) for position in steps[:count]])
        return journey

    def _text(self, position: int) -> str | None:
        if not position:
            return None
        return _text_at(self.content, position)

    def _dims_at(self, position: int) -> Dims:
        found = self._dims.get(position)
        if found is None:
            at, values = position + _LENGTH.size, list[str | None]()
            for _ in range(self._stored):
                size = _LENGTH.unpack_from(self.content, at)[0]
                at += _LENGTH.size
                values.append(None if size == _ABSENT else self.content[at : at + size].decode())
                at += 0 if size == _ABSENT else size
            found = self._dims[position] = (self._channel, *values)
        return found
