"""Where stores are: a CSV file of the shop's, for the console's map."""

import csv
from pathlib import Path
from typing import Annotated, Final, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from pipeline.settings.environment import SettingsError

_COLUMNS: Final = ("store_id", "name", "latitude", "longitude")


class PlacesError(SettingsError):
    """The file cannot be used; the message is one line that names the file's line."""


class Place(NamedTuple):
    name: str
    latitude: float
    """Degrees, north positive."""
    longitude: float
    """Degrees, east positive."""


class _Row(BaseModel):
    model_config = ConfigDict(extra="ignore")

    store_id: Annotated[str, Field(min_length=1, max_length=64)]
    name: Annotated[str, Field(max_length=100)] = ""
    latitude: Annotated[float, Field(ge=-90, le=90, allow_inf_nan=False)]
    longitude: Annotated[float, Field(ge=-180, le=180, allow_inf_nan=False)]


def load_places(path: str) -> dict[str, Place]:
    """By store_id. No path, no places. Raises PlacesError."""
    if not path:
        return {}
    try:
        with Path(path).open(encoding="utf-8-sig", newline="") as file:
            return _read(path, csv.DictReader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise PlacesError(f"CX_WEB__STORES: {path} cannot be read: {error}") from error


def _read(path: str, rows: "csv.DictReader[str]") -> dict[str, Place]:
    missing = [name for name in _COLUMNS if name != "name" and name not in (rows.fieldnames or ())]
    if missing:
        raise PlacesError(
            f"CX_WEB__STORES: {path}, line 1: no column {missing[0]!r}; the first line names {', '.join(_COLUMNS)}"
        )
    found: dict[str, Place] = {}
    for row in rows:
        try:
            read = _Row.model_validate({name: value for name, value in row.items() if value is not None})
        except ValidationError as error:
            wrong = error.errors()[0]
            raise PlacesError(
                f"CX_WEB__STORES: {path}, line {rows.line_num}: {'.'.join(map(str, wrong['loc']))}: {wrong['msg']}"
            ) from error
        if read.store_id in found:
            raise PlacesError(f"CX_WEB__STORES: {path}, line {rows.line_num}: {read.store_id!r} is there twice")
        found[read.store_id] = Place(read.name, read.latitude, read.longitude)
    return found
