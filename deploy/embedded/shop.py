"""The demo shop of ``cx-signals up``: a few pages (``deploy/shop``) that send to the collector."""

import json
import signal
import sys
from functools import partial
from http import HTTPStatus
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final

_FOLDER: Final = Path(__file__).parents[1] / "shop"
_PAGES: Final = frozenset({"/", "/product", "/cart", "/checkout", "/thanks"})


class _Handler(SimpleHTTPRequestHandler):
    """Files of the folder; the pages are one file; what they have to know is a script."""

    def __init__(self, config: bytes, *args: Any, **more: Any) -> None:
        self._config = config
        super().__init__(*args, directory=str(_FOLDER), **more)

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        if path == "/config.js":
            self.send_response(HTTPStatus.OK)
            self.send_header("Content-Type", "text/javascript")
            self.send_header("Content-Length", str(len(self._config)))
            self.end_headers()
            self.wfile.write(self._config)
            return
        if path in _PAGES:
            self.path = "/index.html"
        super().do_GET()

    def log_message(self, *_args: object) -> None:
        """Nobody reads it."""


def main(port: int, collector: str, console: str, key: str) -> None:
    """Serve on loopback until a signal ends it."""
    told = json.dumps({"collector": collector, "consoleUrl": console, "key": key})
    server = ThreadingHTTPServer(("127.0.0.1", port), partial(_Handler, f"window.SHOP = {told};".encode()))
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    server.serve_forever()


if __name__ == "__main__":
    main(int(sys.argv[1]), *sys.argv[2:5])
