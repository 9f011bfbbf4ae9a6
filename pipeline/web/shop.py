"""The buttons that break the simulated shop: there only where ``cx-signals up`` simulates one."""

import asyncio
import time
from collections.abc import Mapping, Sequence
from typing import Annotated, Final, Protocol

from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from pipeline.web.http import answer, problem

PATH: Final = "/shop/incidents"
_READ_S: Final = 5.0
_LARGEST: Final = 4_096


class Order(BaseModel):
    """An incident to begin, or (0 minutes) to end."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    minutes: Annotated[float, Field(ge=0, le=240)] = 20


class Incident(Protocol):
    """Something that is broken in the shop for a while. Times in ms since the epoch."""

    @property
    def name(self) -> str: ...
    @property
    def from_ms(self) -> int: ...
    @property
    def until_ms(self) -> int: ...


class Shop(Protocol):
    """A simulated shop that incidents can be ordered in."""

    @property
    def names(self) -> Mapping[str, str]:
        """By name of an incident, what it breaks."""

    def read(self) -> Sequence[Incident]:
        """Those that have been ordered."""

    def order(self, name: str, now_ms: int, length_ms: int) -> None:
        """Have an incident begin now, or end now where the length is 0."""


def add_shop(app: web.Application, shop: Shop | None) -> None:
    """Serve what is broken in the shop, and break or mend it. None: no shop is simulated."""

    async def show(request: web.Request) -> web.StreamResponse:
        return answer({"incidents": [] if shop is None else _state(shop)})

    async def order(request: web.Request) -> web.StreamResponse:
        if shop is None:
            return problem(404, "Not Found", "no shop is simulated here")
        try:
            async with asyncio.timeout(_READ_S):
                asked = Order.model_validate_json(await request.content.read(_LARGEST))
        except TimeoutError:
            return problem(408, "Request Timeout", "the order did not come in time")
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            return problem(400, "Bad Request", f"{'.'.join(map(str, first['loc'])) or 'body'}: {first['msg']}")
        if asked.name not in shop.names:
            return problem(400, "Bad Request", f"no incident {asked.name!r}; there are: {', '.join(shop.names)}")
        shop.order(asked.name, _now_ms(), round(asked.minutes * 60_000))
        return answer({"incidents": _state(shop)})

    app.router.add_get(PATH, show)
    app.router.add_post(PATH, order)


def _state(shop: Shop) -> list[dict[str, object]]:
    now = _now_ms()
    until = {one.name: one.until_ms for one in shop.read() if one.from_ms <= now < one.until_ms}
    return [{"name": name, "what": what, "until": until.get(name)} for name, what in shop.names.items()]


def _now_ms() -> int:
    return round(time.time() * 1000)
