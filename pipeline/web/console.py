"""The live console: a page and its parts, served as they are (``dashboards/console``)."""

from importlib.resources import as_file, files
from pathlib import Path
from typing import Final

from aiohttp import web

from pipeline.web.http import answer

PARTS: Final = "/console/"
CONFIG: Final = "/api/console"


def add_console(app: web.Application, config: dict[str, object]) -> None:
    """Serve the page at ``/`` and its parts below ``/console/``. ``config``: what the page needs to know."""
    folder = _folder()
    index = folder / "index.html"
    # What is not among them is not looked for: a name may be anything.
    parts = {str(path.relative_to(folder).as_posix()): path for path in folder.rglob("*") if path.is_file()}

    async def page(request: web.Request) -> web.StreamResponse:
        return web.FileResponse(index, headers={"Cache-Control": "no-cache"})

    async def told(request: web.Request) -> web.StreamResponse:
        return answer(config)

    async def part(request: web.Request) -> web.StreamResponse:
        found = parts.get(request.match_info["name"])
        if found is None:
            raise web.HTTPNotFound(text="no such part of the console\n")
        return web.FileResponse(found, headers={"Cache-Control": "no-cache"})

    app.router.add_get("/", page)
    app.router.add_get(CONFIG, told)
    app.router.add_get(PARTS + "{name:.+}", part)


def _folder() -> Path:
    with as_file(files("dashboards") / "console") as path:  # packages are installed as plain files
        return path.resolve()
