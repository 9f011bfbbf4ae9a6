"""The module-level app for ``faust -A pipeline.worker worker``; the one thing built at import."""

import sys

from pipeline.runtime.app import create_app
from pipeline.settings import SettingsError, load

try:
    app = create_app(load())
except SettingsError as error:
    print(f"error: {error}", file=sys.stderr)  # noqa: T201 - the user's terminal, before logging exists
    sys.exit(2)
