"""What the browser tests share: the browser to drive, their marks, and how an operator logs in."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from playwright.sync_api import Page

from tests.dashboard import seeding

CHROMIUM = shutil.which("chromium")
SCREENSHOTS = Path(__file__).parents[2] / "docs" / "screenshots"
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]

BROWSER_MARKS = [
    pytest.mark.browser,
    pytest.mark.timeout(180),
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(CHROMIUM is None, reason="no chromium on this machine: install the package `chromium`"),
]


def log_in(page: Page) -> None:
    page.goto("/admin/")
    page.fill("input[name=username]", "operator")
    page.fill("input[name=password]", seeding.PASSWORD)
    page.click("button[type=submit]")
    page.wait_for_selector(".cpx-figures")
