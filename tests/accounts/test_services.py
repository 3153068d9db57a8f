"""Adding, deduplicating, importing, exporting, keys, the snapshot's version, and the loader."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from accounts import changes, keys, selectors, services
from accounts.exporting import FORMATS
from accounts.importing import ImportEntry, parse_import
from accounts.loader import load_accounts, load_keys
from accounts.models import Account, AccountStatus, ApiKey, AuditEntry
from accounts.reporting import accounts_report
from accounts.values import AccountReport
from providers.contract import QuotaWindow, RateLimits, Secret
from providers.oauth.contract import OAuthRequest, OAuthResponse
from tests.factories import AccountFactory, ApiKeyFactory, UserFactory, access_jwt
from translation.errors import Unauthenticated

pytestmark = pytest.mark.django_db


def entry(access: str = "", refresh: str = "", label: str = "") -> ImportEntry:
    return ImportEntry(
        access_token=Secret(access) if access else None,
        refresh_token=Secret(refresh) if refresh else None,
        label=label,
    )


def add(access: str = "", refresh: str = "", label: str = "", send: Any = None) -> services.AddedAccount:
    return services.account_add(entry=entry(access, refresh, label), actor="test", send=send)


class AuthServer:
    """Answers token requests with a pair; counts them."""

    def __init__(self, access: str, refresh: str | None = "rt_next") -> None:
        self.answer = {"access_token": access, "refresh_token": refresh}
        self.requests: list[OAuthRequest] = []

    def __call__(self, request: OAuthRequest) -> OAuthResponse:
        self.requests.append(request)
        return OAuthResponse(status=200, body=json.dumps(self.answer).encode())


# ---- adding --------------------------------------------------------------------------------------------------------


def test_it_stores_what_the_token_says() -> None:
    added = add(access_jwt("w", "u", plan="pro", email="e@example.com"), "rt_1", "mine")
    row = Account.objects.get()
    assert added.is_new
    assert (row.chatgpt_account_id, row.chatgpt_user_id, row.plan, row.email) == ("w", "u", "pro", "e@example.com")
    assert (row.label, row.status, row.refresh_token) == ("mine", "active", Secret("rt_1"))
    assert len(row.id) == 16
    assert row.token_expires_at is not None


@pytest.mark.parametrize(
    ("token", "words"),
    [
        ("nonsense", "form"),
        (access_jwt(""), "names no ChatGPT account"),
        (access_jwt(expires_in_s=-1), "expired"),
    ],
)
def test_it_refuses_a_token_that_cannot_work_and_never_echoes_it(token: str, words: str) -> None:
    with pytest.raises(services.AccountsError, match=words) as refusal:
        add(token)
    assert token not in str(refusal.value)
    assert not Account.objects.exists()


def test_it_updates_the_same_login_and_keeps_id_label_and_counters() -> None:
    first = add(access_jwt(serial=1), "rt_1", "mine").account
    Account.objects.update(request_count=7, status=AccountStatus.BANNED, refresh_failures=3)
    again = add(access_jwt(serial=2), "", "other")
    row = Account.objects.get()
    assert not again.is_new
    assert (row.id, row.label, row.request_count) == (first.id, "mine", 7)
    assert row.refresh_token == Secret("rt_1"), "an absent refresh token never erases one"
    assert (row.status, row.refresh_failures) == ("active", 0), "a fresh login revives a banned account"


def test_it_keeps_colleagues_of_one_workspace_and_workspaces_of_one_person_apart() -> None:
    for account_id, user_id in (("w", "u1"), ("w", "u2"), ("w2", "u1")):
        assert add(access_jwt(account_id, user_id)).is_new
    assert Account.objects.count() == 3


def test_it_exchanges_a_lonely_refresh_token_once_and_never_one_that_a_row_owns() -> None:
    server = AuthServer(access_jwt("w", "u"))
    assert add(refresh="rt_1", send=server).is_new
    assert not add(refresh="rt_next", send=server).is_new
    assert len(server.requests) == 1


def test_it_keeps_no_refresh_token_when_the_exchange_returned_none() -> None:
    assert add(refresh="rt_1", send=AuthServer(access_jwt(), refresh=None)).account.refresh_token is None


def test_it_imports_what_it_can_and_names_the_rest() -> None:
    text = json.dumps(
        [
            {"token": access_jwt("w", "u1")},
            {"token": "bad.token.here"},
            {"x": 1},
            {"token": access_jwt("w", "u1", serial=2)},
        ]
    )
    report = services.account_import(document=parse_import(text), actor="test")
    assert (len(report.added), len(report.updated), len(report.errors)) == (1, 1, 2)
    assert any("entry 2" in error for error in report.errors)


def test_it_spends_a_refresh_token_that_stands_twice_only_once() -> None:
    server = AuthServer(access_jwt())
    report = services.account_import(document=parse_import("rt_1\nrt_1"), actor="test", send=server)
    assert len(server.requests) == 1
    assert len(report.errors) == 1


# ---- exporting -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("format_name", sorted(set(FORMATS) - {"minimal"}))
@pytest.mark.parametrize("count", [1, 2])
def test_it_reads_back_its_own_export(format_name: str, count: int) -> None:
    rows = [AccountFactory() for _ in range(count)]
    document = parse_import(services.account_export(format_name=format_name, actor="test"))
    assert document.problems == ()
    found = {(e.access_token, e.refresh_token) for e in document.entries}
    stored = Account.objects.filter(pk__in=[row.pk for row in rows])
    assert found == {(row.access_token, row.refresh_token) for row in stored}


def test_it_exports_only_refresh_tokens_and_labels_in_the_minimal_format() -> None:
    AccountFactory(label="a", refresh_token="rt_a")
    AccountFactory(refresh_token=None)
    exported = json.loads(services.account_export(format_name="minimal", actor="test"))
    assert exported == {"accounts": [{"refreshToken": "rt_a", "label": "a"}]}


def test_it_gives_a_bare_object_to_cpa_for_one_account() -> None:
    first, _second = AccountFactory(), AccountFactory()
    assert isinstance(json.loads(services.account_export(format_name="cpa", actor="test")), list)
    one = json.loads(services.account_export(format_name="cpa", ids=[first.pk], actor="test"))
    assert one["type"] == "codex"


def test_it_refuses_unknown_formats_and_accounts_and_audits_exports_without_tokens() -> None:
    row = AccountFactory(refresh_token="rt_canary-token")
    with pytest.raises(services.AccountsError, match="format"):
        services.account_export(format_name="zip", actor="test")
    with pytest.raises(services.AccountsError, match="nope"):
        services.account_export(format_name="full", ids=["nope"], actor="test")
    services.account_export(format_name="full", actor="test")
    (audited,) = AuditEntry.objects.filter(action="account.exported")
    assert audited.details == {"format": "full", "ids": [row.pk]}


# ---- keys ----------------------------------------------------------------------------------------------------------


def test_it_shows_a_key_once_and_stores_only_its_digest_and_its_start() -> None:
    issued = services.api_key_create(user=UserFactory(), name="laptop", actor="test")
    clear = issued.key.reveal()
    row = ApiKey.objects.get()
    assert clear.startswith("cpx-")
    assert len(clear) >= 36
    assert (row.prefix, bytes(row.digest)) == (clear[:12], keys.digest(clear))
    assert clear not in repr(issued)
    assert clear not in json.dumps(
        [selectors.api_key_summary(row), *AuditEntry.objects.values_list("details", flat=True)]
    )


def test_it_lets_a_new_key_in_and_a_revoked_one_out_with_words() -> None:
    issued = services.api_key_create(user=UserFactory(), name="laptop", actor="test", allowed_models=["gpt-5.5", " "])
    view = keys.authenticate(load_keys(), issued.key.reveal(), 0.0)
    assert view.allowed_models == ("gpt-5.5",)
    services.api_key_revoke(api_key_id=issued.row.pk, actor="test", reason="lost laptop")
    services.api_key_revoke(api_key_id=issued.row.pk, actor="test", reason="again")
    with pytest.raises(Unauthenticated, match="revoked"):
        keys.authenticate(load_keys(), issued.key.reveal(), 0.0)
    assert ApiKey.objects.get().revoked_reason == "lost laptop"
    assert AuditEntry.objects.filter(action="key.revoked").count() == 1


def test_it_refuses_the_keys_of_a_person_who_is_switched_off() -> None:
    key = ApiKeyFactory(user=UserFactory(is_active=False))
    view = load_keys()[bytes(key.digest)]
    assert not view.is_active
    assert "owner" in view.inactive_reason


@pytest.mark.parametrize(
    "terms",
    [{"name": " "}, {"name": "n", "max_concurrency": 0}, {"name": "n", "expires_at": timezone.now() - timedelta(1)}],
)
def test_it_refuses_keys_that_make_no_sense(terms: dict[str, Any]) -> None:
    with pytest.raises(services.AccountsError):
        services.api_key_create(user=UserFactory(), actor="test", **terms)


# ---- the snapshot's version ----------------------------------------------------------------------------------------


def test_it_bumps_the_version_with_every_change_the_hot_path_sees(django_capture_on_commit_callbacks: Any) -> None:
    account, key, user = AccountFactory(), ApiKeyFactory(), UserFactory()
    acts = [
        lambda: add(access_jwt("w", "u")),
        lambda: services.accounts_switch(ids=[account.pk], event="paused", actor="t"),
        lambda: services.account_edit(account_id=account.pk, actor="t", label="x", max_concurrency=2),
        lambda: services.api_key_create(user=user, name="n", actor="t"),
        lambda: services.api_key_revoke(api_key_id=key.pk, actor="t"),
        lambda: services.user_save(user=user, actor="t"),
        lambda: services.accounts_remove(ids=[account.pk], actor="t"),
        lambda: services.user_remove(user=user, actor="t"),
    ]
    heard: list[int] = []
    stop = changes.subscribe(heard.append)
    try:
        for number, act in enumerate(acts, start=1):
            with django_capture_on_commit_callbacks(execute=True):
                act()
            assert changes.current_version() == number
            assert heard[-1] == number
    finally:
        stop()


def test_it_survives_a_subscriber_that_fails(django_capture_on_commit_callbacks: Any) -> None:
    heard: list[int] = []

    def broken(version: int) -> None:
        raise RuntimeError("no")

    stops = [changes.subscribe(broken), changes.subscribe(heard.append)]
    with django_capture_on_commit_callbacks(execute=True):
        changes.bump_snapshot()
    for stop in stops:
        stop()
    assert heard == [1]


# ---- loading -------------------------------------------------------------------------------------------------------


def test_it_loads_everything_in_a_constant_number_of_queries(django_assert_num_queries: Any) -> None:
    for _ in range(7):
        AccountFactory()
        ApiKeyFactory()
    with django_assert_num_queries(2):  # accounts, and their cookies
        accounts = load_accounts()
    with django_assert_num_queries(1):
        loaded = load_keys()
    assert (len(accounts), len(loaded)) == (7, 7)
    assert accounts[0].credential.token.reveal().count(".") == 2
    assert "eyJ" not in repr(accounts)


@pytest.mark.parametrize(
    ("status", "is_usable"),
    [("active", True), ("paused", False), ("needs_login", False), ("banned", False), ("disabled", False)],
)
def test_it_says_why_an_account_is_not_usable(status: str, is_usable: bool) -> None:
    AccountFactory(status=status)
    (view,) = load_accounts()
    assert view.is_usable is is_usable
    assert bool(view.unusable_reason) is not is_usable


def test_it_loads_an_account_whose_key_is_lost_as_unusable(settings: Any) -> None:
    AccountFactory()
    settings.ENCRYPTION_KEYS = ["another-key-" + "x" * 40]
    (view,) = load_accounts()
    assert not view.is_usable
    assert "decrypt" in view.unusable_reason


# ---- reports -------------------------------------------------------------------------------------------------------


def limits(limit_id: str, used: float, reset_at: float) -> RateLimits:
    window = QuotaWindow(used_percent=used, window_minutes=300, reset_at=reset_at)
    return RateLimits(plan="pro", windows={limit_id: {"primary": window}}, credits={})


def test_it_adds_up_a_batch_in_a_constant_number_of_queries(django_assert_max_num_queries: Any) -> None:
    rows = [AccountFactory(plan="pro") for _ in range(5)]
    reports = [
        AccountReport(account_id=row.pk, requests=2, used_at=1000.0 + n, limits=limits("codex", n, 2000.0))
        for n, row in enumerate(rows)
        for _ in range(3)
    ] + [AccountReport(account_id="gone", requests=1)]
    with django_assert_max_num_queries(12):  # six of them tell the hot path of quota it has never heard of
        accounts_report(reports)
    assert set(Account.objects.values_list("request_count", flat=True)) == {6}
    before = changes.current_version()
    with django_assert_max_num_queries(6):
        accounts_report(reports)
    assert changes.current_version() == before, "counters and known quota are the pool's own"
    assert load_accounts()[0].window_reset_at == 2000.0


def test_it_merges_buckets_and_never_shortens_a_cooldown() -> None:
    row, now = AccountFactory(), timezone.now().timestamp()
    accounts_report(
        [
            AccountReport(
                account_id=row.pk, limits=limits("codex", 10, 5.0), cooling_until=now + 900, cooling_reason="week"
            ),
            AccountReport(
                account_id=row.pk, limits=limits("spark", 20, 6.0), cooling_until=now + 60, cooling_reason="minute"
            ),
        ]
    )
    row.refresh_from_db()
    assert set(row.quota["windows"]) == {"codex", "spark"}
    assert (row.cooling_reason, row.plan) == ("week", "pro")
    (view,) = load_accounts()
    assert view.cooling_until == pytest.approx(now + 900, abs=1)
    accounts_report([AccountReport(account_id=row.pk, cooling_until=0.0)])
    row.refresh_from_db()
    assert row.cooling_until is None


@pytest.mark.parametrize(
    ("rejection", "refresh_token", "status"),
    [
        ("expired", "rt_1", "active"),
        ("invalidated", None, "needs_login"),
        ("banned", "rt_1", "banned"),
        ("forbidden", "rt_1", "banned"),
        ("payment", None, "unpaid"),
    ],
)
def test_it_turns_a_rejection_into_a_status(rejection: str, refresh_token: str | None, status: str) -> None:
    row = AccountFactory(refresh_token=refresh_token)
    accounts_report(
        [AccountReport(account_id=row.pk, rejection=rejection, message="Bearer eyJsecretsecret.x.y said no")]
    )
    row.refresh_from_db()
    assert row.status == status
    assert "eyJ" not in row.status_reason
    if status == "active":
        assert selectors.list_accounts_due(timezone.now()) == [row.pk]
    else:
        assert row.status_reason
        assert AuditEntry.objects.filter(target=row.pk).exists()


@pytest.mark.parametrize(
    ("rejection", "status"), [("payment", "paused"), ("invalidated", "paused"), ("banned", "banned")]
)
def test_it_leaves_an_account_alone_that_a_person_paused_but_never_hides_a_ban(rejection: str, status: str) -> None:
    row = AccountFactory(status=AccountStatus.PAUSED)
    accounts_report([AccountReport(account_id=row.pk, rejection=rejection)])
    row.refresh_from_db()
    assert row.status == status
