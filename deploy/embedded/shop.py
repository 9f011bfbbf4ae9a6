"""The demo shop of ``cx-signals up``: a few pages (``deploy/shop``) that send to the collector."""

import json
import signal
import sys
from collections.abc import Callable
from functools import partial
from http import HTTPStatus
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final

_FOLDER: Final = Path(__file__).parents[1] / "shop"
_PAGES: Final = frozenset({"/", "/product", "/cart", "/checkout", "/thanks"})


_NOT_YET: Final = b"""<!doctype html><html lang="en"><meta charset="utf-8"><meta http-equiv="refresh" content="1">
<title>Demo shop</title><p>The shop opens in a moment: its past is still being sent.</p></html>"""


class _Handler(SimpleHTTPRequestHandler):
    """Files of the folder; the pages are one file; what they have to know is a script."""

    def __init__(self, config: bytes, is_open: Callable[[], bool], *args: Any, **more: Any) -> None:
        self._config = config
        self._is_open = is_open
        super().__init__(*args, directory=str(_FOLDER), **more)

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        if path == "/config.js":
            self._answer("text/javascript", self._config)
            return
        if path in _PAGES and not self._is_open():
            self._answer("text/html", _NOT_YET)
            return
        if path in _PAGES:
            self.path = "/index.html"
        super().do_GET()

    def _answer(self, kind: str, body: bytes) -> None:
        self.send_response(HTTPStatus.OK)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_args: object) -> None:
        """Nobody reads it."""


def main(port: int, collector: str, console: str, key: str, opens: str = "") -> None:
    """Serve on loopback until a signal ends it. ``opens``: the file that is there as soon as the shop may open."""
    is_open = Path(opens).exists if opens else lambda: True
    told = json.dumps({"collector": collector, "consoleUrl": console, "key": key})
    server = ThreadingHTTPServer(
        ("127.0.0.1", port), partial(_Handler, f"window.SHOP = {told};".encode(), is_open)
    )
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    server.serve_forever()


if __name__ == "__main__":
    main(int(sys.argv[1]), *sys.argv[2:])
