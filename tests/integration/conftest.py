"""A running system: started once for the module as a user would, with ``cx-signals up``."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.running import Running


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    system = Running.start(tmp_path_factory.mktemp("up"))
    try:
        yield system
    finally:
        system.stop()


@pytest.fixture(scope="session")
def real_data() -> Path:
    folder = Path(__file__).parents[3] / "shared" / "data"
    if not folder.is_dir():
        if os.environ.get("CI"):
            pytest.fail(f"the real input is missing: {folder}")
        pytest.skip(f"the real input is not here: {folder}")
    return folder
