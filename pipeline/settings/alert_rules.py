"""The alert rules' file: read, checked, and made into the core's rules."""

import tomllib
from collections.abc import Callable, Iterator, Set
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any, Final, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from pipeline.core.detection.watch import Rule
from pipeline.model.evidence import STEP_MS
from pipeline.model.facts import RECOVERABLE
from pipeline.model.funnels import STANDARD
from pipeline.model.signals import OF_FUNNEL, SATISFACTION, Kind, kinds_of, name_of, rate_of, signal_of, signals_of
from pipeline.settings.environment import SettingsError
from pipeline.settings.root import Settings
from pipeline.settings.rules import funnel_names, moment_names
from pipeline.settings.toml_lines import line_of

_MINUTE_MS: Final = 60_000


class RulesError(SettingsError):
    """The file cannot be used; the message is one line that names the file's line."""


class _Rule(BaseModel):
    model_config = ConfigDict(extra="forbid")

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,63}$")]
    signal: str = ""
    kind: Literal["completion_ratio", "nowcast", "abandonment", "net_abandonment", "moment_rate"] | None = None
    direction: Literal["falls", "rises"]
    windows: Annotated[list[Annotated[float, Field(gt=0, le=60)]], Field(min_length=1)]
    least: Annotated[float, Field(gt=0)]
    change: Annotated[float, Field(gt=0, lt=1)]
    family: Annotated[str, Field(min_length=1)] | None = None
    false_rate: Annotated[float, Field(gt=0, lt=1)]
    for_s: Annotated[float, Field(ge=0, le=3_600)]
    certain: Annotated[float, Field(gt=0)]
    keep_s: Annotated[float, Field(ge=0, le=86_400)]
    well: Annotated[float, Field(gt=0, le=1)]
    severity: Literal["critical", "warning", "info"]
    steps: bool | None = None

    @field_validator("windows")
    @classmethod
    def _steps(cls, windows: list[float]) -> list[float]:
        if windows != sorted(set(windows)):
            raise ValueError("must ascend")
        if any(window * _MINUTE_MS % STEP_MS for window in windows):
            raise ValueError("must be whole or half minutes")
        return windows

    @model_validator(mode="after")
    def _is_about_something(self) -> "_Rule":
        if bool(self.signal) == (self.kind is not None):
            raise ValueError("signal or kind is needed, and not both")
        return self

    def made(self, name: str, signal: str) -> Rule:
        return Rule(
            name=name,
            signal=signal,
            falls=self.direction == "falls",
            windows_ms=tuple(round(window * _MINUTE_MS) for window in self.windows),
            least=self.least,
            change=self.change,
            false_rate=self.false_rate,
            for_ms=round(self.for_s * 1000),
            certain_score=self.certain,
            keep_ms=round(self.keep_s * 1000),
            well=self.well,
            severity=self.severity,
            steps=self.steps,
            family=self.family or signal_of(signal).funnel or signal,
        )


class _Shop(NamedTuple):
    """What signals there are of."""

    funnels: tuple[str, ...]
    about_persons: tuple[str, ...]
    """Names of the rules of moments."""

    @property
    def signals(self) -> frozenset[str]:
        """Those that rules can be about."""
        return frozenset(one.name for one in signals_of(self.funnels, self.about_persons) if one.has_rules)


def load_rules(path: str, funnels: tuple[str, ...], about_persons: tuple[str, ...] = ()) -> tuple[Rule, ...]:
    """The rules of the file, or those shipped where ``path`` is empty. Raises RulesError.

    ``about_persons``: names of the rules of moments.
    """
    name = path or "alert_rules.toml"
    try:
        text = (Path(path) if path else files("pipeline.settings") / "alert_rules.toml").read_text(
            encoding="utf-8"
        )
    except (OSError, UnicodeDecodeError) as error:
        raise RulesError(f"{name}: cannot be read: {error}") from error
    try:
        content = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise RulesError(f"{name}: {error}") from error
    return _checked(name, text, content, _Shop(funnels, about_persons), is_shipped=not path)


def shops_rules(settings: Settings, path: str = "") -> tuple[Rule, ...]:
    """The rules that a shop's settings name, or those of another file. Raises RulesError, MomentRulesError."""
    return load_rules(path or settings.alerts.rules, funnel_names(settings), moment_names(settings))


def _checked(name: str, text: str, content: dict[str, Any], shop: _Shop, is_shipped: bool) -> tuple[Rule, ...]:
    unknown = set(content) - {"defaults", "rule"}
    if unknown:
        raise RulesError(f"{name}: {min(unknown)}: there are [defaults] and [[rule]] only")
    found: list[tuple[int, _Rule]] = []
    for number, row in enumerate(content.get("rule", [])):
        try:
            found.append((number, _Rule(**(content.get("defaults", {}) | row))))
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            key = str(first["loc"][0]) if first["loc"] else ""
            what = first["msg"].removeprefix("Value error, ")
            shown = f"{key}: {what} (found {first['input']!r})" if key else what
            raise _at(name, text, number, key, shown) from error
    rules: list[Rule] = []
    named = {rule.signal for _, rule in found}
    for number, row in found:
        for rule in _made(row, shop, named, is_shipped):
            _check(rule, rules, shop, lambda key, problem: _at(name, text, number, key, problem))  # noqa: B023 - called at once
            rules.append(rule)
    if not rules:
        raise RulesError(f"{name}: holds no [[rule]] about a signal that there is")
    return tuple(rules)


def _made(row: _Rule, shop: _Shop, named: Set[str], is_shipped: bool) -> Iterator[Rule]:
    """The rule; of one about a kind, one for each funnel, or rule of moments, whose signal no other rule names."""
    if row.kind is None:
        of = _funnel_of(row.signal)
        # A shop that has switched off or renamed a funnel of ours need not write all rules anew.
        if not (is_shipped and of in STANDARD and of not in shop.funnels):
            yield row.made(row.name, row.signal)
        return
    kind = Kind(row.kind)
    if kind is Kind.MOMENT_RATE:
        of_kind = {rule: rate_of(rule) for rule in shop.about_persons}
    else:
        of_kind = {one.replace("_", "-"): name_of(one, kind) for one in shop.funnels if kind in kinds_of(one)}
    for subject, signal in of_kind.items():
        if signal not in named:
            yield row.made(f"{subject}-{row.name}", signal)


def _funnel_of(signal: str) -> str | None:
    try:
        return signal_of(signal).funnel
    except ValueError:
        return None


def _check(rule: Rule, others: list[Rule], shop: _Shop, at: Callable[[str, str], RulesError]) -> None:
    if rule.signal not in shop.signals:
        raise at("signal", f"no signal {rule.signal!r}; there are {_listed(shop)}")
    if rule.kind is Kind.NOWCAST and len(rule.windows_ms) != 1:
        raise at("windows", "windows: a nowcast has one")
    if any(rule.name == other.name for other in others):
        raise at("name", f"name: a second rule {rule.name!r}")


def _listed(shop: _Shop) -> str:
    kinds = ", ".join(name_of("<funnel>", kind) for kind in OF_FUNNEL if signal_of(name_of("f", kind)).has_rules)
    net = ", ".join(name_of(funnel, Kind.NET_ABANDONMENT) for funnel in shop.funnels if funnel in RECOVERABLE)
    others = ", ".join((*SATISFACTION, *map(rate_of, shop.about_persons)))
    return f"{kinds}, {net} (funnels: {', '.join(shop.funnels)}), {others}"


def _at(name: str, text: str, number: int, key: str, problem: str) -> RulesError:
    """The error with the line of the rule's key, or of its beginning where it has none."""
    return RulesError(f"{name}, line {line_of(text, 'rule', number, key)}: {problem}")
