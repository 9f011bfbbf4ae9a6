"""Logging in from the console: the token for a cookie that no script can read. Wrong tokens are slowed."""

import asyncio
import hmac
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Final
from urllib.parse import quote

from aiohttp import web
from pydantic import BaseModel, ConfigDict, ValidationError

from pipeline.web.guard import COOKIE
from pipeline.web.http import problem

PATH: Final = "/api/login"
_READ_S: Final = 5.0
_LARGEST: Final = 4_096


class Slowed:
    """Who has given wrong tokens: so many in a minute, then none is looked at until the minute is over."""

    def __init__(
        self,
        most: int = 10,
        within_s: float = 60.0,
        remembered: int = 1_000,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._most = most
        self._within_s = within_s
        self._remembered = remembered
        self._clock = clock
        self._failures: OrderedDict[str, tuple[int, float]] = OrderedDict()
        """By address: how many, and since when."""

    def is_slowed(self, who: str) -> bool:
        count, since = self._failures.get(who, (0, 0.0))
        return count >= self._most and self._clock() - since < self._within_s

    def note_failure(self, who: str) -> None:
        now = self._clock()
        count, since = self._failures.get(who, (0, now))
        if now - since >= self._within_s:
            count, since = 0, now
        self._failures[who] = count + 1, since
        if len(self._failures) > self._remembered:
            self._failures.popitem(last=False)


class _Given(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    token: str


def add_login(app: web.Application, token: str, slowed: Slowed) -> None:
    """Take a token by POST, as JSON."""

    async def login(request: web.Request) -> web.StreamResponse:
        who = request.remote or ""
        if slowed.is_slowed(who):
            return problem(
                429, "Too Many Requests", "too many wrong tokens; wait a minute", headers={"Retry-After": "60"}
            )
        try:
            async with asyncio.timeout(_READ_S):
                given = _Given.model_validate_json(await request.content.read(_LARGEST)).token
        except (ValidationError, TimeoutError, web.RequestPayloadError):
            return problem(400, "Bad Request", "a JSON object with the token is needed")
        if not token or not hmac.compare_digest(given.encode(errors="surrogatepass"), token.encode()):
            slowed.note_failure(who)
            return problem(401, "Unauthorized", "this is not the token (CX_WEB__TOKEN)")
        response = web.Response(status=204)
        is_secure = request.secure or request.headers.get("X-Forwarded-Proto") == "https"
        value = quote(token, safe="")
        response.set_cookie(COOKIE, value, path="/", httponly=True, samesite="Strict", secure=is_secure)
        return response

    app.router.add_post(PATH, login)
