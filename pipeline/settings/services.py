"""Settings of the servers and of what the worker serves."""

from typing import Annotated, Final, Literal
from zoneinfo import available_timezones

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator, model_validator

from sinks.address import Address

_SHORTEST_KEY: Final = 16


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
    tiles_mb: Annotated[int, Field(ge=64, le=1_000_000)] = 2_048
    """The most that a partition of ``cx.tiles`` keeps, MiB, when ``topics`` creates it; for 7 days at most."""
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

    def address(self, timeout_s: float = 60.0) -> Address:
        """Where the server is and who we are to it. ``timeout_s``: how long a request may take."""
        return Address(
            self.host,
            self.port,
            self.user,
            self.password.get_secret_value(),
            timeout_s,
            secure=self.secure,
            ca_file=self.ca_file,
            is_replicated=bool(self.cluster),
        )


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


class CollectorSettings(Part):
    sources: str = ""
    """File of the sources (TOML), for ``cx-signals collect``."""
    catalogue: str = ""
    """File of products (CSV or NDJSON: sku, price, currency, category), for events that lack these; read anew when
    it changes."""
    host: str = "127.0.0.1"
    """Address that the collector binds to."""
    port: Annotated[int, Field(ge=1, le=65_535)] = 6067
    """Port of the collector."""
    metrics_port: Annotated[int, Field(ge=1, le=65_535)] = 6068
    """Port of its metrics and health, on the same address: not for those who send."""
    answer_s: Annotated[float, Field(gt=0, le=60)] = 4.0
    """How long a request waits for Kafka's acknowledgement before it is told to come again. Shops wait for 5 s."""
    remember: Annotated[int, Field(ge=1_000, le=100_000_000)] = 2_000_000
    """Events and orders that copies are known by, about 100 bytes each; for 48 hours at most."""
    memory_dir: str = ""
    """Folder where these survive a restart, of one collector; empty: they do not."""


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
    stores: str = ""
    """CSV file that says where stores are, for the console's map: its first line is
    ``store_id,name,latitude,longitude``; empty: no map."""
    time_zone: str = ""
    """The shop's, as ``Europe/Berlin``: the console shows times in it; empty: in that of whoever looks."""
    grafana: str = ""
    """Where the console's links to Grafana go: its address, as ``https://grafana.example``; empty: no links."""

    @field_validator("time_zone")
    @classmethod
    def _is_a_zone(cls, name: str) -> str:
        if name and name not in available_timezones():
            raise ValueError(f"no time zone {name!r}: one of the IANA database is wanted, as Europe/Berlin")
        return name

    @field_validator("grafana")
    @classmethod
    def _is_a_page(cls, address: str) -> str:
        if address and not address.startswith(("http://", "https://")):
            raise ValueError(f"no address of a page: {address!r}")
        return address.rstrip("/")

    @model_validator(mode="after")
    def _token_is_long(self) -> "WebSettings":
        if 0 < len(self.token.get_secret_value()) < _SHORTEST_KEY:
            raise ValueError(f"TOKEN needs {_SHORTEST_KEY} characters or more: short ones can be tried out")
        return self


class PrivacySettings(Part):
    customer_key: SecretStr = SecretStr("")
    """Where set, customer and visitor ids are replaced by their HMAC under this key before anything is stored."""

    @model_validator(mode="after")
    def _is_long(self) -> "PrivacySettings":
        if 0 < len(self.customer_key.get_secret_value()) < _SHORTEST_KEY:
            raise ValueError(f"CUSTOMER_KEY needs {_SHORTEST_KEY} characters or more: short keys can be tried out")
        return self
