"""ClickHouse against the naive tables: exactly where the input is at rest, else what nothing later touches.

A row's version tells how far its partition had been read, so a journey or tile written by what came
after the compared part of the log is left out. A signal has many sources: those of windows that reach
past the earliest time that later records can touch are left out.
"""

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

from pipeline.model.facts import HORIZON_MS
from pipeline.model.signals import Kind, signal_of
from pipeline.tools.verify.naive_moments import is_held_out
from pipeline.tools.verify.naive_returns import SOURCE as PERSONS_SOURCE
from pipeline.tools.verify.naive_returns import is_of_persons, persons_passed_ms
from pipeline.tools.verify.naive_types import (
    Arm,
    JourneyKey,
    JourneyValue,
    MomentKey,
    MomentValue,
    PurchaseKey,
    RecoveryKey,
    RecoveryValue,
    SignalValue,
    Source,
    Tables,
    TileKey,
)
from schemas.versioning import OFFSET_BITS

_SHOWN: Final = 20
_RELATIVE: Final = 1e-9
END_OF_TIME: Final = 2**62

_Key = TypeVar("_Key")
_Row = TypeVar("_Row")


@dataclass(frozen=True)
class Bounds:
    """How far the compared logs go."""

    ends: Mapping[Source, int]
    """By source: the offset after the last record compared."""
    touched_ms: int
    """The earliest event time that records after the ends could have touched."""
    generation: int
    is_first_look: bool = False
    """What was told may not be stored yet: of what is missing that is not taken for the work of later events."""

    def is_later(self, source: Source, version: int) -> bool:
        """Whether a row of this version was written by records after the ends."""
        return version > (self.generation << OFFSET_BITS) + self.ends.get(source, 0)


@dataclass
class Report:
    """What was compared and what differs, of one table."""

    table: str
    compared: int = 0
    left_out: int = 0
    differences: int = 0
    shown: list[str] = field(default_factory=list)

    def differ(self, text: str) -> None:
        self.differences += 1
        if len(self.shown) < _SHOWN:
            self.shown.append(text)


def compare_journeys(
    found: Iterable[tuple[JourneyKey, JourneyValue, int]],
    tables: Tables,
    bounds: Bounds,
    sources_of: Callable[[JourneyKey], Collection[Source]],
) -> Report:
    """``sources_of``: the partitions of the journey's session.

    Where they are several, each puts out what its own part amounts to, and the last one's row stays.
    """
    report = Report("journeys")
    missing = dict(tables.journeys)
    for key, row, version in found:
        expected = missing.pop(key, None)
        if version >> OFFSET_BITS < bounds.generation and expected is None:
            continue
        actual = None if row.outcome == "retracted" else row
        sources = sources_of(key)
        is_right = actual == expected or (len(sources) > 1 and actual in (None, *tables.twins.get(key, ())))
        if not is_right and (not sources or any(bounds.is_later(source, version) for source in sources)):
            report.left_out += 1
            continue
        report.compared += 1
        if not is_right:
            is_who = actual and expected and _without(actual) == _without(expected)
            who = "; another customer or visitor: is CX_PRIVACY__CUSTOMER_KEY the workers'?" if is_who else ""
            report.differ(f"{_shown(key)}: ClickHouse has {_but_who(actual)}, expected {_but_who(expected)}{who}")
    for key, expected in missing.items():
        report.differ(f"{_shown(key)}: not in ClickHouse, expected {_but_who(expected)}")
    return report


def _but_who(row: JourneyValue | None) -> str:
    """Without customer and visitor: beside a pseudonym the name would tell whose it is."""
    return _shown(row and _without(row))


def _without(row: JourneyValue) -> JourneyValue:
    return row._replace(customer_id="", visitor_id="")


def compare_recoveries(
    found: Iterable[tuple[RecoveryKey, RecoveryValue | None, int]], tables: Tables, bounds: Bounds
) -> Report:
    """What has become of journeys.

    For seven days after a journey's end, and after the purchase that it led to, later events can change it: a
    purchase, its cancellation, one that tells who a visitor is. What differs so is left out.
    """

    def is_open(key: RecoveryKey, *rows: RecoveryValue | None) -> bool:
        return key.person in tables.crowds or any(_may_change(row, bounds) for row in rows)

    return _compare(
        Report("recoveries"), found, tables.recoveries, bounds, is_open, lambda key, _: _place(key), _shown
    )


def compare_moments(
    found: Iterable[tuple[MomentKey, MomentValue | None, int]], tables: Tables, bounds: Bounds
) -> Report:
    """What rules about persons have told.

    For seven days later events can change what a person did, so what differs so is left out; and while a rule is
    silent all depends on when it fired.
    """

    def is_open(key: MomentKey, *rows: MomentValue | None) -> bool:
        is_crowd = any(row is not None and row.person in tables.crowds for row in rows)
        return is_crowd or key.at_ms + HORIZON_MS >= bounds.touched_ms

    return _compare(Report("moments"), found, tables.moments, bounds, is_open, _moment, _events)


def add_arms(report: Report, arms: Iterable[Arm], key: bytes) -> None:
    """Whether who is held out follows from rule, person and ``key``, under the share that each row tells."""
    for arm in arms:
        if arm.is_held != is_held_out(arm.rule, arm.person, arm.share, key):
            found, expected = ("held out", "told") if arm.is_held else ("told", "held out")
            report.differ(
                f"{arm.rule} of {arm.channel}/{arm.session_id} at {arm.at_ms}: ClickHouse has it {found}, "
                f"expected {expected} (share {arm.share}); is CX_MOMENTS__HOLDOUT_KEY the workers'?"
            )


def compare_purchases(
    found: Iterable[tuple[PurchaseKey, float | None, int]], tables: Tables, bounds: Bounds
) -> Report:
    """What persons have bought. For seven days a cancellation, a copy, another person can change it."""

    def is_open(key: PurchaseKey, *_rows: float | None) -> bool:
        return key.person in tables.crowds or key.at_ms + HORIZON_MS >= bounds.touched_ms

    return _compare(
        Report("purchases"), found, tables.purchases, bounds, is_open, lambda key, _: _purchase(key), str
    )


def _compare(
    report: Report,
    found: Iterable[tuple[_Key, _Row | None, int]],
    expected: Mapping[_Key, _Row],
    bounds: Bounds,
    is_open: Callable[[_Key, _Row | None, _Row | None], bool],
    place: Callable[[_Key, _Row], str],
    tell: Callable[[_Row | None], str],
) -> Report:
    """Of rows about persons, None where one was taken back, with versions.

    ``is_open``: whether later events can change it. Rows of an earlier generation stay, though its log is gone.
    """
    missing = dict(expected)
    for key, actual, version in found:
        wanted = missing.pop(key, None)
        if wanted is None and version >> OFFSET_BITS < bounds.generation:
            continue
        row = wanted if actual is None else actual
        if row is None or actual == wanted:
            report.compared += 1
        elif is_open(key, actual, wanted):
            report.left_out += 1
        else:
            report.compared += 1
            report.differ(f"{place(key, row)}: ClickHouse has {tell(actual)}, expected {tell(wanted)}")
    for key, wanted in missing.items():
        if is_open(key, None, wanted) and not bounds.is_first_look:
            report.left_out += 1
        else:
            report.differ(f"{place(key, wanted)}: not in ClickHouse, expected {tell(wanted)}")
    return report


def _purchase(key: PurchaseKey) -> str:
    """Without the person."""
    return f"{key.event_id} of {key.channel}/{key.session_id} at {key.at_ms}"


def _moment(key: MomentKey, row: MomentValue) -> str:
    """Without the person."""
    return f"{row.rule} of {key.channel}/{key.session_id} at {key.at_ms}"


def _events(row: MomentValue | None) -> str:
    """The same."""
    return "none" if row is None else f"fired on {', '.join(row.events)}"


def _may_change(row: RecoveryValue | None, bounds: Bounds) -> bool:
    return row is not None and (row.recovered_ms or row.ended_ms) + HORIZON_MS >= bounds.touched_ms


def _place(key: RecoveryKey) -> str:
    """Without the person: what is printed is seen by others."""
    return _shown(key._replace(person=key.person[:2] + "..."))


def compare_tiles(found: Iterable[tuple[TileKey, dict[str, int], int]], tables: Tables, bounds: Bounds) -> Report:
    """Of touchpoints."""
    report = Report("tiles")
    missing = {
        key: {n: c for n, c in row.items() if c} for key, row in tables.tiles.items() if key[2] != PERSONS_SOURCE
    }
    missing = {key: row for key, row in missing.items() if row}
    for key, counters, version in found:
        if key[2].startswith(PERSONS_SOURCE):
            continue
        expected = missing.pop(key, {})
        if version >> OFFSET_BITS < bounds.generation and not expected:
            continue
        topic, _, partition = key[2].rpartition(":")
        if bounds.is_later((topic, int(partition)), version):
            report.left_out += 1
            continue
        report.compared += 1
        if counters != expected:
            report.differ(f"{key}: ClickHouse has {counters}, expected {expected}")
    for key, expected in missing.items():
        report.differ(f"{key}: not in ClickHouse, expected {expected}")
    return report


def compare_signals(
    found: Iterable[tuple[tuple[str, str, str, int], SignalValue]],
    tables: Tables,
    bounds: Bounds,
    with_past: bool = True,
) -> Report:
    """``with_past``: False to leave out what is compared with weeks that the logs do not hold."""
    report = Report("signals")

    def is_compared(signal: str) -> bool:
        return with_past or signal_of(signal).kind is not Kind.COMPLETION_RATIO

    of_persons = {k: row for k, row in tables.signals.items() if is_of_persons(k[0])}
    own = {k: row for k, row in tables.signals.items() if k not in of_persons}
    missing = {k: row for k, row in own.items() if k[3] <= bounds.touched_ms and is_compared(k[0])}
    report.left_out = len(own) - len(missing)
    for key, row in found:
        if not is_compared(key[0]) or is_of_persons(key[0]):
            continue
        expected = missing.pop(key, None)
        if expected is None:
            # An earlier generation's rows stay in the store; their log is gone.
            if row.denominator and bounds.generation == 1:
                report.differ(f"{key}: ClickHouse has {_shown(row)}, expected none")
            continue
        report.compared += 1
        if not _close(row, expected, key[0]):
            report.differ(f"{key}: ClickHouse has {_shown(row)}, expected {_shown(expected)}")
    for key, expected in missing.items():
        report.differ(f"{key}: not in ClickHouse, expected {_shown(expected)}")
    return report


def compare_person_signals(
    found: Iterable[tuple[tuple[str, str, str, int], SignalValue]],
    tables: Tables,
    generation: int,
    touched_ms: int,
    is_first_look: bool = False,
) -> Report:
    """Those of what persons did, of windows that all have passed. ``is_first_look``: see :class:`Bounds`.

    A purchase that is cancelled, or that turns out to be somebody else's, changes windows of the seven days
    before the earliest time that later events can touch, ``touched_ms``. What differs there is left out, and
    everything that differs where there are crowds, and where somebody may count who is erased.
    """
    report, passed_ms = Report("signals of persons"), persons_passed_ms(tables)
    missing = {k: row for k, row in tables.signals.items() if is_of_persons(k[0])}

    def differ(key: tuple[str, str, str, int], text: str) -> None:
        if tables.crowds or tables.is_unsure(key[3]) or key[3] + HORIZON_MS > touched_ms:
            report.left_out += 1
        else:
            report.differ(f"{key}: {text}")

    for key, row in found:
        if not is_of_persons(key[0]) or key[3] > passed_ms:
            continue
        expected = missing.pop(key, None)
        if expected is not None and _close(row, expected, key[0]):
            report.compared += 1
        elif expected is not None:
            differ(key, f"ClickHouse has {_shown(row)}, expected {_shown(expected)}")
        elif row.denominator and generation == 1:
            differ(key, f"ClickHouse has {_shown(row)}, expected none")
    for key, expected in missing.items():
        if is_first_look:
            report.differ(f"{key}: not in ClickHouse, expected {_shown(expected)}")
        else:
            differ(key, f"not in ClickHouse, expected {_shown(expected)}")
    return report


def add_incomplete(report: Report, left: Iterable[tuple[str, str, str, int]], bounds: Bounds) -> None:
    """``left``: rows put out early of windows that all sources have passed since: complete ones are missing."""
    for key in left if bounds.generation == 1 else ():
        report.differ(f"{key}: ClickHouse has a row that is not complete, though every source has passed its end")


def compare_dead_letters(
    found: Iterable[tuple[tuple[str, int, int], str]], tables: Tables, bounds: Bounds
) -> Report:
    report = Report("dead_letters")
    missing = dict(tables.dead_letters)
    for key, reason in found:
        if key[2] >= bounds.ends.get((key[0], key[1]), 0):
            report.left_out += 1
            continue
        expected = missing.pop(key, None)
        if expected is None and bounds.generation > 1:
            continue
        report.compared += 1
        if reason != expected:
            report.differ(f"{key}: ClickHouse has {reason}, expected {expected}")
    for key, expected in missing.items():
        report.differ(f"{key}: not in ClickHouse, expected {expected}")
    return report


def _close(row: SignalValue, expected: SignalValue, signal: str) -> bool:
    """Counts and sums to the last bit; quotients and roots, and what is made of them, to within rounding."""
    if row.denominator != expected.denominator and signal_of(signal).kind is not Kind.COMPLETION_RATIO:
        return False
    if row.numerator != expected.numerator and signal_of(signal).kind is not Kind.NOWCAST:
        return False
    return all(abs(a - b) <= _RELATIVE * max(1.0, abs(a), abs(b)) for a, b in zip(row, expected, strict=True))


def _shown(row: Any) -> str:
    if row is None:
        return "none"
    values = row._asdict().items() if hasattr(row, "_asdict") else enumerate(row)
    return ", ".join(f"{name}={value}" for name, value in values if value not in ("", None))
