"""msgspec types made from pydantic models, so that there is one description of every message."""

import types
import typing
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import annotated_types
import msgspec
from pydantic import BaseModel
from pydantic.fields import FieldInfo


def derive_fields(model: type[BaseModel]) -> list[tuple[str, Any] | tuple[str, Any, Any]]:
    """Field list for :func:`msgspec.defstruct`: same names, types, bounds and defaults as ``model``.

    Objects (``dict``) become :class:`msgspec.Raw`: they are carried, not read. What only pydantic
    can express (validators) is left to the caller.
    """
    fields: list[tuple[str, Any] | tuple[str, Any, Any]] = []
    for name, info in model.model_fields.items():
        kind = _derive(info.annotation, _constraints(info.metadata))
        if info.is_required():
            fields.append((name, kind))
        else:
            fields.append((name, kind, info.default))
    return fields


def _derive(annotation: Any, constraints: dict[str, Any]) -> Any:
    origin = get_origin(annotation)
    if origin is Annotated:
        inner, *metadata = get_args(annotation)
        return _derive(inner, constraints | _constraints(metadata))
    if origin in (Union, types.UnionType):
        members = [_derive(member, constraints) for member in get_args(annotation)]
        if msgspec.Raw in members:
            return msgspec.Raw  # takes null too; msgspec does not combine it with other types
        return typing.Union[tuple(members)]  # noqa: UP007 - built at run time
    if origin is dict:
        return msgspec.Raw
    if annotation is type(None) or origin is Literal or not constraints:
        return annotation
    return Annotated[annotation, msgspec.Meta(**constraints)]


def _constraints(metadata: typing.Sequence[Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for item in metadata:
        if isinstance(item, FieldInfo):
            found |= _constraints(item.metadata)
        for name in ("ge", "gt", "le", "lt", "min_length", "max_length", "pattern"):
            bound = getattr(item, name, None)
            if bound is not None and not isinstance(item, FieldInfo):
                found[name] = bound
        if isinstance(item, annotated_types.Len):
            found["min_length"], found["max_length"] = item.min_length, item.max_length
    return found
