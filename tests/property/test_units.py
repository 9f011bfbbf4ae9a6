"""Amounts come out as the doubles nearest to them, compiled or not, however large the sums are."""

import importlib.util
from fractions import Fraction
from pathlib import Path
from types import ModuleType
from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st

from schemas import units

#: 100 million events of the largest amount, and their squares.
LARGEST = 10**16 * 10**8


def uncompiled() -> ModuleType:
    path = Path(__file__).parents[2] / "schemas" / "units.py"
    spec = importlib.util.spec_from_file_location("units_as_written", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


AS_WRITTEN: Any = uncompiled()


@given(st.one_of(st.integers(-LARGEST, LARGEST), st.integers(2**53 - 10, 2**53 + 10**6)))
@example(10**16 + 1)
def test_an_amount_is_the_nearest_double(total: int) -> None:
    assert units.from_units(total) == float(Fraction(total, 10_000)) == AS_WRITTEN.from_units(total)


@given(st.floats(-1e300, 1e300))
@example(0.00005)
@example(1.7e308)
def test_an_amount_is_taken_alike_compiled_and_not(amount: float) -> None:
    assert units.to_units(amount) == AS_WRITTEN.to_units(amount)
