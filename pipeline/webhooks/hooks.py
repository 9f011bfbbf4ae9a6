"""The file of webhooks: who gets what, read and checked.

[[webhook]]
name = "recovery"
url = "https://mail.example/journeys"
messages = "journeys"                  # or "alerts"
secret_file = "/run/secrets/recovery"  # shared with the receiver
where = { funnel = ["cart"], outcome = ["abandoned"] }
"""

import tomllib
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from pipeline.settings import SettingsError
from schemas.alerts import AlertMessage
from schemas.journeys import JourneyMessage
from schemas.webhooks import key_of

Message = AlertMessage | JourneyMessage
MODELS: Final[dict[str, type[Message]]] = {"alerts": AlertMessage, "journeys": JourneyMessage}
_SHORTEST_SECRET: Final = 16


class HooksError(SettingsError):
    """The file cannot be used; the message is one line."""


class Hook(BaseModel):
    """One receiver."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,63}$")]
    """Also part of the consumer group: who goes by another name gets everything from then on."""
    url: Annotated[str, Field(pattern=r"^https?://\S+$")]
    messages: Literal["alerts", "journeys"]
    secret_file: str
    """File of the secret that sendings are signed with."""
    where: dict[str, list[str]] = {}
    """Only messages of which each field named here has one of the values."""
    attempts: Annotated[int, Field(ge=1, le=20)] = 8
    """After so many the message becomes a dead letter; each pause is twice the last, a minute at most."""

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

    def wants(self, message: Message) -> bool:
        return all(getattr(message, name) in values for name, values in self.where.items())

    def secret(self) -> bytes:
        """Raises HooksError."""
        try:
            found = Path(self.secret_file).read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise HooksError(f"webhook {self.name}: secret_file cannot be read: {error}") from error
        if len(found) < _SHORTEST_SECRET:
            raise HooksError(
                f"webhook {self.name}: {self.secret_file} needs {_SHORTEST_SECRET} characters or more"
            )
        try:
            return key_of(found)
        except ValueError as error:
            raise HooksError(f"webhook {self.name}: {self.secret_file}: no Base64 after whsec_") from error


def load_hooks(path: str) -> list[Hook]:
    """The webhooks of the file. Raises HooksError."""
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
