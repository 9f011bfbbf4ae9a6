"""The file of webhooks: who gets what, read and checked.

[[webhook]]
name = "recovery"
url = "https://mail.example/journeys"
messages = "journeys"                  # or "recoveries", "moments" or "alerts"
secret_file = "/run/secrets/recovery"  # shared with the receiver
where = { funnel = ["cart"], outcome = ["abandoned"] }
"""

import tomllib
from collections import OrderedDict
from pathlib import Path
from typing import Annotated, Any, Final, Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from pipeline.delivery.destinations import DESTINATIONS, OPTIONS
from pipeline.delivery.signatures import key_of
from pipeline.settings import SettingsError
from pipeline.settings.secrets import read_secret
from schemas.alerts import AlertMessage
from schemas.journeys import JourneyMessage
from schemas.moments import MomentMessage
from schemas.recoveries import RecoveryMessage

Message = AlertMessage | JourneyMessage | RecoveryMessage | MomentMessage
MODELS: Final[dict[str, type[Message]]] = {
    "alerts": AlertMessage,
    "journeys": JourneyMessage,
    "recoveries": RecoveryMessage,
    "moments": MomentMessage,
}
_SHORTEST_SECRET: Final = 16


class HooksError(SettingsError):
    """The file cannot be used; the message is one line."""


class Hook(BaseModel):
    """One receiver."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,63}$")]
    """Also part of the consumer group: who goes by another name gets everything from then on."""
    destination: str = ""
    """A vendor (:mod:`pipeline.delivery.destinations`); empty: a receiver of one's own, signed for."""
    url: Annotated[str, Field(pattern=r"^(https?://[!-~]+)?$")] = ""
    """Where it is posted to; of a vendor with one address for all it need not be given."""
    url_file: str = ""
    """Instead: a file with the address, where that is a secret itself (Slack, Teams)."""
    options: dict[str, str] = {}
    """What the destination has to be told besides."""
    messages: Literal["alerts", "journeys", "recoveries", "moments"]
    secret_file: str = ""
    """File of the secret that sendings are signed with; of a vendor the key."""
    where: dict[str, list[str]] = {}
    """Only messages of which each field named here has one of the values."""
    attempts: Annotated[int, Field(ge=1, le=20)] = 8
    """After so many the message becomes a dead letter; each pause is twice the last, a minute at most."""

    @field_validator("url")
    @classmethod
    def _names_a_host(cls, url: str) -> str:
        if url and (
            not urlsplit(url).hostname or urlsplit(url).port == 0
        ):  # raises ValueError for a port that is none
            raise ValueError("no host in it")
        return url

    @field_validator("where", mode="before")
    @classmethod
    def _as_lists(cls, where: Any) -> Any:
        if isinstance(where, dict):
            return {name: [values] if isinstance(values, str) else values for name, values in where.items()}
        return where

    @model_validator(mode="after")
    def _fields_exist(self) -> "Hook":
        known = MODELS[self.messages].model_fields
        if unknown := set(self.where) - set(known):
            raise ValueError(f"where: no field {', '.join(sorted(unknown))}; there are {', '.join(known)}")
        return self

    @model_validator(mode="before")
    @classmethod
    def _has_an_address(cls, told: Any) -> Any:
        """Of a vendor with one for all, or in a file."""
        if not isinstance(told, dict):
            return told
        known = DESTINATIONS.get(told.get("destination", ""))
        if told.get("url_file") and not told.get("url"):
            try:
                return {**told, "url": read_secret(str(told["url_file"]))}
            except (OSError, ValueError) as error:
                raise ValueError(f"url_file cannot be read: {error}") from error
        return {"url": known.address, **told} if known is not None and known.address else told

    @model_validator(mode="after")
    def _fits_its_destination(self) -> "Hook":
        if not self.url:
            raise ValueError("url: where it is posted to")
        known = DESTINATIONS.get(self.destination)
        if self.destination and known is None:
            raise ValueError(f"destination: no {self.destination!r}; there are {', '.join(DESTINATIONS)}")
        if known is not None and self.messages not in known.messages:
            raise ValueError(f"messages: {self.destination} takes {', '.join(known.messages)}")
        if not self.secret_file and (known is None or known.needs_key):
            raise ValueError("secret_file: the secret that sendings are signed with, or the vendor's key")
        wanted = OPTIONS.get(self.destination, ())
        if set(wanted) != set(self.options):
            raise ValueError(f"options: {self.destination or 'a webhook'} has {', '.join(wanted) or 'none'}")
        return self

    @property
    def is_overheard(self) -> bool:
        """Whether what is posted goes over a network without TLS."""
        host = urlsplit(self.url).hostname or ""
        is_here = host in ("localhost", "::1") or host.startswith("127.")
        return self.url.startswith("http://") and not is_here

    def wants(self, message: Message) -> bool:
        return all(getattr(message, name) in values for name, values in self.where.items())

    def key(self) -> str:
        """Of a vendor. Raises HooksError."""
        if not self.secret_file:
            return ""
        try:
            return read_secret(self.secret_file)
        except (OSError, ValueError) as error:
            raise HooksError(f"webhook {self.name}: secret_file cannot be read: {error}") from error

    def secret(self) -> bytes:
        """What sendings are signed with. Raises HooksError."""
        try:
            found = read_secret(self.secret_file)
        except (OSError, ValueError) as error:
            raise HooksError(f"webhook {self.name}: secret_file cannot be read: {error}") from error
        try:
            key = key_of(found)
        except ValueError as error:
            raise HooksError(f"webhook {self.name}: {self.secret_file}: no Base64 after whsec_") from error
        if len(key) < _SHORTEST_SECRET:
            raise HooksError(f"webhook {self.name}: the key in {self.secret_file} needs {_SHORTEST_SECRET} bytes")
        return key


class Wanted:
    """Which messages one receiver gets: those it wants, and what becomes of journeys and moments it was given.

    An abandonment may turn out to be none, by an event that came late, or be recovered, and a moment be withdrawn:
    who acts on them has to hear of it, though what is left is not what was asked for.
    """

    def __init__(self, hook: Hook, remembered: int = 100_000) -> None:
        """``remembered``: journeys or moments, the last ones given."""
        self._hook = hook
        self._remembered = remembered
        self._given: OrderedDict[tuple[str, ...], None] = OrderedDict()

    def __call__(self, message: Message) -> bool:
        """To be asked of each newer version, in order."""
        wants = self._hook.wants(message)
        if isinstance(message, AlertMessage):
            return wants
        key = _key_of(message)
        if wants:
            self._given[key] = None
            self._given.move_to_end(key)
            if len(self._given) > self._remembered:
                self._given.popitem(last=False)
        return key in self._given


def _key_of(message: JourneyMessage | RecoveryMessage | MomentMessage) -> tuple[str, ...]:
    """By which versions of the same are known."""
    if isinstance(message, MomentMessage):
        return message.moment_id, message.channel, message.session_id, message.at
    person = message.person if isinstance(message, RecoveryMessage) else ""
    return person, message.channel, message.session_id, message.journey_id, message.entered_at


def load_hooks(path: str, plain_http: bool = False) -> list[Hook]:
    """The webhooks of the file. ``plain_http``: whether addresses without TLS are allowed. Raises HooksError."""
    if not path:
        raise HooksError("no file of webhooks is named: set CX_WEBHOOKS__FILE")
    try:
        content = tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise HooksError(f"{path}: {error}") from error
    tables = content.pop("webhook", [])
    if content or not isinstance(tables, list) or not tables:
        raise HooksError(f"{path}: only [[webhook]] tables stand there, and at least one")
    hooks = [_checked(path, number, table) for number, table in enumerate(tables, 1)]
    if plain := [hook.name for hook in hooks if hook.is_overheard and not plain_http]:
        raise HooksError(
            f"{path}: webhook {plain[0]!r} has an address without TLS; use https://, or set "
            "CX_WEBHOOKS__PLAIN_HTTP=true where anybody on the way may read it"
        )
    names = [hook.name for hook in hooks]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise HooksError(f"{path}: there are two webhooks {twice[0]!r}")
    return hooks


def _checked(path: str, number: int, table: Any) -> Hook:
    try:
        return Hook.model_validate(table)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or "it"
        what = first["msg"].removeprefix("Value error, ")
        raise HooksError(f"{path}: webhook {number}: {where}: {what}") from None
