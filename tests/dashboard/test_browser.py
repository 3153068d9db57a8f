"""The operator's first day in a real browser; also the source of `docs/screenshots/` (`--update-screenshots`).

Skipped, loudly, only where there is no browser to drive.
"""

from __future__ import annotations

import re

import pytest
from django.conf import settings
from django.utils import timezone
from playwright.sync_api import Browser, Page

from codexproxy.dashboard.setup import SetupToken
from tests.dashboard import seeding
from tests.dashboard.browsing import BROWSER_MARKS, log_in

pytestmark = BROWSER_MARKS


def test_the_first_operator_sets_up_by_the_link_and_lands_on_an_overview_that_teaches(page: Page, shoot) -> None:
    token = SetupToken(settings.DATA_DIR).create(timezone.now().timestamp())
    page.goto(f"/admin/setup/{token}/")
    shoot(page, "setup")
    page.fill("input[name=username]", "operator")
    page.fill("input[name=password1]", seeding.PASSWORD)
    page.fill("input[name=password2]", seeding.PASSWORD)
    page.click("button[type=submit]")

    page.wait_for_selector("text=Add your first account")
    assert page.locator(".cpx-code", has_text="codexproxy account add").count() == 3
    assert page.locator(".cpx-code", has_text="curl -N http://").count() == 1
    shoot(page, "overview-empty")


def test_the_overview_shows_the_day_and_leads_to_the_cause(page: Page, shoot) -> None:
    seeding.operator()
    seeding.day(timezone.now())
    page.goto("/admin/")
    shoot(page, "login")
    log_in(page)

    cards = page.locator(".cpx-figures .cpx-card")
    assert cards.count() == 4
    assert cards.nth(0).locator(".cpx-figure-value").get_attribute("title") == "400"
    assert page.locator("svg.cpx-sparkline[aria-label]").count() == 4
    assert page.get_by_text("4 accounts · 2 ready · 1 cooling down · 1 needs you").is_visible()

    page.get_by_role("link", name=re.compile("^Why request")).first.click()
    page.wait_for_selector("text=Who answered")
    shoot(page, "request")


def test_an_operator_creates_a_key_and_sees_it_once(page: Page, shoot) -> None:
    seeding.operator()
    seeding.day(timezone.now(), requests=40)
    log_in(page)
    page.goto("/admin/accounts/apikey/add/")
    page.click(".field-user .select2-selection")
    page.fill(".select2-search__field", "alice")
    page.click(".select2-results__option >> text=alice")
    page.fill("input[name=name]", "new laptop")
    page.click("[name=_save]")

    key = page.locator("#new-api-key").inner_text()
    assert re.fullmatch(r"cpx-[\w-]{40,}", key)
    page.goto("/admin/accounts/apikey/")
    assert key not in page.content()
    assert page.get_by_text("new laptop").first.is_visible()


PAGES = {
    "overview": "/admin/",
    "accounts": "/admin/accounts/account/",
    "keys": "/admin/accounts/apikey/",
    "requests": "/admin/stats/usagerecord/",
}


@pytest.mark.parametrize("look", ["light", "dark", "phone", "chinese"])
def test_every_page_fits_in_every_look(browser: Browser, live_server, shoot, look: str) -> None:
    seeding.operator()
    seeding.day(timezone.now())
    width = 390 if look == "phone" else 1360
    context = browser.new_context(
        base_url=live_server.url,
        viewport={"width": width, "height": 844 if look == "phone" else 900},
        color_scheme="dark" if look == "dark" else "light",
        locale="zh-CN" if look == "chinese" else "en-US",
    )
    page = context.new_page()
    log_in(page)
    for name, path in PAGES.items():
        page.goto(path)
        shoot(page, f"{name}-{look}")

        assert page.evaluate("document.documentElement.scrollWidth") <= width, f"{name} is wider than the window"
        assert page.locator("html.dark").count() == (look == "dark")
        assert page.locator("html").get_attribute("lang") == ("zh-hans" if look == "chinese" else "en")
    context.close()
