"""Settings for the whole suite."""

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, settings

from deploy.compile import MODULES, NATIVE, compiled

_ROOT = Path(__file__).parents[1]
settings.register_profile(
    "default", deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)
settings.register_profile(
    "fast-fail", settings.get_profile("default"), phases=[Phase.explicit, Phase.reuse, Phase.generate]
)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "default"))


def pytest_report_header() -> str:
    return f"hot path: {'compiled' if compiled(_ROOT) else 'not compiled'}"


def pytest_configure() -> None:
    """What is tested must be what is written."""
    built = [path.stat().st_mtime for path in compiled(_ROOT)]
    changed = [one for one in MODULES + NATIVE if built and (_ROOT / one).stat().st_mtime > min(built)]
    if changed:
        pytest.exit(
            f"{changed[0]} is newer than what was compiled of it: run 'make test', or 'python -m deploy.compile' "
            "(to work without: remove the .so files)",
            returncode=2,
        )
