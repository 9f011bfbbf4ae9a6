"""Query parameters, checked against their model and against what there is; and pages' cursors."""

import base64
import binascii
from collections.abc import Mapping, Sequence
from typing import Any, Final, Protocol, TypeVar

import msgspec
from pydantic import ValidationError

from pipeline.model.segments import canonical
from pipeline.web.answers import Fault
from pipeline.web.asked import Parameters
from pipeline.web.catalogue import Catalogue
from schemas.segments import parse_segment
from schemas.times import END_OF_TIME_MS

P = TypeVar("P", bound=Parameters)
#: A message of pydantic's that does not say what is allowed.
_UNKNOWN: Final = "extra_forbidden"


class Given(Protocol):
    """Parameters as they stand in the address: a name may be there more than once."""

    def keys(self) -> Any: ...
    def getall(self, name: str) -> Sequence[str]: ...


class ParameterError(ValueError):
    """Parameters that are not allowed."""

    def __init__(self, *faults: Fault) -> None:
        super().__init__("; ".join(f"{fault.parameter}: {fault.message}" for fault in faults))
        self.faults = list(faults)


def parse(model: type[P], given: Given, names: Catalogue) -> P:
    """The parameters. Raises ParameterError, with all that is wrong and what is allowed."""
    once = {name: given.getall(name) for name in dict.fromkeys(given.keys())}
    twice = [Fault(parameter=name, message="given more than once") for name, some in once.items() if len(some) > 1]
    if twice:
        raise ParameterError(*twice)
    try:
        found = model.model_validate({name: some[0] for name, some in once.items()}, by_alias=True, by_name=False)
    except ValidationError as error:
        raise ParameterError(*(_fault(model, one) for one in error.errors(include_url=False))) from error
    faults = _unknown_names(found, names)
    if faults:
        raise ParameterError(*faults)
    return found


def allowed(names: Catalogue) -> Mapping[str, tuple[str, ...]]:
    """By parameter, the values that there are with the present settings."""
    return {"signal": names.signals, "funnel": names.funnels, "dimension": names.dimensions}


def _fault(model: type[Parameters], error: Any) -> Fault:
    name = str(error["loc"][0]) if error["loc"] else "query"
    message = str(error["msg"]).removeprefix("Value error, ")
    if error["type"] == _UNKNOWN:
        message = f"no such parameter; there are: {', '.join(parameter_names(model)) or 'none'}"
    return Fault(parameter=name, message=message)


def parameter_names(model: type[Parameters]) -> list[str]:
    return [info.alias or name for name, info in model.model_fields.items()]


def _unknown_names(found: Parameters, names: Catalogue) -> list[Fault]:
    faults = []
    for name, values in allowed(names).items():
        value = getattr(found, name, None)
        if value is not None and value not in values:
            faults.append(Fault(parameter=name, message=f"no {name} {value!r}; there are: {', '.join(values)}"))
    segment = getattr(found, "segment", None)
    if segment is not None:
        try:
            written = canonical(parse_segment(segment, names.known_dimensions))
            if written != segment:
                raise ValueError(f"dimensions come in alphabetical order: {written}")
        except ValueError as error:
            faults.append(Fault(parameter="segment", message=str(error)))
    return faults


def to_cursor(*key: str | int) -> str:
    """A place in a listing, as text for an address."""
    return base64.urlsafe_b64encode(msgspec.json.encode(key)).decode().rstrip("=")


def from_cursor(cursor: str | None, *types: type) -> tuple[Any, ...]:
    """The key of a cursor, with values of these types; nothing where there is none. Raises ParameterError."""
    if cursor is None:
        return ()
    try:
        raw = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))
        key: tuple[Any, ...] = msgspec.json.decode(raw, type=tuple[types])  # type: ignore[valid-type]  # made at run time
    except (binascii.Error, msgspec.DecodeError, ValueError) as error:
        raise _no_cursor() from error
    if any(isinstance(one, int) and not 0 <= one <= END_OF_TIME_MS for one in key):
        raise _no_cursor()
    return key


def _no_cursor() -> ParameterError:
    return ParameterError(Fault(parameter="cursor", message="not the 'next' of a page of this listing"))
