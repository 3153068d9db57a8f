"""Adding accounts in a real browser against the simulated log-in server, and the account pages in every look.

Also a source of `docs/screenshots/`; fixtures are those of `test_browser.py`'s conftest.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.utils import timezone
from playwright.sync_api import Browser, Page, Route, expect

from accounts.callback_listener import CallbackListener
from accounts.importing import parse_import
from accounts.models import Account, AuditEntry, PendingLogin
from providers.simulator.server import Simulator
from tests.dashboard import seeding
from tests.dashboard.browsing import BROWSER_MARKS, log_in
from tests.factories import access_jwt
from tests.simulated import simulated_upstream

pytestmark = BROWSER_MARKS
ADD = "/admin/accounts/account/add/"
CALLBACK = re.compile(r"^http://localhost:1455/auth/callback")


@pytest.fixture
def sim(settings: Any) -> Iterator[Simulator]:
    with simulated_upstream(accounts=[{"email": "alex@example.com"}], device_approve_after=None) as running:
        settings.OPENAI_AUTH_URL, settings.CODEX_BASE_URL = running.origin, running.codex_base_url
        yield running


@pytest.fixture
def from_afar(monkeypatch: pytest.MonkeyPatch) -> None:
    """The browser is on another machine than the gateway: nothing listens for its way back."""
    monkeypatch.setattr("accounts.admin.adding.is_on_this_machine", lambda host: False)


def start(page: Page, way: str, button: str, label: str = "") -> None:
    page.goto(f"{ADD}?way={way}")
    page.fill("input[name=label]", label)
    page.get_by_role("button", name=button).click()
    page.wait_for_selector("[data-watch]")


def test_from_afar_the_address_of_the_last_page_is_pasted(page: Page, sim: Simulator, from_afar: None, shoot) -> None:
    seeding.operator()
    log_in(page)
    page.get_by_role("link", name="Accounts").first.click()
    page.goto(ADD)
    start(page, "browser", "Start the log-in", "alex")
    shoot(page, "login-browser")
    seen: list[str] = []

    def fail(route: Route) -> None:
        seen.append(route.request.url)
        route.abort()

    page.context.route(CALLBACK, fail)
    with page.context.expect_page() as opened:
        page.get_by_role("link", name="Open the log-in page").click()
    opened.value.wait_for_event("requestfailed") if not seen else None
    page.fill("textarea[name=callback_url]", seen[0])
    page.get_by_role("button", name="Finish the log-in").click()
    page.wait_for_url("**/change/")
    expect(page.get_by_text("alex was added.")).to_be_visible()
    expect(page.locator("dd", has_text="alex@example.com")).to_be_visible()


def test_on_this_machine_the_page_goes_on_by_itself(page: Page, sim: Simulator, monkeypatch: Any) -> None:
    seeding.operator()
    listener = CallbackListener(port=0)
    monkeypatch.setattr("accounts.admin.adding.listener", listener)
    log_in(page)
    start(page, "browser", "Start the log-in")
    expect(page.get_by_text("This page goes on by itself.")).to_be_visible()
    host, port = listener.address
    page.context.route(
        CALLBACK, lambda route: route.continue_(url=route.request.url.replace("localhost:1455", f"{host}:{port}"))
    )
    with page.context.expect_page() as opened:
        page.get_by_role("link", name="Open the log-in page").click()
    expect(opened.value.get_by_text("You are logged in.")).to_be_visible()
    page.wait_for_url("**/change/")
    expect(page.get_by_text("alex@example.com was added.")).to_be_visible()


def test_a_device_code_is_typed_elsewhere_and_the_page_goes_on(page: Page, sim: Simulator, shoot) -> None:
    seeding.operator()
    log_in(page)
    start(page, "device", "Get a code")
    code = page.locator("#device-code").inner_text()
    assert re.fullmatch(r"[0-9A-F]{4}-[0-9A-F]{5}", code)
    expect(page.locator("[data-left-s]")).to_have_text(re.compile(r"^14:\d\d$|^15:00$"))
    shoot(page, "login-device")
    assert sim.approve_device(code)
    page.wait_for_url("**/change/")
    expect(page.get_by_text("alex@example.com was added.")).to_be_visible()


def test_a_log_in_that_runs_out_says_so_by_itself(page: Page, sim: Simulator, from_afar: None) -> None:
    seeding.operator()
    log_in(page)
    start(page, "browser", "Start the log-in")
    PendingLogin.objects.update(expires_at=timezone.now())
    expect(page.get_by_text("Nobody finished it in time.")).to_be_visible(timeout=10_000)
    page.get_by_role("link", name="Start again").click()
    expect(page.get_by_role("button", name="Start the log-in")).to_be_visible()


def test_tokens_are_pasted_and_a_file_is_uploaded(page: Page, sim: Simulator, shoot, tmp_path: Path) -> None:
    seeding.operator()
    log_in(page)
    account = next(iter(sim.accounts))
    page.goto(f"{ADD}?way=paste")
    page.fill(
        "textarea[name=text]",
        f"{access_jwt('w', 'u1', email='bea@example.com')}\n{account.refresh_token}\nhalf-a-secret",
    )
    page.get_by_role("button", name="Add", exact=True).click()
    expect(page.get_by_role("heading", name="Added: 2 · Updated: 0 · Refused: 1")).to_be_visible()
    expect(page.get_by_role("link", name="alex@example.com")).to_be_visible()
    shoot(page, "imported")
    page.get_by_role("link", name="Import more").click()
    path = tmp_path / "auth.json"
    path.write_text(
        json.dumps({"tokens": {"access_token": access_jwt("w", "u1", serial=2), "refresh_token": "rt_new"}})
    )
    page.set_input_files("input[name=file]", path)
    page.get_by_role("button", name="Add", exact=True).click()
    expect(page.get_by_role("heading", name="Added: 0 · Updated: 1 · Refused: 0")).to_be_visible()
    assert Account.objects.count() == 2


def test_an_account_is_paused_renewed_and_removed_from_the_list(page: Page, sim: Simulator) -> None:
    seeding.operator()
    one = next(iter(sim.accounts))
    Account.objects.create(label="mine", access_token=access_jwt(), refresh_token=one.refresh_token)
    log_in(page)
    page.goto("/admin/accounts/account/")
    page.get_by_role("button", name="Renew the token of mine").click()
    expect(page.get_by_text("mine: The tokens were refreshed.")).to_be_visible()
    page.get_by_role("button", name="Pause mine").click()
    expect(page.get_by_role("link", name="Paused 1")).to_be_visible()
    page.get_by_role("button", name="Resume mine").focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("link", name="Ready 1")).to_be_visible()
    page.get_by_role("link", name="Remove mine").click()
    page.get_by_role("button", name=re.compile("Yes")).click()
    page.wait_for_url("**/accounts/account/")
    assert not Account.objects.exists()


def test_an_export_asks_for_the_password_and_is_a_file(page: Page, shoot) -> None:
    seeding.operator()
    seeding.day(timezone.now(), requests=10)
    log_in(page)
    page.goto("/admin/accounts/account/")
    page.get_by_role("link", name="Export", exact=True).click()
    page.fill("input[name=password]", "wrong")
    page.get_by_role("button", name="Download").click()
    expect(page.get_by_text("This is not the right password.")).to_be_visible()
    page.get_by_label("Sub2API").check()
    page.fill("input[name=password]", seeding.PASSWORD)
    with page.expect_download() as download:
        page.get_by_role("button", name="Download").click()
    assert download.value.suggested_filename.startswith("accounts-export-sub2api-")
    text = Path(download.value.path()).read_text()
    assert len(parse_import(text).entries) == Account.objects.count()
    assert AuditEntry.objects.get(action="account.exported").actor == "operator"


def test_the_account_pages_work_with_the_keyboard_alone(page: Page, sim: Simulator, from_afar: None) -> None:
    seeding.operator()
    log_in(page)
    page.goto(ADD)
    page.get_by_role("link", name=re.compile("Type a code on any device")).focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("button", name="Get a code")).to_be_visible()
    page.locator("input[name=label]").focus()
    page.keyboard.type("by hand")
    page.keyboard.press("Enter")
    page.wait_for_selector("#device-code")


@pytest.mark.parametrize("look", ["light", "dark", "phone", "chinese"])
def test_every_account_page_fits_in_every_look(browser: Browser, live_server, sim: Simulator, shoot, look: str) -> None:
    seeding.operator()
    now = timezone.now()
    seeding.day(now, requests=40)
    row = Account.objects.get(label="team-3")
    Account.objects.filter(pk=row.pk).update(
        quota={
            "windows": {
                "codex": {
                    "primary": {"used_percent": 100, "window_minutes": 300, "reset_at": time.time() + 2520},
                    "secondary": {"used_percent": 93, "window_minutes": 10080, "reset_at": time.time() + 180_000},
                }
            }
        },
        quota_at=now - timedelta(minutes=3),
        request_count=1204,
        last_used_at=now - timedelta(minutes=3),
        last_refreshed_at=now - timedelta(days=2),
    )
    for hours, action, reason in ((2, "account.status", "holiday is over"), (50, "account.added", "")):
        AuditEntry.objects.create(
            at=now - timedelta(hours=hours),
            actor="operator",
            action=action,
            target=row.pk,
            details={"reason": reason} if reason else {},
        )
    width = 390 if look == "phone" else 1360
    context = browser.new_context(
        base_url=live_server.url,
        viewport={"width": width, "height": 844 if look == "phone" else 900},
        color_scheme="dark" if look == "dark" else "light",
        locale="zh-CN" if look == "chinese" else "en-US",
    )
    page = context.new_page()
    log_in(page)
    pages = {
        "account": f"/admin/accounts/account/{row.pk}/change/",
        "add-browser": ADD,
        "add-device": f"{ADD}?way=device",
        "add-paste": f"{ADD}?way=paste",
        "export": "/admin/accounts/account/export/",
    }
    for name, path in pages.items():
        page.goto(path)
        shoot(page, f"{name}-{look}")
        assert page.evaluate("document.documentElement.scrollWidth") <= width, f"{name} is wider than the window"
        assert page.locator("html.dark").count() == (look == "dark")
    page.goto(f"{ADD}?way=device")
    page.locator("form button[type=submit]", has_text=re.compile("Get a code|获取")).click()
    page.wait_for_selector("#device-code")
    shoot(page, f"login-device-{look}")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    context.close()
