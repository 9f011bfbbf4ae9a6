"""The file of sources (TOML): who may send, from where, as what. Errors name the line."""

import re
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Final, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from pipeline.collector.authentication import SourceError, authenticator
from pipeline.collector.catalogue import Catalogue, CatalogueError
from pipeline.collector.expressions import ExpressionError
from pipeline.collector.families import Family
from pipeline.collector.finishing import NO_CATALOGUE
from pipeline.collector.intake import Intake, Policy
from pipeline.collector.sources import FAMILIES, generic
from pipeline.collector.tables import ATTRIBUTE, QUANTITY, SKU, TIME_IS_TRUE, Rule
from pipeline.collector.tables import Field as Computed
from pipeline.settings import Settings, vocabulary
from pipeline.settings.config_file import ConfigFile
from pipeline.settings.environment import SettingsError, nearest
from schemas.events import TouchpointEvent
from schemas.vocabulary import Vocabulary

_NAME: Final = re.compile(r"[a-z0-9][a-z0-9_-]{0,31}")
_PATH: Final = re.compile(r"(/[A-Za-z0-9._~-]+)*")
#: What a configuration may say; a type it says otherwise.
_FIELDS: Final = (set(TouchpointEvent.model_fields) - {"type", "attributes"}) | {TIME_IS_TRUE, SKU, QUANTITY}
_SETTING: Final = "CX_COLLECTOR__SOURCES"


class SurveySettings(BaseModel):
    """One table ``[sources.NAME.surveys.ID]``."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    survey: Literal["csat", "nps", "ces"]
    """What is asked."""
    scale: Annotated[float, Field(gt=0)] | None = None
    """The best score; default: 5, 10, 7."""
    question: str = ""
    """Of a survey with several questions the one that is meant, by its id."""
    rescale: bool = False
    """Spread an effort score (CES) of another scale over 1 to 7; else such answers are refused."""


class EventSettings(BaseModel):
    """One table ``[sources.NAME.events."WHAT IT IS CALLED THERE"]``."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    type: str
    """The touchpoint that it becomes."""
    when: dict[str, str | float | bool | list[str | float]] = {}
    """Only where this stands at these paths; of a list one of it."""
    fields: dict[str, str] = {}
    """Beside those of the source, or in their place."""


class SourceSettings(BaseModel):
    """One table ``[sources.NAME]``."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    kind: str
    """What it is: one of those that ``cx-signals sources kinds`` lists."""
    path: str | None = None
    """Where it sends to, with all that lies below; default: ``/`` and its name. Neutral words pass ad blockers."""
    topic: str = ""
    """Instead of HTTP: the Kafka topic whose messages are its events. It is read from its end at first."""
    keys: list[str] = []
    """Public keys that its requests name (write key, app id, API key of a project), where its kind has such."""
    secret_files: list[str] = []
    """Files with the secrets that its requests are signed with, one in each; several while one is changed."""
    secret_envs: list[str] = []
    """The same, as names of variables of the environment."""
    auth: str | None = None
    """How its requests are known, where not as its kind says: a signature, ``header``, ``basic``, ``none``."""
    auth_header: str = "x-api-key"
    """With ``auth = "header"``: the header that holds the secret."""
    public_url: str = ""
    """The address as it is registered with the sender, where that is signed too (Square, Twilio)."""
    public_key_files: list[str] = []
    """Files with the keys of a sender that signs with its own (Adobe, Zoho): PEM, or a JSON Web Key Set."""
    audience: str = ""
    """For whom its messages are: ``webhookId:ID`` (Zoho Desk), the client id (Adobe I/O)."""
    issuer: str = ""
    """Who makes its tokens: ``orgId:ID`` (Zoho Desk)."""
    origins: list[str] = ["*"]
    """Pages that may send, as ``https://shop.example``; ``*``: all."""
    shop: str = ""
    """Sources of one shop tell of the same orders: a copy that another one of them has told is none."""
    channel: Literal["web", "app", "pos"] | None = None
    """Of what does not say it itself."""
    time_zone: str = "UTC"
    """Of times without one."""
    consent: Literal["require", "honour", "ignore"] = "honour"
    """Who may be known: ``require``: who agreed; ``honour``: all but who said no; ``ignore``: everybody."""
    consent_categories: list[str] = []
    """Of a consent by categories those that are asked for; empty: all of them."""
    bots: Literal["drop", "keep"] = "drop"
    """Programs that say so in their user agent."""
    each: str = ""
    """Kind ``json``: the path of the list that holds the events; empty: the body is one, or a list of them."""
    kind_at: str = ""
    """Kind ``json``: the expression of what an event is called; empty: all are called ``*``."""
    events: dict[str, EventSettings] = {}
    """What becomes of events, by what they are called: all of kind ``json``, of others beside those known."""
    store_zones: dict[str, str] = {}
    """Tills whose times have no zone: the zone of each store."""
    surveys: dict[str, SurveySettings] = {}
    """What each survey or question is, by its id there: that can never be told from a number."""
    tickets: bool = False
    """Whether tickets count as support contacts, not only live ones (Zendesk, Zoho Desk)."""
    customer_namespace: str = ""
    """Adobe: the namespace of the identity map that holds customers' ids."""
    organisation: str = ""
    """Adobe: the id of the organisation, as the Web SDK is configured with."""
    fields: dict[str, str] = {}
    """Fields of the touchpoint that are found elsewhere than its kind says: expressions (docs/sources)."""
    most_bytes: Annotated[int, Field(ge=1_024, le=64_000_000)] = 4_000_000
    """Of a body, unpacked; more is 413."""
    most_events: Annotated[int, Field(ge=1, le=100_000)] = 2_500
    """Of a request; more is 400."""
    most_waiting: Annotated[int, Field(ge=1, le=100_000)] = 2_000
    """Requests at work at once; more are 503."""
    rate: Annotated[float, Field(ge=0)] = 0.0
    """Requests a second; more are 429. 0: no bound."""

    @field_validator("path")
    @classmethod
    def _is_a_path(cls, path: str | None) -> str | None:
        if path is not None and _PATH.fullmatch(path) is None:
            raise ValueError("a path such as /in/web, without a slash at its end")
        return path


class Source(NamedTuple):
    """A source, ready to take requests."""

    name: str
    settings: SourceSettings
    path: str
    intake: Intake

    @property
    def family(self) -> Family:
        return self.intake.family


def configured_sources(settings: Settings) -> list[Source]:
    """Those of the settings, with the catalogue. Raises SettingsError."""
    own = settings.collector
    try:
        catalogue = Catalogue(Path(own.catalogue) if own.catalogue else None)
    except (OSError, CatalogueError) as error:
        raise SettingsError(f"CX_COLLECTOR__CATALOGUE: {error}") from error
    return load_sources(own.sources, vocabulary(settings), time.time, catalogue)


def load_sources(
    path: str, words: Vocabulary, now_s: Callable[[], float], catalogue: Catalogue = NO_CATALOGUE
) -> list[Source]:
    """The sources of the file. Raises SettingsError, with the line where there is one."""
    if not path:
        raise SettingsError(f"no file of sources is named: set {_SETTING} (docs/sources/)")
    file = ConfigFile(path, _SETTING)
    for name in file.content:
        if name != "sources":
            raise SettingsError(f"{file.place_of((name,)) or path}: only [sources.NAME] tables stand there")
    tables = file.content.get("sources")
    if not isinstance(tables, dict) or not tables:
        raise SettingsError(f"{path}: there is no [sources.NAME]")
    found = [_source(file, name, table, words, now_s, catalogue) for name, table in tables.items()]
    _check_paths(file, found)
    return found


def _source(
    file: ConfigFile, name: str, table: Any, words: Vocabulary, now_s: Callable[[], float], catalogue: Catalogue
) -> Source:
    def refuse(what: str, *setting: str) -> SettingsError:
        place = file.place_of(("sources", name, *setting)) or f"{file.path}: sources.{name}"
        return SettingsError(f"{place}: {what}")

    if _NAME.fullmatch(name) is None:
        raise refuse("a source's name is of lower-case letters, digits, - and _, at most 32")
    try:
        settings = SourceSettings.model_validate(table)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        setting = tuple(str(part) for part in first["loc"] if isinstance(part, str))
        raise refuse(first["msg"].removeprefix("Value error, "), *setting) from None
    family = FAMILIES.get(settings.kind)
    if family is None:
        hint = nearest(settings.kind, set(FAMILIES))
        raise refuse(f"no such kind of source: {settings.kind!r}{hint}", "kind")
    try:
        family = _with_own(family, settings, words)
        check = authenticator(family, settings, Path(file.path).parent, now_s)
        constants, policy = _constants(name, settings), _policy(settings)
        intake = Intake(family, constants, policy, check, words, settings.fields, catalogue)
    except SourceError as error:
        raise refuse(str(error), *error.setting.split(".")) from error
    except ExpressionError as error:
        raise refuse(str(error), "fields") from error
    return Source(name, settings, f"/{name}" if settings.path is None else settings.path, intake)


def _with_own(family: Family, settings: SourceSettings, words: Vocabulary) -> Family:
    """The family with what the configuration adds. Raises SourceError, ExpressionError."""
    _check_fields(settings.fields, "fields")
    for name, event in settings.events.items():
        if event.type not in words.event_types:
            hint = nearest(event.type, set(words.event_types))
            raise SourceError(f"events.{name}.type", f"no such event type: {event.type!r}{hint}")
        _check_fields(event.fields, f"events.{name}.fields")
    table = family.table
    if settings.kind == generic.KIND:
        if not settings.events:
            raise SourceError("kind", "events: of kind 'json' it has to say what is what")
        table = replace(table, kind=settings.kind_at or "'*'")
        family = generic.apart_at(settings.each) if settings.each else family
    elif settings.kind_at or settings.each:
        raise SourceError("kind_at" if settings.kind_at else "each", "only sources of kind 'json' need it")
    own = {table.name(name): [_rule(event)] for name, event in settings.events.items()}
    return replace(family, table=replace(table, rules={**table.rules, **own}))


def _check_fields(fields: Mapping[str, str], setting: str) -> None:
    for name in fields:
        if name not in _FIELDS and not name.startswith(ATTRIBUTE):
            hint = nearest(name, _FIELDS)
            raise SourceError(f"{setting}.{name}", f"no such field of a touchpoint{hint}; or {ATTRIBUTE}NAME")


def _rule(event: EventSettings) -> Rule:
    when: dict[Computed, Any] = {
        path: tuple(value) if isinstance(value, list) else value for path, value in event.when.items()
    }
    return Rule(event.type, event.fields, when, is_own=True)


def _constants(name: str, settings: SourceSettings) -> Mapping[str, Any]:
    told = {
        "source": name,
        "shop": settings.shop,
        "channel": settings.channel,
        "time_zone": settings.time_zone,
        "consent_categories": settings.consent_categories,
        "store_zones": settings.store_zones,
        "tickets": settings.tickets,
        "customer_namespace": settings.customer_namespace,
        "organisation": settings.organisation,
        "surveys": {name: one.model_dump() for name, one in settings.surveys.items()},
    }
    return {key: value for key, value in told.items() if value is not None}


def _policy(settings: SourceSettings) -> Policy:
    return Policy(settings.consent, settings.bots == "drop", settings.most_bytes, settings.most_events)


def _check_paths(file: ConfigFile, sources: list[Source]) -> None:
    by_path: dict[str, str] = {}
    for one in sources:
        if one.settings.topic:
            continue
        if one.path in by_path:
            place = file.place_of(("sources", one.name, "path")) or file.path
            raise SettingsError(f"{place}: {one.path or '/'} is the path of {by_path[one.path]!r} already")
        by_path[one.path] = one.name
