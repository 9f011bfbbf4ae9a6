"""How the requests of one configured source are known to be its own."""

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, Protocol

from pipeline.collector.bodies import Body, Kind
from pipeline.collector.families import Family
from pipeline.collector.incoming import Incoming
from pipeline.collector.intake import Authenticate
from pipeline.collector.signatures import SCHEMES, AuthenticationError, Signed, basic_user, is_one_of
from pipeline.settings.secrets import read_secret

_OTHERS: Final = ("header", "basic", "none")


class SourceError(ValueError):
    """The configuration of a source does not fit; ``setting`` is which one."""

    def __init__(self, setting: str, what: str) -> None:
        super().__init__(what)
        self.setting = setting


class Configured(Protocol):
    """The part of a source's settings that is used."""

    @property
    def topic(self) -> str: ...
    @property
    def keys(self) -> list[str]: ...
    @property
    def secret_files(self) -> list[str]: ...
    @property
    def secret_envs(self) -> list[str]: ...
    @property
    def auth(self) -> str | None: ...
    @property
    def auth_header(self) -> str: ...
    @property
    def public_url(self) -> str: ...


def authenticator(family: Family, settings: Configured, folder: Path, now_s: Callable[[], float]) -> Authenticate:
    """``folder``: what files of secrets are named from. Raises SourceError."""
    secrets = _secrets(settings, folder)
    how = settings.auth if settings.auth is not None else family.scheme
    if how == "none" or settings.topic:  # who may write to a topic is Kafka's to know
        return lambda _request, _body: None
    if how == "" and family.keys_of is not None:
        if not settings.keys:
            raise SourceError("kind", f"keys: the public keys that a source of kind {family.name!r} is known by")
        return _by_key(settings.keys, family.keys_of, family.secret_of if secrets else None, secrets)
    if how not in SCHEMES and how not in _OTHERS:
        raise SourceError("auth", f"auth: no way to know a request by: {how!r}; {', '.join((*SCHEMES, *_OTHERS))}")
    if not secrets:
        raise SourceError("kind", "secret_files or secret_envs: the secret that its requests are signed with")
    if how == "header":
        return _by_header(settings.auth_header.lower(), secrets)
    if how == "basic":
        return _by_basic(secrets)
    return _by_signature(how, settings, secrets, now_s)


def _by_signature(
    how: str, settings: Configured, secrets: Sequence[str], now_s: Callable[[], float]
) -> Authenticate:
    scheme = SCHEMES[how]
    if "url" in scheme.signed and not settings.public_url:
        raise SourceError("kind", "public_url: the address as it is registered with the sender; it is signed too")
    try:
        signed = Signed(scheme, secrets, settings.public_url, now_s)
    except ValueError as error:
        raise SourceError("secret_files", f"the secret is none of {how}: {error}") from error

    def check(request: Incoming, body: Body) -> None:
        # What is signed is a field of a form: read as anything else it would be another text.
        if scheme.field and body.kind is not Kind.FORM:
            raise AuthenticationError(f"{scheme.field}: a form is wanted")
        signed.check(request)

    return check


def _secrets(settings: Configured, folder: Path) -> list[str]:
    found = []
    for name in settings.secret_files:
        try:
            found.append(read_secret(str(folder / name)))
        except (OSError, ValueError) as error:
            raise SourceError("secret_files", f"{name} cannot be read ({error})") from error
    for name in settings.secret_envs:
        if not os.environ.get(name):
            raise SourceError("secret_envs", f"the environment has no {name}")
        found.append(os.environ[name])
    if any(not one for one in found):
        raise SourceError("secret_files", "a secret is empty")
    return found


def _by_key(
    keys: Sequence[str],
    keys_of: Callable[[Incoming, Body], list[str]],
    secret_of: Callable[[Incoming], str] | None,
    secrets: Sequence[str],
) -> Authenticate:
    def check(request: Incoming, body: Body) -> None:
        given = keys_of(request, body)
        if not given:
            raise AuthenticationError("the request names no key")
        if not any(is_one_of(one, keys) for one in given):
            raise AuthenticationError("the key is none of this source's")
        if secret_of is not None and not is_one_of(secret_of(request), secrets):
            raise AuthenticationError("the secret beside the key is none of this source's")

    return check


def _by_header(header: str, secrets: Sequence[str]) -> Authenticate:
    def check(request: Incoming, _body: Body) -> None:
        given = request.headers.get(header, "").removeprefix("Bearer ")
        if not given or not is_one_of(given, secrets):
            raise AuthenticationError(f"{header}: not the secret of this source")

    return check


def _by_basic(secrets: Sequence[str]) -> Authenticate:
    def check(request: Incoming, _body: Body) -> None:
        given = ":".join(basic_user(request.headers.get("authorization", "")))
        if not is_one_of(given, secrets):
            raise AuthenticationError("authorization: not the user and password of this source")

    return check
