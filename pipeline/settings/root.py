"""All settings together, and reading them."""

import os
from collections.abc import Mapping
from typing import Annotated, Final

from pydantic import Field, SecretStr, ValidationError
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from pipeline.settings import running
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
from pipeline.settings.shop import AlertsSettings, FunnelsSettings, PipelineSettings, SegmentsSettings


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

    kafka: KafkaSettings = KafkaSettings()
    clickhouse: ClickHouseSettings = ClickHouseSettings()
    sink: SinkSettings = SinkSettings()
    retention: RetentionSettings = RetentionSettings()
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
    secret = {name for name, info in names(Settings) if info.annotation is SecretStr}
    known = {name for name, _ in names(Settings)} | {name + FROM_FILE for name in secret}
    for name in sorted(given):
        if name.startswith(PREFIX) and name not in known:
            hint = nearest(name, known)
            raise SettingsError(f"unknown setting {name}{hint}; docs/reference/settings.md lists all settings")
    try:
        return Settings(**_Environment(given, secrets_from_files(given, secret))())
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = PREFIX + "__".join(str(part) for part in first["loc"]).upper()
        # Only what stands in a variable of its own that is no secret: a group given as JSON may hold one.
        # An address may hold a password too.
        is_plain = (
            where in given and where not in secret and where in leaves(Settings) and "://" not in given[where]
        )
        shown = f" (found {given[where]!r})" if is_plain else ""
        raise SettingsError(f"{where}: {first['msg'].removeprefix('Value error, ')}{shown}") from None
    except ValueError as error:
        raise SettingsError(" ".join(str(error).split())) from error


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
