"""The moment rules' file: read, checked, and made into the core's rules."""

import tomllib
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError, model_validator

from pipeline.model.moments import LONGEST_MS, Condition, MomentRule
from pipeline.settings.environment import SettingsError
from pipeline.settings.toml_lines import line_of
from schemas.events import Channel, Survey
from schemas.vocabulary import Vocabulary

NONE: Final = "none"
"""Instead of a file: no rules."""
_LONGEST_S: Final = LONGEST_MS / 1000
_MOST_RULES: Final = 50
_MOST_HELD: Final = 0.5
_STRICT: Final = ConfigDict(extra="forbid", frozen=True)
Text = Annotated[str, Field(min_length=1, max_length=64)]


class MomentRulesError(SettingsError):
    """The file cannot be used; the message is one line that names the file's line."""


class _Condition(BaseModel):
    model_config = _STRICT

    types: Annotated[list[str], Field(min_length=1)] | None = None
    journey: Text | None = None
    outcome: Literal["completed", "abandoned", "emptied"] | None = None
    step: Text | None = None
    channel: Channel | None = None
    survey: Survey | None = None
    least_score: float | None = None
    most_score: float | None = None
    least_value: Annotated[float, Field(ge=0)] | None = None
    count: Annotated[int, Field(ge=1, le=100)] = 1

    @model_validator(mode="after")
    def _is_about_something(self) -> "_Condition":
        if (self.types is None) == (self.journey is None):
            raise ValueError("either types or journey is needed")
        if self.types is not None and self.outcome is not None:
            raise ValueError("outcome is of a journey")
        of_answers = (self.survey, self.least_score, self.most_score)
        if any(one is not None for one in of_answers) and self.types != ["survey_answered"]:
            raise ValueError('survey and scores are of types = ["survey_answered"]')
        if (self.least_score is not None or self.most_score is not None) and self.survey is None:
            raise ValueError("a score is of a survey: say which")
        return self

    def made(self) -> Condition:
        rest = self.model_dump(exclude={"types", "journey", "outcome"})
        if self.journey is None:
            return Condition(types=frozenset(self.types or ()), **rest)
        return Condition(journey=self.journey, outcome=self.outcome or "abandoned", **rest)


_RESERVED_BEGINNING: Final = "step-"


class _Rule(BaseModel):
    model_config = _STRICT

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,47}$")]
    says: Annotated[str, Field(max_length=200)] = ""
    when: Annotated[list[_Condition], Field(min_length=1, max_length=8)]
    unless: list[str] = []
    within_s: Annotated[float, Field(gt=0, le=_LONGEST_S)]
    cooldown_s: Annotated[float, Field(ge=0, le=_LONGEST_S)]
    scope: Literal["person", "session"] = "person"
    holdout: Annotated[float, Field(ge=0, le=_MOST_HELD)] = 0.0
    holdout_since: AwareDatetime | None = None

    @model_validator(mode="after")
    def _says_since_when(self) -> "_Rule":
        if (self.holdout > 0) != (self.holdout_since is not None):
            raise ValueError("holdout and holdout_since need each other: from when on some are not told of")
        return self

    def made(self) -> MomentRule:
        return MomentRule(
            name=self.name,
            conditions=tuple(one.made() for one in self.when),
            within_ms=round(self.within_s * 1000),
            unless=frozenset(self.unless),
            cooldown_ms=round(self.cooldown_s * 1000),
            is_of_session=self.scope == "session",
            says=self.says,
            holdout=self.holdout,
            holdout_since_ms=0 if self.holdout_since is None else round(self.holdout_since.timestamp() * 1000),
        )


def load_moment_rules(path: str, funnels: tuple[str, ...], words: Vocabulary) -> tuple[MomentRule, ...]:
    """The rules of the file, or those shipped where ``path`` is empty; ``none``: none. Raises MomentRulesError."""
    if path == NONE:
        return ()
    name = path or "moment_rules.toml"
    try:
        file = Path(path) if path else files("pipeline.settings") / "moment_rules.toml"
        text = file.read_text(encoding="utf-8")
        content = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise MomentRulesError(f"{name}: {error}") from error
    except (OSError, UnicodeDecodeError) as error:
        raise MomentRulesError(f"{name}: cannot be read: {error}") from error
    found = _checked(name, text, content, funnels, words, is_shipped=not path)
    if len(found) > _MOST_RULES:
        raise MomentRulesError(f"{name}: {len(found)} rules, at most {_MOST_RULES}")
    return tuple(found)


def _checked(
    name: str, text: str, content: dict[str, Any], funnels: tuple[str, ...], words: Vocabulary, *, is_shipped: bool
) -> list[MomentRule]:
    if unknown := set(content) - {"moment"}:
        raise MomentRulesError(f"{name}: {min(unknown)}: there are [[moment]] only")
    found: list[MomentRule] = []
    for number, row in enumerate(content.get("moment", [])):
        try:
            rule = _Rule.model_validate(row)
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            where = ".".join(str(part) for part in first["loc"])
            what = first["msg"].removeprefix("Value error, ")
            key = str(first["loc"][0]) if first["loc"] else ""
            raise _at(name, text, number, key, f"{where}: {what}" if where else what) from error
        problem = _problem(rule, found, funnels, words)
        if problem is None:
            found.append(rule.made())
        elif not (is_shipped and problem[0] == "when"):
            # A shop that has switched off or renamed a funnel of ours need not write all rules anew.
            raise _at(name, text, number, *problem)
    return found


def _problem(
    rule: _Rule, others: list[MomentRule], funnels: tuple[str, ...], words: Vocabulary
) -> tuple[str, str] | None:
    """Key and what is wrong with it."""
    if any(rule.name == other.name for other in others):
        return "name", f"name: a second rule {rule.name!r}"
    if rule.name.startswith(_RESERVED_BEGINNING):
        return "name", f"name: {rule.name!r} begins with {_RESERVED_BEGINNING!r}, as what is counted of steps does"
    counted = {kind for one in rule.when for kind in one.types or ()}
    for key, kinds in (("when", counted), ("unless", set(rule.unless))):
        if unknown := kinds - set(words.event_types):
            return key, f"{key}: no event type {min(unknown)!r}"
    if both := counted & set(rule.unless):
        return "unless", f"unless: {min(both)!r} is counted as well"
    for one in rule.when:
        if one.journey is not None and one.journey not in funnels:
            return "when", f"when: no funnel {one.journey!r}; there are {', '.join(funnels)}"
    return None


def _at(name: str, text: str, number: int, key: str, problem: str) -> MomentRulesError:
    return MomentRulesError(f"{name}, line {line_of(text, 'moment', number, key)}: {problem}")
