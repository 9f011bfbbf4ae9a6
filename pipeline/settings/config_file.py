"""Files of settings (TOML), whose errors name the line. That of ``CX_CONFIG`` has the names of the environment, in
lower case, a table for each group.
"""

import re
import tomllib
from pathlib import Path
from typing import Any, Final

from pipeline.settings.environment import SettingsError

_TABLE: Final = re.compile(r"\s*\[([^\[\]]+)\]")
_KEY: Final = re.compile(r"""\s*([\w."'-]+)\s*=""")


class ConfigFile:
    """What a file says. Raises SettingsError where it cannot be read."""

    def __init__(self, path: str, named_by: str = "CX_CONFIG") -> None:
        """``named_by``: the setting that names the file."""
        self.path: Final = path
        try:
            self._text: Final = Path(path).read_text(encoding="utf-8")
            self.content: Final[dict[str, Any]] = tomllib.loads(self._text)
        except (OSError, UnicodeDecodeError) as error:
            raise SettingsError(f"{named_by}: {path!r} cannot be read ({error})") from error
        except tomllib.TOMLDecodeError as error:
            raise SettingsError(f"{path}: {error}") from error

    def place_of(self, setting: tuple[str, ...]) -> str | None:
        """Where a setting is given, with its line; None where it is not."""
        found, here = 0, tuple[str, ...]()
        depth = 0
        for number, line in enumerate(self._text.splitlines(), start=1):
            if table := _TABLE.match(line):
                here = _parts(table[1])
                named = here
            elif key := _KEY.match(line):
                named = (*here, *_parts(key[1]))
            else:
                continue
            if setting[: len(named)] == named and len(named) > depth:
                found, depth = number, len(named)
        return f"{self.path}, line {found}: {'.'.join(setting)}" if found else None


def _parts(dotted: str) -> tuple[str, ...]:
    return tuple(part.strip().strip("\"'") for part in dotted.split("."))


def merged(low: dict[str, Any], high: dict[str, Any]) -> dict[str, Any]:
    """Both, table by table; where they differ the second."""
    found = dict(low)
    for name, value in high.items():
        before = found.get(name)
        both = isinstance(before, dict) and isinstance(value, dict)
        found[name] = merged(before, value) if both else value  # type: ignore[arg-type] # seen to be a table
    return found
