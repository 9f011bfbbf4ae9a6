"""Takes the pictures of docs/screenshots.md: ``python -m docs.screenshots ADDRESS``, the console of a stack."""

import shutil
import sys
from pathlib import Path
from typing import Any, Final

from playwright.sync_api import Browser, sync_playwright

from pipeline.web.console import PAGES

FOLDER: Final = Path(__file__).parent / "screenshots"
_WIDE: Final = {"viewport": {"width": 1280, "height": 860}}
_PHONE: Final = {"viewport": {"width": 400, "height": 860}, "is_mobile": True, "has_touch": True}
LOOKS: Final[dict[str, dict[str, Any]]] = {
    "light": {**_WIDE, "color_scheme": "light"},
    "dark": {**_WIDE, "color_scheme": "dark"},
    "phone": {**_PHONE, "color_scheme": "light"},
    "japanese": {**_WIDE, "color_scheme": "light", "locale": "ja-JP"},
}
_DRAWN_MS: Final = 4_000
"""Until charts and bars stand still."""


def names() -> list[str]:
    """Of all pictures, without the ending."""
    return [f"{page.strip('/') or 'overview'}-{look}" for page in PAGES for look in LOOKS]


def _shoot(browser: Browser, address: str, page_path: str, look: str) -> None:
    page = browser.new_page(**LOOKS[look])
    page.goto(f"{address}{page_path}?window=1h")
    page.wait_for_selector("#status[data-state=live]", timeout=60_000)
    page.wait_for_timeout(_DRAWN_MS)
    page.screenshot(path=FOLDER / f"{page_path.strip('/') or 'overview'}-{look}.png", full_page=True)
    page.close()


def main() -> None:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        for page in PAGES:
            for look in LOOKS:
                _shoot(browser, sys.argv[1].rstrip("/"), page, look)
        browser.close()


if __name__ == "__main__":
    main()
