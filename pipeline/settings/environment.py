"""Names of the settings in the environment; secrets in files."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from pydantic import BaseModel

PREFIX: Final = "CX_"


FROM_FILE: Final = "_FILE"


class SettingsError(ValueError):
    """A setting is unknown or its value does not fit; the message is one line."""


def secrets_from_files(given: Mapping[str, str], secret: set[str]) -> dict[str, str]:
    """Secrets whose file is named instead of themselves. Raises SettingsError."""
    found: dict[str, str] = {}
    for name in secret:
        path = given.get(name + FROM_FILE)
        if path is None:
            continue
        if name in given:
            raise SettingsError(f"{name} and {name}{FROM_FILE} are both set; one of them is to be left out")
        try:
            found[name] = Path(path).read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise SettingsError(f"{name}{FROM_FILE}: {path!r} cannot be read ({error})") from error
        if not found[name]:
            raise SettingsError(f"{name}{FROM_FILE}: {path} is empty; leave the setting out to go without")
    return found


def names(model: type[BaseModel], prefix: str = PREFIX) -> Iterator[tuple[str, Any]]:
    """Every setting's environment variable, with its pydantic field; groups are listed too."""
    for name, info in model.model_fields.items():
        variable = prefix + name.upper()
        yield variable, info
        if isinstance(info.annotation, type) and issubclass(info.annotation, BaseModel):
            yield from names(info.annotation, variable + "__")


def leaves(model: type[BaseModel]) -> set[str]:
    """The variables of single settings, groups left aside."""
    return {
        name
        for name, info in names(model)
        if not (isinstance(info.annotation, type) and issubclass(info.annotation, BaseModel))
    }


def nearest(name: str, known: set[str]) -> str:
    import difflib

    close = difflib.get_close_matches(name, known, n=1)
    return f", did you mean {close[0]}?" if close else ""
