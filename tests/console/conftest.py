"""A browser for the module, and a page that nothing may go wrong on."""

import re
import shutil
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, expect, sync_playwright

from tests.needs import need

Open = Callable[..., Page]
expect.set_options(timeout=20_000)  # other tests start whole systems meanwhile


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    path = shutil.which("chromium")
    need(path, "chromium is not installed (Debian's package has the same name)")
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield started
        started.close()


@pytest.fixture
def open_page(browser: Browser) -> Iterator[Open]:
    """Opens an address. At the end no page may have had an error, but for those that match ``expected``."""
    errors: list[str] = []
    pages: list[Page] = []

    def open_it(url: str, expected: str | None = None, **more: Any) -> Page:
        page = browser.new_page(**({"viewport": {"width": 1400, "height": 900}} | more))
        pages.append(page)

        def note(message: ConsoleMessage) -> None:
            if message.type in ("error", "warning") and not (expected and re.search(expected, message.text)):
                errors.append(f"{message.type}: {message.text}")

        page.on("console", note)
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.goto(url)
        return page

    yield open_it
    for page in pages:
        page.close()
    assert errors == []
