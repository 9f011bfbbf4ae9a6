"""Who sent it, where a vendor signs with a key of its own: checked with the public half, which it hands out.

Such a key may be one for all of a vendor's customers. Then it is also looked at for whom the message is.
"""

import base64
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import jwt
from jwt.algorithms import RSAAlgorithm

from pipeline.collector.bodies import Body
from pipeline.collector.incoming import Incoming
from pipeline.collector.signatures import AuthenticationError

_RSA: Final = RSAAlgorithm(RSAAlgorithm.SHA256)
#: A time of expiry above this is in milliseconds: in seconds it is the year 5138.
_LATEST_S: Final = 100_000_000_000
_WANTED: Final = "a public key of RSA is wanted, as PEM or in a JSON Web Key Set"


@dataclass(frozen=True, slots=True)
class PublicScheme:
    """How one vendor signs; RSA with SHA-256 all of them."""

    headers: tuple[str, ...]
    """In lower case; one valid signature is enough."""
    audience_at: str = ""
    """The member of the body that says for whom it is."""
    is_token: bool = False
    """A JSON Web Token (RFC 7519), which does not cover the body."""

    @property
    def is_shared(self) -> bool:
        """Whether the vendor says for whom a message is, because its key signs everybody's."""
        return bool(self.audience_at) or self.is_token


#: By the name that the file of sources uses. Sources: the vendors' pages on verifying webhooks.
PUBLIC_SCHEMES: Final[Mapping[str, PublicScheme]] = {
    "adobe_commerce": PublicScheme(("x-adobe-commerce-webhook-signature",)),
    "adobe_io": PublicScheme(
        ("x-adobe-digital-signature-1", "x-adobe-digital-signature-2"), audience_at="recipient_client_id"
    ),
    "zoho_desk": PublicScheme(("x-zdesk-jwt",), is_token=True),
    "zoho_salesiq": PublicScheme(("x-siqsignature",)),
}


class PubliclySigned:
    """Checks requests of one scheme."""

    def __init__(
        self, scheme: PublicScheme, keys: Sequence[str], issuer: str, audience: str, now_s: Callable[[], float]
    ) -> None:
        """``keys``: PEM, or a JSON Web Key Set (RFC 7517). Raises ValueError for one that is none."""
        self._scheme, self._issuer, self._audience, self._now_s = scheme, issuer, audience, now_s
        self._keys = [key for text in keys for key in _keys_of(text)]

    def check(self, request: Incoming, body: Body) -> None:
        """Raises AuthenticationError."""
        name = self._scheme.headers[0]
        given = [text for header in self._scheme.headers if (text := request.headers.get(header, ""))]
        if not given:
            raise AuthenticationError(f"{name}: there is no signature")
        if self._scheme.is_token:
            self._check_claims(self._claims(given[0]))
            return
        if not any(_is_signed(request.raw, key, text) for text in given for key in self._keys):
            raise AuthenticationError(f"{name}: not signed with a key of this source")
        self._check_audience(body)

    def _claims(self, token: str) -> Mapping[str, Any]:
        # Times are looked at by ours, for the vendor writes seconds or milliseconds.
        options: Any = {"verify_exp": False, "verify_nbf": False, "verify_iat": False, "require": ["exp"]}
        for key in self._keys:
            try:
                return jwt.decode(token, key, ["RS256"], options, audience=self._audience, issuer=self._issuer)
            except jwt.InvalidSignatureError:
                continue
            except jwt.InvalidTokenError as error:
                raise AuthenticationError(f"{self._scheme.headers[0]}: {error}") from error
        raise AuthenticationError(f"{self._scheme.headers[0]}: not signed with a key of this source")

    def _check_claims(self, claims: Mapping[str, Any]) -> None:
        expires = claims["exp"]
        if isinstance(expires, bool) or not isinstance(expires, int | float):
            raise AuthenticationError(f"{self._scheme.headers[0]}: exp is no time")
        if (expires / 1000 if expires > _LATEST_S else expires) < self._now_s():
            raise AuthenticationError(f"{self._scheme.headers[0]}: it has expired")

    def _check_audience(self, body: Body) -> None:
        if not (member := self._scheme.audience_at):
            return
        messages = body.content if isinstance(body.content, list) else [body.content]
        if not messages or any(not isinstance(one, dict) or one.get(member) != self._audience for one in messages):
            raise AuthenticationError(f"{member}: it is for somebody else")


def _keys_of(text: str) -> list[Any]:
    """What one file holds. Raises ValueError."""
    try:
        if not text.lstrip().startswith("{"):
            return [_RSA.prepare_key(text)]
        found = [one.key for one in jwt.PyJWKSet.from_dict(json.loads(text)).keys if one.key_type == "RSA"]
    except (ValueError, jwt.PyJWTError, TypeError, AttributeError) as error:
        raise ValueError(_WANTED) from error
    if not found:
        raise ValueError(_WANTED)
    return found


def _is_signed(raw: bytes, key: Any, text: str) -> bool:
    try:
        return bool(_RSA.verify(raw, key, base64.b64decode(text, validate=True)))
    except ValueError:
        return False
