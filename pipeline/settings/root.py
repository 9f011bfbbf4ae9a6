"""All settings together, and reading them."""

import os
from collections.abc import Iterator, Mapping, Set
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
    CollectorSettings,
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
    MomentsSettings,
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
    moments: MomentsSettings = MomentsSettings()
    alertmanager: AlertmanagerSettings = AlertmanagerSettings()
    webhooks: WebhooksSettings = WebhooksSettings()
    web: WebSettings = WebSettings()
    collector: CollectorSettings = CollectorSettings()
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
    file = _file_of(given)
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
    is_given = any(name.startswith(PREFIX) and where.startswith(name) for name in given)
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
        yield from (f"{own}__{name.upper()}" for name in FunnelSettings.model_fields)


def _file_of(given: Mapping[str, str]) -> ConfigFile | None:
    path = given.get(_CONFIG)
    if not path:
        return None
    file, groups = ConfigFile(path), Settings.model_fields.keys() - {"config"}
    for name in file.content:
        if name not in groups:
            hint = nearest(name, set(groups))
            raise SettingsError(f"{file.place_of((name,))}: there is no such setting{hint}")
    return file


def _check_funnels(funnels: FunnelsSettings, types: Set[str]) -> None:
    """Raises ValueError, beginning with the setting's name, where names or event types do not fit."""
    switched_on = {key: funnel for key, funnel in funnels if funnel.enabled}
    if not 1 <= len(switched_on) <= MOST_FUNNELS:
        raise ValueError(f"funnels: {len(switched_on)} are enabled; from 1 to {MOST_FUNNELS} fit")
    if len(funnels.followed()) < len(switched_on):
        raise ValueError("funnels: two of them have the same name")
    for key, funnel in switched_on.items():
        name = funnel.name or key
        if f"{name}_".startswith(RESERVED_BEGINNING) or name.endswith(RESERVED_ENDINGS):
            raise ValueError(
                f"funnels.{key}: a funnel's name does not begin with {RESERVED_BEGINNING!r} nor end with "
                f"{', '.join(RESERVED_ENDINGS)}: counters and signals are told apart by these"
            )
        fills, empties = funnel.lines
        for what, events in (
            ("opens_on", funnel.opens_on),
            ("completes_on", funnel.completes_on),
            ("abandons_on", funnel.abandons_on),
            ("fills_on", fills),
            ("empties_on", empties),
        ):
            for on in events:
                if on.type not in types:
                    raise ValueError(
                        f"funnels.{key}.{what}: no such event type: {on.type} (events.types adds some)"
                    )


#: Who names one of these says where the servers are.
_ADDRESSES: Final = ("CX_KAFKA__BOOTSTRAP_SERVERS", "CX_CLICKHOUSE__HOST", "CX_CLICKHOUSE__PORT")


#: Of what the running stack tells, where it is; the rest is by what it computes.
_WHERE: Final = (*_ADDRESSES, "CX_CLICKHOUSE__", "CX_WEB__PORT")
_CONFIG: Final = "CX_CONFIG"


def _with_running_stack(given: Mapping[str, str]) -> Mapping[str, str]:
    if any(name in given for name in _ADDRESSES):
        return given
    found = running.found()
    if given.get(_CONFIG):
        named = {f"{PREFIX}{group}__{name}".upper() for group, name in _names_in(ConfigFile(given[_CONFIG]))}
        if not named.isdisjoint(_ADDRESSES):
            return given
        # Who has another file goes by that: of the stack only the addresses are wanted.
        found = {name: text for name, text in found.items() if name.startswith(_WHERE)}
    return found | dict(given)


def _names_in(file: ConfigFile) -> Iterator[tuple[str, str]]:
    for group, content in file.content.items():
        if isinstance(content, dict):
            yield from ((group, name) for name in content)


class _Environment(EnvSettingsSource):
    """Values by setting, from an environment and from the files that it names."""

    def __init__(self, given: Mapping[str, str], from_files: Mapping[str, str]) -> None:
        named = {name + FROM_FILE for name in from_files}
        self._given = {name.lower(): text for name, text in given.items() if name not in named}
        self._given |= {name.lower(): text for name, text in from_files.items()}
        super().__init__(Settings)

    def _load_env_vars(self) -> Mapping[str, str | None]:
        return self._given
