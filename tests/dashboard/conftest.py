"""The browser, pages with a clean console, and pictures on request."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from tests.dashboard.browsing import ARGUMENTS, CHROMIUM, SCREENSHOTS


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with pytest.MonkeyPatch.context() as patch, sync_playwright() as driver:
        # Playwright's loop runs in this thread as long as the browser; Django would take that for async code.
        patch.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", "true")
        launched = driver.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield launched
        launched.close()


@pytest.fixture
def page(browser: Browser, live_server) -> Iterator[Page]:
    """A page whose console must stay clean and which may load nothing from elsewhere."""
    context = browser.new_context(base_url=live_server.url, viewport={"width": 1360, "height": 900})
    opened = context.new_page()
    complaints: list[str] = []
    opened.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
    opened.on("pageerror", lambda error: complaints.append(str(error)))
    opened.on(
        "request", lambda request: complaints.append(request.url) if _is_elsewhere(request.url, live_server) else None
    )
    yield opened
    context.close()
    assert complaints == []


def _is_elsewhere(url: str, live_server) -> bool:
    return not url.startswith((live_server.url, "data:", "blob:"))


@pytest.fixture
def shoot(request: pytest.FixtureRequest) -> Callable[[Page, str], None]:
    """Take a picture of a page, when pictures are asked for."""
    is_updating = request.config.getoption("--update-screenshots")

    def take(page: Page, name: str) -> None:
        if is_updating:
            SCREENSHOTS.mkdir(parents=True, exist_ok=True)
            page.evaluate("document.fonts.ready")
            page.screenshot(path=SCREENSHOTS / f"{name}.png")

    return take
