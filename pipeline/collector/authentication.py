"""How the requests of one configured source are known to be its own."""

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, Protocol

from pipeline.collector.bodies import Body, Kind
from pipeline.collector.families import Family
from pipeline.collector.incoming import Incoming
from pipeline.collector.intake import Authenticate
from pipeline.collector.public_keys import PUBLIC_SCHEMES, PubliclySigned
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
    @property
    def public_key_files(self) -> list[str]: ...
    @property
    def issuer(self) -> str: ...
    @property
    def audience(self) -> str: ...


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
    if how in PUBLIC_SCHEMES:
        return _by_public_key(how, settings, folder, now_s)
    if how not in SCHEMES and how not in _OTHERS:
        known = ", ".join((*SCHEMES, *PUBLIC_SCHEMES, *_OTHERS))
        raise SourceError("auth", f"auth: no way to know a request by: {how!r}; {known}")
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
    if any(part.startswith("url") for part in scheme.signed) and not settings.public_url:
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


def _by_public_key(how: str, settings: Configured, folder: Path, now_s: Callable[[], float]) -> Authenticate:
    scheme = PUBLIC_SCHEMES[how]
    if not settings.public_key_files:
        raise SourceError("auth", "public_key_files: the key that the sender hands out, as PEM or JWKS")
    # Else what the vendor has signed for any other customer would be good here.
    if scheme.is_shared and not settings.audience:
        raise SourceError("auth", f"audience: for whom its messages are; {how} signs those of others too")
    if scheme.is_token and not settings.issuer:
        raise SourceError("auth", f"issuer: who makes its tokens ({how})")
    texts = [_text_of(folder / name, name) for name in settings.public_key_files]
    try:
        return PubliclySigned(scheme, texts, settings.issuer, settings.audience, now_s).check
    except ValueError as error:
        raise SourceError("public_key_files", str(error)) from error


def _text_of(path: Path, name: str) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise SourceError("public_key_files", f"{name} cannot be read ({error})") from error


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
