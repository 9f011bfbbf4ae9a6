"""What a machine may lack: a laptop skips the test and says why, CI fails."""

import os

import pytest


def need(is_there: object, reason: str) -> None:
    if not is_there:
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason, allow_module_level=True)
