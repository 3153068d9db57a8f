"""The overview: what it says, whom it points to, what it costs, in both languages."""

from __future__ import annotations

import re
import socket
from datetime import timedelta
from pathlib import Path

import pytest
from django.contrib import admin
from django.test import Client
from django.urls import reverse
from django.utils import timezone, translation

from accounts.models import AccountStatus
from codexproxy.dashboard.templatetags.dashboard import sparkline
from codexproxy.live_settings import setting_set
from stats.models import UsageRecord
from tests.dashboard import seeding
from tests.factories import AccountFactory

ROOT = Path(__file__).parents[2]


def page(client: Client, **headers) -> str:
    return client.get("/admin/", **headers).content.decode()


@pytest.mark.django_db
def test_an_empty_gateway_teaches_how_to_begin(admin_client: Client) -> None:
    text = page(admin_client)

    assert "codexproxy account add --auth-json" in text
    assert "curl -N http://testserver/v1/chat/completions" in text
    assert "Create an API key" in text


@pytest.mark.django_db
def test_it_counts_every_account_once_and_names_those_that_need_a_person(admin_client: Client) -> None:
    now = timezone.now()
    AccountFactory.create_batch(2)
    AccountFactory(cooling_until=now + timedelta(hours=1))
    AccountFactory(label="stuck", status=AccountStatus.NEEDS_LOGIN, status_reason="revoked <script>")
    AccountFactory(status=AccountStatus.PAUSED)

    text = page(admin_client)

    assert "5 accounts · 2 ready · 1 cooling down · 1 needs you · 1 switched off" in text
    assert "Needs log-in · revoked &lt;script&gt;" in text


@pytest.mark.django_db
def test_the_listener_for_ollama_apps_says_how_it_is_and_how_to_switch_it_on(admin_client: Client) -> None:
    text = page(admin_client)

    assert "For Ollama apps" in text and "settings set ollama.enabled true" in text


@pytest.mark.django_db
def test_a_listener_that_should_run_and_does_not_says_so(admin_client: Client) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    setting_set("ollama.port", str(port), actor="test")
    setting_set("ollama.enabled", "true", actor="test")

    assert "Nothing answers there." in page(admin_client)


@pytest.mark.django_db
def test_a_failure_leads_to_its_record(admin_client: Client) -> None:
    row = UsageRecord.objects.create(
        request_id="req_1", started_at=timezone.now(), outcome="no_capacity", error_message="All are busy."
    )

    text = page(admin_client)

    assert "All are busy." in text
    assert reverse("admin:stats_usagerecord_change", args=(row.pk,)) in text
    assert "most often: no account free" in text


@pytest.mark.django_db
@pytest.mark.parametrize("requests", [3, 300])
def test_the_number_of_queries_does_not_grow(
    admin_client: Client, requests: int, django_assert_max_num_queries
) -> None:
    seeding.day(timezone.now(), requests=requests)

    with django_assert_max_num_queries(18):
        page(admin_client)


@pytest.mark.django_db
def test_it_speaks_chinese(admin_client: Client) -> None:
    seeding.day(timezone.now(), requests=10)

    text = page(admin_client, headers={"accept-language": "zh-CN"})

    assert "4 个账号 · 2 个可用 · 1 个冷却中 · 1 个需要您处理" in text
    assert "最近 24 小时" in text


@pytest.mark.django_db
def test_nobody_sees_it_without_logging_in(client: Client) -> None:
    assert client.get("/admin/").status_code == 302


@pytest.mark.django_db
def test_every_page_of_the_sidebar_opens(admin_client: Client) -> None:
    links = re.findall(r'href="(/admin/[a-z_]+/[a-z_]+/)"', page(admin_client))

    assert len(links) >= 5
    for link in set(links):
        assert admin_client.get(link).status_code == 200, link


def test_the_site_is_ours() -> None:
    assert type(admin.site._wrapped if hasattr(admin.site, "_wrapped") else admin.site).__name__ == "OperatorSite"


def test_a_sparkline_says_in_words_what_it_draws() -> None:
    drawn = sparkline((0, None, 50, 100), "Requests <1>")

    assert 'aria-label="Requests &lt;1&gt;, hour by hour: highest 100, last 100"' in drawn
    assert drawn.count("<rect") == 3
    assert drawn.count("cpx-stub") == 1
    assert 'height="28"' in drawn
    assert "<title>50</title>" in drawn


def test_an_empty_sparkline_is_still_a_picture() -> None:
    assert sparkline((), "Nothing").startswith("<svg")


def test_every_word_is_translated() -> None:
    text = (ROOT / "locale/zh_Hans/LC_MESSAGES/django.po").read_text(encoding="utf-8")
    entries = re.findall(r'^msgid "(.+)"\n(?:msgid_plural .*\n)?msgstr(?:\[0\])? "(.*)"$', text, re.MULTILINE)

    assert len(entries) > 200
    assert [source for source, words in entries if not words] == []
    assert "fuzzy" not in text


def test_the_compiled_catalog_is_in_step_with_its_source() -> None:
    text = (ROOT / "locale/zh_Hans/LC_MESSAGES/django.po").read_text(encoding="utf-8")
    entries = re.findall(r'^msgid "([^"\\]+)"\nmsgstr "([^"\\]+)"$', text, re.MULTILINE)
    with translation.override("zh-hans"):
        stale = [source for source, words in entries if translation.gettext(source) != words]

    assert stale == [], "run: msgfmt -o locale/zh_Hans/LC_MESSAGES/django.mo locale/zh_Hans/LC_MESSAGES/django.po"


def test_pages_may_load_nothing_from_elsewhere(client: Client) -> None:
    policy = client.get("/admin/login/").headers["Content-Security-Policy"]

    assert "default-src 'self'" in policy
    assert "'unsafe-inline'" not in policy.partition("script-src")[2].partition(";")[0]
