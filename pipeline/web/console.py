"""The live console: its pages and their parts, served as they are (``dashboards/console``)."""

import gzip
import hashlib
import mimetypes
from collections.abc import Mapping
from importlib.resources import as_file, files
from pathlib import Path
from typing import Final

from aiohttp import web

from pipeline.web.http import answer

PARTS: Final = "/console/"
CONFIG: Final = "/api/console"
PAGES: Final = ("/", "/alerts", "/trends", "/funnels", "/stores", "/recovery", "/data")
"""All of them are one document, whose script looks at the path."""
_INDEX: Final = "index.html"
_TEXTS: Final = (".html", ".css", ".js", ".mjs", ".svg")


class Part:
    """A file of the page, packed once."""

    def __init__(self, path: Path) -> None:
        self._raw = path.read_bytes()
        self._packed = gzip.compress(self._raw, mtime=0) if path.suffix in _TEXTS else None
        self._type = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
        self._tag = f'"{hashlib.sha256(self._raw).hexdigest()[:32]}"'

    def answer(self, request: web.Request) -> web.Response:
        """The file, or that it is the one that the browser has already."""
        headers = {"Cache-Control": "no-cache", "ETag": self._tag, "Vary": "Accept-Encoding"}
        # A proxy that packs anew marks the tag as weak.
        known = [tag.strip().removeprefix("W/") for tag in request.headers.get("If-None-Match", "").split(",")]
        if self._tag in known:
            return web.Response(status=304, headers=headers)
        if self._packed is not None and "gzip" in request.headers.get("Accept-Encoding", ""):
            return self._of(self._packed, headers | {"Content-Encoding": "gzip"})
        return self._of(self._raw, headers)

    def _of(self, body: bytes, headers: Mapping[str, str]) -> web.Response:
        charset = "utf-8" if self._type.startswith("text/") or "javascript" in self._type else None
        return web.Response(body=body, content_type=self._type, charset=charset, headers=headers)


def add_console(app: web.Application, config: dict[str, object]) -> None:
    """Serve the pages and their parts below ``/console/``. ``config``: what they need to know."""
    folder = _folder()
    # What is not among them is not looked for: a name may be anything.
    parts = {
        str(path.relative_to(folder).as_posix()): Part(path)
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }

    async def page(request: web.Request) -> web.StreamResponse:
        return parts[_INDEX].answer(request)

    async def told(request: web.Request) -> web.StreamResponse:
        return answer(config)

    async def part(request: web.Request) -> web.StreamResponse:
        found = parts.get(request.match_info["name"])
        if found is None:
            raise web.HTTPNotFound(text="no such part of the console\n")
        return found.answer(request)

    for path in PAGES:
        app.router.add_get(path, page)
    app.router.add_get(CONFIG, told)
    app.router.add_get(PARTS + "{name:.+}", part)


def _folder() -> Path:
    with as_file(files("dashboards") / "console") as path:  # packages are installed as plain files
        return path.resolve()
