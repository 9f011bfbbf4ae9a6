"""What an event of a sender becomes: mapping tables, and what is computed from them.

A table is data: which event is which touchpoint, and where each field stands. Sources of ours have theirs in
``sources/``; a shop's own are read from the file of sources. What is not named is ignored, and counted.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from pipeline.collector.clocks import Clock, When
from pipeline.collector.expressions import Expression, compiled
from pipeline.collector.incoming import Native
from schemas.times import END_OF_TIME_MS

Field = str | Callable[[Native], Any]
"""An expression, or a function where a table cannot say it."""
#: Fields by which a catalogue is asked, and which the touchpoint does not have: which product, how many of it.
SKU: Final = "sku"
QUANTITY: Final = "quantity"
#: How fields begin that are carried along in ``attributes``, where dimensions of a shop's own are read from.
ATTRIBUTE: Final = "attributes."
#: A field that says that the event's time is known to be right, whatever the clock of its sender.
TIME_IS_TRUE: Final = "time_is_true"
#: Of a rule's condition: there is something, or there is nothing.
ANYTHING: Final = object()
NOTHING: Final = object()


@dataclass(frozen=True, slots=True)
class Not:
    """Of a rule's condition: anything but this, nothing included."""

    value: Any


@dataclass(frozen=True, slots=True)
class Rule:
    """One touchpoint that an event becomes, where the conditions hold."""

    type: str
    fields: Mapping[str, Field] = field(default_factory=dict)
    """Beside those of the table, or in their place; an empty text takes one away."""
    when: Mapping[Field, Any] = field(default_factory=dict)
    """What a field has to be: a value, one of several (a tuple), ANYTHING, NOTHING, Not a value."""
    is_own: bool = False
    """Of a source's configuration: its fields stand over all others."""


@dataclass(frozen=True, slots=True)
class Table:
    """How the events of one kind of sender are read."""

    kind: Field
    """What the event is called there."""
    rules: Mapping[str, Sequence[Rule]]
    """By what it is called. All of an event's rules whose conditions hold make a touchpoint each."""
    fields: Mapping[str, Field]
    """Of all touchpoints."""
    name: Callable[[str], str] = str
    """From what it is called there to the name in ``rules``."""


class Draft(NamedTuple):
    """A touchpoint before ids and limits are seen to."""

    fields: dict[str, Any]
    when: When
    number: int
    """Among those of its event, from 0."""


class Ignored(NamedTuple):
    """An event that is none of a customer's touchpoints."""

    kind: str


class MappingError(ValueError):
    """An event cannot become what its table says; the message names the field."""


class Mapper:
    """A table, compiled. Raises ExpressionError."""

    def __init__(self, table: Table, own: Mapping[str, Field] | None = None) -> None:
        """``own``: fields of the source's configuration, in place of the table's."""
        shops = own or {}
        self._kind: Final = compute(table.kind)
        self._name: Final = table.name
        self._rules: Final = {
            kind: [_Compiled(rule, _fields(table, rule, shops)) for rule in rules]
            for kind, rules in table.rules.items()
        }

    def map(self, native: Native, clock: Clock) -> list[Draft] | Ignored:
        """What the event becomes. Raises MappingError."""
        try:
            kind = self._kind(native)
        except ValueError as error:
            raise MappingError(f"type: {error}") from error
        if not isinstance(kind, str):
            return Ignored("")
        rules = self._rules.get(self._name(kind))
        if rules is None:
            return Ignored(kind)
        chosen = [rule for rule in rules if rule.holds(native)]
        drafts = [rule.draft(native, clock, number) for number, rule in enumerate(chosen)]
        return drafts or Ignored(kind)


def _fields(table: Table, rule: Rule, shops: Mapping[str, Field]) -> Mapping[str, Field]:
    """What is particular stands over what is general, and what a shop says over what we do."""
    if rule.is_own:
        return {**table.fields, **shops, **rule.fields}
    return {**table.fields, **rule.fields, **shops}


class _Compiled:
    def __init__(self, rule: Rule, fields: Mapping[str, Field]) -> None:
        found = {name: compute(one) for name, one in fields.items() if one != ""}
        self._type = rule.type
        self._at, self._is_true = found.pop("occurred_at", _nothing), found.pop(TIME_IS_TRUE, _nothing)
        self._attributes = [
            (name.removeprefix(ATTRIBUTE), found.pop(name)) for name in [*found] if name.startswith(ATTRIBUTE)
        ]
        self._fields = list(found.items())
        self._when = [(compute(path), wanted) for path, wanted in rule.when.items()]

    def holds(self, native: Native) -> bool:
        return all(_is(of(native), wanted) for of, wanted in self._when)

    def draft(self, native: Native, clock: Clock, number: int) -> Draft:
        draft: dict[str, Any] = {"type": self._type}
        name = "occurred_at"
        try:
            # First of all: a session may be named after the event's day.
            when = clock.when(self._at(native), bool(self._is_true(native)))
            if not 0 <= when.at_ms < END_OF_TIME_MS:
                raise ValueError(f"not in the years 1970 to 2199: {when.at_ms} ms")
            native.at_ms = when.at_ms
            for name, of in self._fields:
                value = of(native)
                if value is not None:
                    draft[name] = value
            if self._attributes:
                draft["attributes"] = {
                    name: value for name, of in self._attributes if (value := of(native)) is not None
                }
        except ValueError as error:
            raise MappingError(f"{name}: {error}") from error
        return Draft(draft, when, number)


def _nothing(_native: Native) -> None:
    return None


def compute(one: Field) -> Expression:
    return compiled(one) if isinstance(one, str) else one


def _is(value: Any, wanted: Any) -> bool:
    if wanted is ANYTHING or wanted is NOTHING:
        return (value is not None) == (wanted is ANYTHING)
    if isinstance(wanted, Not):
        return bool(value != wanted.value)
    if isinstance(wanted, tuple):
        return value in wanted
    return bool(value == wanted)
