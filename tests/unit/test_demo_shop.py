"""The demo shop opens when the past has been sent: what is clicked before would make the rest of it too late."""

import urllib.request
from pathlib import Path

from deploy.embedded.process import Child, free_port, is_listening
from tests.systems import COMMAND


def test_the_shop_waits_for_the_past(tmp_path: Path) -> None:
    port, opens = free_port(), tmp_path / "caught-up"
    command = [COMMAND[0], "-m", "deploy.embedded.shop", str(port), "http://c", "http://w", "key", str(opens)]
    child = Child("shop", command, tmp_path / "log")

    def page(path: str) -> str:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as answer:
            return str(answer.read().decode())

    try:
        child.wait_until(lambda: is_listening("127.0.0.1", port), 20)
        for path in ("/", "/product?sku=1", "/checkout"):
            assert "opens in a moment" in page(path)
            assert "config.js" not in page(path)  # nothing in it sends anything
        opens.touch()
        assert "config.js" in page("/")
        assert '"key": "key"' in page("/config.js")
    finally:
        child.stop()
