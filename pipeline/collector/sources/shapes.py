"""What several sources have in common: bodies that are one JSON object or a list of them, answers to surveys."""

from collections.abc import Callable, Mapping
from typing import Any, Final

from pipeline.collector.bodies import Body, Kind
from pipeline.collector.converters import iso_ms, number_of
from pipeline.collector.families import NotTakenApartError
from pipeline.collector.incoming import Apart, Incoming, Native
from pipeline.collector.tables import Field, Rule

_CES_POINTS: Final = 7.0


def json_object(_request: Incoming, body: Body) -> Apart:
    """A server's message: one JSON object, whose times are true. Raises NotTakenApartError."""
    if body.kind is not Kind.JSON or not isinstance(body.content, dict):
        raise NotTakenApartError("a JSON object is wanted")
    return Apart([body.content], is_trusted=True)


def json_objects(_request: Incoming, body: Body) -> Apart:
    """The same, or a list of them."""
    content = body.content
    events = content if isinstance(content, list) else [content]
    if body.kind is not Kind.JSON or not all(isinstance(one, dict) for one in events):
        raise NotTakenApartError("a JSON object is wanted, or a list of them")
    return Apart(events, is_trusted=True)


def time_or_none(value: Any) -> int | None:
    """Of a sender's clock: it would only correct, events are as good without."""
    try:
        return iso_ms(value) if value else None
    except ValueError:
        return None


def channel_of(native: Native) -> str:
    """What the configuration says, for a contact or an answer has no channel of the contract of its own."""
    return str(native.source.get("channel", "web"))


def survey_of(native: Native, name: str) -> Mapping[str, Any]:
    """What the configuration says of a survey: which kind and scale it is can never be told from the number.

    Raises ValueError.
    """
    surveys: Mapping[str, Mapping[str, Any]] = native.source.get("surveys") or {}
    if name not in surveys:
        raise ValueError(f"the source has no [sources.NAME.surveys.{name!r}] that says its kind and scale")
    return surveys[name]


def answer(name_of: Callable[[Native], str], score_of: Callable[[Native], Any], **fields: Field) -> Rule:
    """The rule of an answer. ``name_of``: which survey or question it is of."""

    def score(native: Native) -> float | None:
        own, value = survey_of(native, name_of(native)), score_of(native)
        if value is None:
            return None
        number = number_of(value)
        if not own.get("rescale"):
            return number
        # A CES of other points than 7, spread over 1 to 7 because the shop says so.
        return 1.0 + (number - 1.0) * (_CES_POINTS - 1.0) / (float(own["scale"]) - 1.0)

    def scale(native: Native) -> float | None:
        own = survey_of(native, name_of(native))
        return None if own.get("rescale") else own.get("scale")

    return Rule(
        "survey_answered",
        {
            "survey": lambda native: survey_of(native, name_of(native))["survey"],
            "score": score,
            "scale": scale,
            **fields,
        },
    )
