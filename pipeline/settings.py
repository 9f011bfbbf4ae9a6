"""Settings: read once from the environment (prefix ``CX_``, nested with ``__``), then frozen.

A name that is not known or a value that does not fit is an error at the start, in one line.
"""

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, model_validator
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from pipeline import running
from pipeline.core.funnels import Funnel, Funnels
from pipeline.core.records import Rules
from pipeline.core.segments import Segmenter
from pipeline.core.values import STEP, Values
from schemas.events import EVENT_TYPES
from schemas.privacy import pseudonym
from schemas.segments import DIMENSIONS
from schemas.versioning import MOST_GENERATIONS

PREFIX: Final = "CX_"
_FROM_FILE: Final = "_FILE"
_SHORTEST_KEY: Final = 16


_STATE_LAYOUT: Final = 7
"""Rises when checkpoints hold something else than before: older ones do not fit."""


class SettingsError(ValueError):
    """A setting is unknown or its value does not fit; the message is one line."""


class Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class KafkaSettings(Part):
    bootstrap_servers: str = "127.0.0.1:9092"
    """Brokers, ``host:port``, separated by commas."""
    group: str = "cx-signals"
    """Consumer group of the workers; also the name of the Faust app."""
    partitions: Annotated[int, Field(ge=1, le=1_000)] = 4
    """Partitions of each touchpoint topic, when ``topics`` creates them."""
    tiles_partitions: Annotated[int, Field(ge=1, le=1_000)] = 4
    """Partitions of ``cx.tiles``: how far phase two can be spread."""
    replication: Annotated[int, Field(ge=1, le=10)] = 1
    """Replication factor of the topics that ``topics`` creates."""
    session_timeout_s: Annotated[float, Field(ge=1, le=300)] = 6.0
    """How long a silent worker keeps its partitions."""
    connect_timeout_s: Annotated[float, Field(ge=0, le=86_400)] = 60.0
    """How long a command retries an unreachable broker before it exits with status 1."""
    instance_id: str = ""
    """Name of this worker in its group, kept over restarts (static membership); empty: a new one each time."""
    security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = "PLAINTEXT"
    """How brokers are spoken to."""
    sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = "SCRAM-SHA-512"
    """How the user proves who it is, with SASL."""
    sasl_username: str = ""
    """The user, with SASL."""
    sasl_password: SecretStr = SecretStr("")
    """The user's password, with SASL."""
    ssl_ca_file: str = ""
    """Certificates (PEM) that brokers' are checked against, with SSL; empty: the system's."""
    ssl_certificate_file: str = ""
    """This client's own certificate (PEM), where brokers ask for one."""
    ssl_key_file: str = ""
    """The key of that certificate (PEM)."""
    ssl_key_password: SecretStr = SecretStr("")
    """The password of that key."""

    @model_validator(mode="after")
    def _fit_together(self) -> "KafkaSettings":
        has_user = bool(self.sasl_username and self.sasl_password.get_secret_value())
        if self.security_protocol.startswith("SASL") and not has_user:
            raise ValueError(f"{self.security_protocol} needs SASL_USERNAME and SASL_PASSWORD")
        if bool(self.ssl_certificate_file) != bool(self.ssl_key_file):
            raise ValueError("SSL_CERTIFICATE_FILE and SSL_KEY_FILE belong together")
        return self


class ClickHouseSettings(Part):
    host: str = "127.0.0.1"
    """Server of the database ``cx``."""
    port: Annotated[int, Field(ge=1, le=65_535)] = 9000
    """Port of the native protocol."""
    user: str = "default"
    """User who may create and write the tables."""
    password: SecretStr = SecretStr("")
    """The user's password."""
    secure: bool = False
    """Whether the server is spoken to with TLS (its usual port is then 9440)."""
    ca_file: str = ""
    """Certificates (PEM) that the server's is checked against, with TLS; empty: the system's."""
    cluster: Annotated[str, Field(pattern=r"^[\w.-]*$")] = ""
    """Cluster whose servers all get the tables, replicated, from ``migrate``; empty: one server."""
    connect_timeout_s: Annotated[float, Field(ge=0, le=86_400)] = 60.0
    """How long a command retries an unreachable server before it exits with status 1."""


class SinkSettings(Part):
    flush_rows: Annotated[int, Field(ge=1, le=10_000_000)] = 50_000
    """A table's rows are inserted when so many wait ..."""
    flush_interval_s: Annotated[float, Field(gt=0, le=3_600)] = 0.5
    """... or the oldest has waited so long."""
    max_buffered_mb: Annotated[int, Field(ge=1)] = 256
    """Memory of the rows waiting over all tables, MiB; at this bound the consumer is held back."""
    request_timeout_s: Annotated[float, Field(gt=0, le=3_600)] = 60.0
    """An insert without an answer for so long is given up and tried again."""


class RetentionSettings(Part):
    """How long rows are kept, counted from the time of storing."""

    short_signals_days: Annotated[int, Field(ge=1)] = 3
    """Signals of the 1m and 5m windows."""
    long_signals_days: Annotated[int, Field(ge=1)] = 30
    """Signals of the 15m and 1h windows."""
    hourly_signals_days: Annotated[int, Field(ge=1)] = 400
    """Signals of the 1h windows that end on a full hour (``cx.signals_hourly``)."""
    journeys_days: Annotated[int, Field(ge=1)] = 90
    """Journeys."""
    tiles_days: Annotated[int, Field(ge=1)] = 7
    """Tiles."""
    alerts_days: Annotated[int, Field(ge=1)] = 400
    """Alerts."""
    dead_letters_days: Annotated[int, Field(ge=1)] = 30
    """Dead letters."""


class FunnelSettings(Part):
    opens_on: frozenset[str]
    """Event types that open a journey."""
    completes_on: frozenset[str]
    """Event types that complete it."""
    abandons_on: frozenset[str] = frozenset()
    """Event types that abandon it at once."""
    timeout_s: Annotated[float, Field(gt=0, le=86_400)]
    """Inactivity after which it counts as abandoned."""

    @model_validator(mode="after")
    def _types_exist(self) -> "FunnelSettings":
        unknown = (self.opens_on | self.completes_on | self.abandons_on) - set(EVENT_TYPES)
        if unknown:
            raise ValueError(f"no such event type: {', '.join(sorted(unknown))}")
        return self


def _funnel(opens: str, completes: set[str], abandons: set[str], minutes: int) -> FunnelSettings:
    return FunnelSettings(
        opens_on=frozenset({opens}),
        completes_on=frozenset(completes),
        abandons_on=frozenset(abandons),
        timeout_s=minutes * 60,
    )


class FunnelsSettings(Part):
    search: FunnelSettings = _funnel("products_searched", {"product_viewed", "product_added"}, set(), 2)
    cart: FunnelSettings = _funnel("product_added", {"order_completed", "sale_completed"}, set(), 30)
    checkout: FunnelSettings = _funnel("checkout_started", {"order_completed"}, {"order_cancelled"}, 15)
    form: FunnelSettings = _funnel("form_started", {"form_submitted"}, set(), 10)
    support: FunnelSettings = _funnel(
        "support_contact_started", {"support_contact_resolved"}, {"support_contact_left"}, 15
    )
    queue: FunnelSettings = _funnel("queue_joined", {"queue_served", "sale_completed"}, {"queue_left"}, 20)
    basket: FunnelSettings = _funnel("basket_opened", {"sale_completed"}, {"basket_voided"}, 10)


class SegmentsSettings(Part):
    combinations: tuple[tuple[str, ...], ...] = (
        (),
        ("channel",),
        ("store_id",),
        ("region",),
        ("channel", "device"),
        ("channel", "store_id"),
    )
    """Combinations of dimensions that make the segments; the empty one is ``all``."""
    known: dict[str, tuple[str, ...]] = {}
    """For a dimension, or for ``step``, the values that are told apart; all others become ``other``."""
    most_values: Annotated[int, Field(ge=1, le=100_000)] = 2_000
    """Of a dimension, or of steps, without such a list so many are told apart, those seen first; others become
    ``other``."""

    @model_validator(mode="after")
    def _dimensions_exist(self) -> "SegmentsSettings":
        named = {name for combination in self.combinations for name in combination} | set(self.known)
        if unknown := named - {*DIMENSIONS, STEP}:
            raise ValueError(
                f"no such dimension: {', '.join(sorted(unknown))} (there are {', '.join(DIMENSIONS)})"
            )
        if any(STEP in combination for combination in self.combinations):
            raise ValueError("step is no dimension: its known values can be set, segments cannot be made of it")
        return self


class EmbeddedSettings(Part):
    """Of ``up``."""

    kafka: str = ""
    """A broker that runs already, ``host:port``, to be used by ``up``; empty: it starts one of its own."""
    kafka_home: str = ""
    """Folder of an installed Apache Kafka whose jars ``up`` runs; empty: those fetched while setting up."""
    touchpoints_mb: Annotated[int, Field(ge=64, le=1_000_000)] = 1_024
    """The most that each touchpoint topic, ``cx.tiles`` and ``cx.evidence`` keep on disk, when ``up`` creates
    them."""
    outputs_mb: Annotated[int, Field(ge=64, le=1_000_000)] = 256
    """The same of each topic of signals, journeys, alerts and dead letters."""


class AlertsSettings(Part):
    rules: str = ""
    """File of the alert rules (TOML); empty: those shipped, ``pipeline/alert_rules.toml``."""


class AlertmanagerSettings(Part):
    url: Annotated[str, Field(pattern=r"^(https?://\S+)?$")] = ""
    """Address of the Alertmanager that alerts are posted to, ``http://host:9093``; empty: none."""
    repeat_s: Annotated[float, Field(ge=1, le=3_600)] = 30.0
    """Firing alerts are posted anew this often; one not heard of for four times as long counts as resolved."""
    oldest_s: Annotated[float, Field(gt=0)] = 3_600.0
    """Alerts whose event time lies further back are history (a replay): they are not posted."""


class WebhooksSettings(Part):
    file: str = ""
    """File of the receivers of alerts and journeys (TOML), for ``cx-signals webhooks``."""
    plain_http: bool = False
    """Whether receivers on other machines may be posted to without TLS (``http://``), where others read along."""


class WebSettings(Part):
    host: str = "127.0.0.1"
    """Address that the worker's web server binds to."""
    port: Annotated[int, Field(ge=1, le=65_535)] = 6066
    """Port of the worker's web server."""
    token: SecretStr = SecretStr("")
    """Where set, all but health and the console's empty page is served only to requests with this bearer token."""
    clients: Annotated[int, Field(ge=0, le=10_000)] = 100
    """How many may listen to the stream of this worker at a time; one more gets status 503."""
    clients_each: Annotated[int, Field(ge=1, le=10_000)] = 25
    """How many of these may come from one address; behind a proxy all do."""
    connections: Annotated[int, Field(ge=1, le=100_000)] = 500
    """How many connections this worker's web server keeps open; one more is closed at once."""
    hosts: tuple[str, ...] = ()
    """Names that the server is called by besides localhost and its addresses; only asked for where no token is
    set."""
    shop_file: str = ""
    """File in which the console orders incidents of a simulated shop (``simulate --orders``); empty: no shop."""

    @model_validator(mode="after")
    def _token_is_long(self) -> "WebSettings":
        if 0 < len(self.token.get_secret_value()) < _SHORTEST_KEY:
            raise ValueError(f"TOKEN needs {_SHORTEST_KEY} characters or more: short ones can be tried out")
        return self


class PrivacySettings(Part):
    customer_key: SecretStr = SecretStr("")
    """Where set, customer ids are replaced by their HMAC under this key before anything is stored."""

    @model_validator(mode="after")
    def _is_long(self) -> "PrivacySettings":
        if 0 < len(self.customer_key.get_secret_value()) < _SHORTEST_KEY:
            raise ValueError(f"CUSTOMER_KEY needs {_SHORTEST_KEY} characters or more: short keys can be tried out")
        return self


class PipelineSettings(Part):
    generation: Annotated[int, Field(ge=1, lt=MOST_GENERATIONS)] = 1
    """Rises by one whenever a topic was emptied and starts anew: versions then keep rising."""
    lateness_s: Annotated[float, Field(ge=0, le=86_400)] = 3_600.0
    """Allowed lateness behind a partition's watermark."""
    session_events: Annotated[int, Field(ge=1_000, le=1_000_000)] = 20_000
    """An event with so many later ones in its session is too late: what an event costs has a bound."""
    currency: Annotated[str, Field(pattern="^[A-Z]{3}$")] = "EUR"
    """The shop's currency; amounts in others do not count."""
    batch_records: Annotated[int, Field(ge=1, le=100_000)] = 50_000
    """Records taken from Kafka at a time, at most."""
    batch_wait_s: Annotated[float, Field(gt=0, le=10)] = 0.2
    """How long to wait for a batch to fill."""
    emit_interval_s: Annotated[float, Field(gt=0, le=60)] = 0.5
    """How often it is looked whether windows have become complete."""
    hold_s: Annotated[float, Field(ge=0, le=3_600)] = 30.0
    """How long a source that lags or stands still holds others' rows back; they then go out as not complete."""
    tick_interval_s: Annotated[float, Field(gt=0, le=3_600)] = 2.0
    """An idle partition's watermark is moved on this often."""
    checkpoint_interval_s: Annotated[float, Field(gt=0, le=3_600)] = 10.0
    """Time between two checkpoints of a partition, six times as long where little comes (under 5,000 records), and
    longer where they would take over a tenth of the time."""
    rebuild: bool = False
    """Whether a partition whose state cannot be restored is read again from the oldest record on."""
    dead_letter_share: Annotated[float, Field(gt=0, le=1)] = 0.1
    """Share of refused records in a topic's last minute above which it counts as flooded."""


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
    known = {name for name, _ in names(Settings)} | {name + _FROM_FILE for name in secret}
    for name in sorted(given):
        if name.startswith(PREFIX) and name not in known:
            hint = _nearest(name, known)
            raise SettingsError(f"unknown setting {name}{hint}; the README lists all settings")
    try:
        return Settings(**_Environment(given, _secrets_from_files(given, secret))())
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
        named = {name + _FROM_FILE for name in from_files}
        self._given = {name.lower(): text for name, text in given.items() if name not in named}
        self._given |= {name.lower(): text for name, text in from_files.items()}
        super().__init__(Settings)

    def _load_env_vars(self) -> Mapping[str, str | None]:
        return self._given


def _secrets_from_files(given: Mapping[str, str], secret: set[str]) -> dict[str, str]:
    """Secrets whose file is named instead of themselves. Raises SettingsError."""
    found: dict[str, str] = {}
    for name in secret:
        path = given.get(name + _FROM_FILE)
        if path is None:
            continue
        if name in given:
            raise SettingsError(f"{name} and {name}{_FROM_FILE} are both set; one of them is to be left out")
        try:
            found[name] = Path(path).read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise SettingsError(f"{name}{_FROM_FILE}: {path!r} cannot be read ({error})") from error
        if not found[name]:
            raise SettingsError(f"{name}{_FROM_FILE}: {path} is empty; leave the setting out to go without")
    return found


def names(model: type[BaseModel], prefix: str = PREFIX) -> Iterator[tuple[str, Any]]:
    """Every setting's environment variable, with its pydantic field; groups are listed too."""
    for name, info in model.model_fields.items():
        variable = prefix + name.upper()
        yield variable, info
        if isinstance(info.annotation, type) and issubclass(info.annotation, BaseModel):
            yield from names(info.annotation, variable + "__")


def leaves(model: type[BaseModel]) -> set[str]:
    """The variables of single settings, groups left aside."""
    return {
        name
        for name, info in names(model)
        if not (isinstance(info.annotation, type) and issubclass(info.annotation, BaseModel))
    }


def _nearest(name: str, known: set[str]) -> str:
    import difflib

    close = difflib.get_close_matches(name, known, n=1)
    return f", did you mean {close[0]}?" if close else ""


def rules_digest(settings: Settings) -> str:
    """Of what decides the content of a state: one made under other rules does not fit."""
    decisive = [
        _STATE_LAYOUT,
        {name: funnel.model_dump() for name, funnel in settings.funnels},
        settings.segments.model_dump(),
        settings.pipeline.lateness_s,
        settings.pipeline.currency,
        settings.pipeline.session_events,
    ]
    text = json.dumps(decisive, sort_keys=True, default=sorted)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def customers_digest(settings: Settings) -> str:
    """The same of what only decides how customers appear: in the states of sessions, nowhere else."""
    key = settings.privacy.customer_key.get_secret_value()
    return f"-{pseudonym(key.encode(), 'which key')[:8]}" if key else ""


def funnel_names(settings: Settings) -> tuple[str, ...]:
    return tuple(name for name, _ in settings.funnels)


def rules(settings: Settings) -> Rules:
    """The part of the settings that decides what is computed."""
    funnels = Funnels(
        Funnel(name, f.opens_on, f.completes_on, f.abandons_on, round(f.timeout_s * 1000))
        for name, f in settings.funnels
    )
    pipeline, segments = settings.pipeline, settings.segments
    return Rules(
        funnels=funnels,
        segmenter=Segmenter(segments.combinations, Values(segments.most_values, segments.known)),
        lateness_ms=round(pipeline.lateness_s * 1000),
        currency=pipeline.currency,
        generation=pipeline.generation,
        most_later=pipeline.session_events,
        customer_key=settings.privacy.customer_key.get_secret_value().encode(),
    )
