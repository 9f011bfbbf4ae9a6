"""The alert rules' file: read, checked, and made into the core's rules."""

import re
import tomllib
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from pipeline.core.detection.watch import Rule
from pipeline.model.evidence import STEP_MS
from pipeline.model.signals import OF_FUNNEL, SATISFACTION, Kind, name_of, signal_of, signals_of
from pipeline.settings.environment import SettingsError

_MINUTE_MS: Final = 60_000


class RulesError(SettingsError):
    """The file cannot be used; the message is one line that names the file's line."""


class _Rule(BaseModel):
    model_config = ConfigDict(extra="forbid")

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,63}$")]
    signal: str
    direction: Literal["falls", "rises"]
    windows: Annotated[list[Annotated[float, Field(gt=0, le=60)]], Field(min_length=1)]
    least: Annotated[float, Field(gt=0)]
    change: Annotated[float, Field(gt=0, lt=1)]
    family: Annotated[str, Field(min_length=1)]
    false_rate: Annotated[float, Field(gt=0, lt=1)]
    for_s: Annotated[float, Field(ge=0, le=3_600)]
    certain: Annotated[float, Field(gt=0)]
    keep_s: Annotated[float, Field(ge=0, le=86_400)]
    well: Annotated[float, Field(gt=0, le=1)]
    severity: Literal["critical", "warning", "info"]

    @field_validator("windows")
    @classmethod
    def _steps(cls, windows: list[float]) -> list[float]:
        if windows != sorted(set(windows)):
            raise ValueError("must ascend")
        if any(window * _MINUTE_MS % STEP_MS for window in windows):
            raise ValueError("must be whole or half minutes")
        return windows

    def made(self) -> Rule:
        return Rule(
            name=self.name,
            signal=self.signal,
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
            family=self.family,
        )


def load_rules(path: str, funnels: tuple[str, ...]) -> tuple[Rule, ...]:
    """The rules of the file, or those shipped where ``path`` is empty. Raises RulesError."""
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
    return _checked(name, text, content, funnels)


def _checked(name: str, text: str, content: dict[str, Any], funnels: tuple[str, ...]) -> tuple[Rule, ...]:
    unknown = set(content) - {"defaults", "rule"}
    if unknown:
        raise RulesError(f"{name}: {min(unknown)}: there are [defaults] and [[rule]] only")
    rules: list[Rule] = []
    known = {signal.name for signal in signals_of(funnels) if signal.has_rules}
    for number, row in enumerate(content.get("rule", [])):
        try:
            rule = _Rule(**(content.get("defaults", {}) | row)).made()
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            key = str(first["loc"][0]) if first["loc"] else ""
            what = first["msg"].removeprefix("Value error, ")
            raise _at(name, text, number, key, f"{key}: {what} (found {first['input']!r})") from error
        if rule.signal not in known:
            raise _at(name, text, number, "signal", f"no signal {rule.signal!r}; there are {_listed(funnels)}")
        if rule.kind is Kind.NOWCAST and len(rule.windows_ms) != 1:
            raise _at(name, text, number, "windows", "windows: a nowcast has one")
        if any(rule.name == other.name for other in rules):
            raise _at(name, text, number, "name", f"name: a second rule {rule.name!r}")
        rules.append(rule)
    if not rules:
        raise RulesError(f"{name}: holds no [[rule]]")
    return tuple(rules)


def _listed(funnels: tuple[str, ...]) -> str:
    kinds = ", ".join(name_of("<funnel>", kind) for kind in OF_FUNNEL if signal_of(name_of("f", kind)).has_rules)
    return f"{kinds} (funnels: {', '.join(funnels)}), {', '.join(SATISFACTION)}"


def _at(name: str, text: str, number: int, key: str, problem: str) -> RulesError:
    """The error with the line of the rule's key, or of its beginning where it has none."""
    line, seen, start = 0, -1, 0
    for at, content in enumerate(text.splitlines(), start=1):
        if re.match(r"\s*\[", content):
            seen += content.strip().startswith("[[rule]]")
            if seen > number:
                break
            start = at if seen == number else start
        if seen == number and re.match(rf"\s*{re.escape(key)}\s*=", content):
            line = at
    return RulesError(f"{name}, line {line or start}: {problem}")
