"""The buttons that break the simulated shop: there only where ``cx-signals up`` simulates one."""

import asyncio
import time
from pathlib import Path
from typing import Annotated, Final

from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from pipeline.simulator.incidents import IncidentsFile
from pipeline.simulator.shop import INCIDENTS
from pipeline.web.http import answer, problem

PATH: Final = "/shop/incidents"
_READ_S: Final = 5.0
_LARGEST: Final = 4_096


class Order(BaseModel):
    """An incident to begin, or (0 minutes) to end."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    minutes: Annotated[float, Field(ge=0, le=240)] = 20


def add_shop(app: web.Application, path: str) -> None:
    """Serve what is broken in the shop, and break or mend it. ``path``: see CX_WEB__SHOP_FILE; empty: no shop."""

    async def show(request: web.Request) -> web.StreamResponse:
        if not path:
            return answer({"incidents": []})
        return answer({"incidents": _state(IncidentsFile(Path(path)))})

    async def order(request: web.Request) -> web.StreamResponse:
        if not path:
            return problem(404, "Not Found", "no shop is simulated here")
        try:
            async with asyncio.timeout(_READ_S):
                asked = Order.model_validate_json(await request.content.read(_LARGEST))
        except TimeoutError:
            return problem(408, "Request Timeout", "the order did not come in time")
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            return problem(400, "Bad Request", f"{'.'.join(map(str, first['loc'])) or 'body'}: {first['msg']}")
        if asked.name not in INCIDENTS:
            return problem(400, "Bad Request", f"no incident {asked.name!r}; there are: {', '.join(INCIDENTS)}")
        file = IncidentsFile(Path(path))
        file.order(asked.name, _now_ms(), round(asked.minutes * 60_000))
        return answer({"incidents": _state(file)})

    app.router.add_get(PATH, show)
    app.router.add_post(PATH, order)


def _state(file: IncidentsFile) -> list[dict[str, object]]:
    now = _now_ms()
    until = {one.name: one.until_ms for one in file.read() if one.from_ms <= now < one.until_ms}
    return [{"name": name, "what": what, "until": until.get(name)} for name, what in INCIDENTS.items()]


def _now_ms() -> int:
    return round(time.time() * 1000)
