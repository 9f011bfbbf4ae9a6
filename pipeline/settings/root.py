"""All settings together, and reading them."""

import os
from collections.abc import Iterator, Mapping, Set
from itertools import chain
from typing import Annotated, Final

from pydantic import Field, SecretStr, ValidationError, model_validator
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from pipeline.model.funnels import MOST_FUNNELS
from pipeline.settings import running
from pipeline.settings.config_file import ConfigFile, merged
from pipeline.settings.environment import (
    FROM_FILE,
    PREFIX,
    SettingsError,
    leaves,
    names,
    nearest,
    secrets_from_files,
)
from pipeline.settings.services import (
    AlertmanagerSettings,
    ClickHouseSettings,
    EmbeddedSettings,
    KafkaSettings,
    PrivacySettings,
    RetentionSettings,
    SinkSettings,
    WebhooksSettings,
    WebSettings,
)
from pipeline.settings.shop import (
    RESERVED_BEGINNING,
    RESERVED_ENDINGS,
    AlertsSettings,
    EventsSettings,
    FunnelSettings,
    FunnelsSettings,
    PipelineSettings,
    SegmentsSettings,
)
from schemas.events import EVENT_TYPES
from schemas.vocabulary import MOST_TYPES


class Settings(BaseSettings):
    """Everything that can be set. ``load`` reads it from the environment."""

    model_config = SettingsConfigDict(
        use_attribute_docstrings=True,
        env_prefix=PREFIX,
        env_nested_delimiter="__",
        frozen=True,
        extra="forbid",
        nested_model_default_partial_update=True,
        hide_input_in_errors=True,
    )

    config: str = ""
    """TOML file of settings: these names in lower case, a table for each group. The environment wins over it."""
    kafka: KafkaSettings = KafkaSettings()
    clickhouse: ClickHouseSettings = ClickHouseSettings()
    sink: SinkSettings = SinkSettings()
    retention: RetentionSettings = RetentionSettings()
    events: EventsSettings = EventsSettings()
    funnels: FunnelsSettings = FunnelsSettings()
    segments: SegmentsSettings = SegmentsSettings()
    embedded: EmbeddedSettings = EmbeddedSettings()
    alerts: AlertsSettings = AlertsSettings()
    alertmanager: AlertmanagerSettings = AlertmanagerSettings()
    webhooks: WebhooksSettings = WebhooksSettings()
    web: WebSettings = WebSettings()
    privacy: PrivacySettings = PrivacySettings()
    pipeline: PipelineSettings = PipelineSettings()

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return (init_settings,)

    @model_validator(mode="after")
    def _words_fit(self) -> "Settings":
        types = (*EVENT_TYPES, *self.events.types)
        if len(set(types)) < len(types):
            raise ValueError("events.types: each once, and none of the contract's own")
        if len(types) > MOST_TYPES:
            raise ValueError(f"events.types: {len(types)} with the contract's, at most {MOST_TYPES} fit")
        _check_funnels(self.funnels, frozenset(types))
        return self

    log_level: Annotated[str, Field(pattern="^(debug|info|warning|error)$")] = "info"
    """What the worker logs: debug, info, warning or error."""


def load(environ: Mapping[str, str] | None = None, is_new_stack: bool = False) -> Settings:
    """Settings from the environment; where it names no servers, those of the stack that runs on this machine.

    ``is_new_stack``: whoever asks is about to start another one. Raises SettingsError on an unknown name or a bad
    value.
    """
    given = os.environ if environ is None else environ
    if environ is None and not is_new_stack:
        given = _with_running_stack(given)
    file = ConfigFile(given["CX_CONFIG"]) if given.get("CX_CONFIG") else None
    secret = {name for name, info in names(Settings) if info.annotation is SecretStr}
    known = {name for name, _ in names(Settings)} | {name + FROM_FILE for name in secret}
    known |= set(_of_own_funnels(file))
    for name in sorted(given):
        if name.startswith(PREFIX) and name not in known:
            hint = nearest(name, known)
            raise SettingsError(f"unknown setting {name}{hint}; docs/reference/settings.md lists all settings")
    try:
        content = _Environment(given, secrets_from_files(given, secret))()
        return Settings(**(merged(file.content, content) if file else content))
    except ValidationError as error:
        raise SettingsError(_described(error, given, secret, file)) from None
    except ValueError as error:
        raise SettingsError(" ".join(str(error).split())) from error


def _described(error: ValidationError, given: Mapping[str, str], secret: Set[str], file: ConfigFile | None) -> str:
    """Where the first of the errors is, what it is, and what was found there."""
    first = error.errors(include_url=False)[0]
    what = first["msg"].removeprefix("Value error, ")
    loc = first["loc"]
    if not loc:  # found where all are put together: it begins with the setting's name
        name, _, what = what.partition(": ")
        loc = tuple(name.split("."))
    where = PREFIX + "__".join(str(part) for part in loc).upper()
    setting = tuple(part for part in loc if isinstance(part, str))
    is_given = any(where.startswith(name) for name in given)
    if file is not None and not is_given and (place := file.place_of(setting)):
        return f"{place}: {what}"
    # Only what stands in a variable of its own that is no secret: a group given as JSON may hold one.
    # An address may hold a password too.
    is_plain = where in given and where not in secret and where in leaves(Settings) and "://" not in given[where]
    return f"{where}: {what}" + (f" (found {given[where]!r})" if is_plain else "")


def _of_own_funnels(file: ConfigFile | None) -> Iterator[str]:
    """Variables of the funnels that the file adds."""
    funnels = file.content.get("funnels") if file else None
    for key in funnels if isinstance(funnels, dict) else ():
        own = f"{PREFIX}FUNNELS__{key.upper()}"
        yield own
        yield from (f"{own}__{name.upper()}" for name in FunnelSettings.model_fields)


def _check_funnels(funnels: FunnelsSettings, types: Set[str]) -> None:
    """Raises ValueError where names or event types do not fit."""
    followed = funnels.followed()
    switched_on = [key for key, funnel in funnels if funnel.enabled]
    if not followed or len(followed) > MOST_FUNNELS:
        raise ValueError(f"funnels: {len(followed)} are enabled; from 1 to {MOST_FUNNELS} fit")
    if len(followed) < len(switched_on):
        raise ValueError("funnels: two of them have the same name")
    for name, funnel in followed.items():
        if name.startswith(RESERVED_BEGINNING) or name.endswith(RESERVED_ENDINGS):
            raise ValueError(
                f"funnels.{name}: a funnel's name does not begin with {RESERVED_BEGINNING!r} nor end with "
                f"{', '.join(RESERVED_ENDINGS)}: counters and signals are told apart by these"
            )
        for on in chain(funnel.opens_on, funnel.completes_on, funnel.abandons_on, *funnel.lines):
            if on.type not in types:
                raise ValueError(f"funnels.{name}: no such event type: {on.type} (events.types adds some)")


#: Who names one of these says where the servers are.
_ADDRESSES: Final = ("CX_KAFKA__BOOTSTRAP_SERVERS", "CX_CLICKHOUSE__HOST", "CX_CLICKHOUSE__PORT")


def _with_running_stack(given: Mapping[str, str]) -> Mapping[str, str]:
    return given if any(name in given for name in _ADDRESSES) else running.found() | dict(given)


class _Environment(EnvSettingsSource):
    """Values by setting, from an environment and from the files that it names."""

    def __init__(self, given: Mapping[str, str], from_files: Mapping[str, str]) -> None:
        named = {name + FROM_FILE for name in from_files}
        self._given = {name.lower(): text for name, text in given.items() if name not in named}
        self._given |= {name.lower(): text for name, text in from_files.items()}
        super().__init__(Settings)

    def _load_env_vars(self) -> Mapping[str, str | None]:
        return self._given
