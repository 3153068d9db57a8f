"""The one-time set-up link: works once, for a day, for the first administrator only."""

from __future__ import annotations

import time

import pytest
from django.conf import settings
from django.test import Client

from accounts.models import User
from accounts.services.people import get_or_create_user
from codexproxy.dashboard.setup import FIRST_USERNAME, VALID_S, SetupToken

pytestmark = pytest.mark.django_db

FORM = {"username": "grace", "password1": "correct horse battery", "password2": "correct horse battery"}


@pytest.fixture
def link() -> str:
    return f"/admin/setup/{SetupToken(settings.DATA_DIR).create(time.time())}/"


def test_the_link_makes_the_first_administrator_and_logs_them_in(client: Client, link: str) -> None:
    assert client.get(link).status_code == 200

    answer = client.post(link, FORM)

    assert answer.status_code == 302
    user = User.objects.get()
    assert (user.username, user.is_superuser, user.is_staff) == ("grace", True, True)
    assert user.check_password(FORM["password1"])
    assert client.get("/admin/").status_code == 200


def test_the_link_is_gone_once_used_and_stays_gone_without_administrators(client: Client, link: str) -> None:
    client.post(link, FORM)
    assert Client().get(link).status_code == 404

    User.objects.all().delete()

    assert Client().get(link).status_code == 404


def test_the_owner_of_the_first_key_becomes_the_administrator(client: Client, link: str) -> None:
    owner = get_or_create_user(username=FIRST_USERNAME, actor="test")

    client.post(link, FORM)

    assert User.objects.get().pk == owner.pk


def test_somebody_with_a_password_is_never_taken_over(client: Client, link: str) -> None:
    User.objects.create_user(FIRST_USERNAME, password="their own password")

    answer = client.post(link, {**FORM, "username": FIRST_USERNAME})

    assert answer.status_code == 200
    assert not User.objects.filter(is_superuser=True).exists()


def test_a_weak_password_is_refused_and_the_link_still_works(client: Client, link: str) -> None:
    assert client.post(link, {**FORM, "password1": "short", "password2": "short"}).status_code == 200
    assert not User.objects.exists()

    assert client.post(link, FORM).status_code == 302


@pytest.mark.parametrize("token", ["x", "a" * 43])
def test_a_wrong_token_is_not_found(client: Client, link: str, token: str) -> None:
    assert client.get(f"/admin/setup/{token}/").status_code == 404


def test_there_is_no_link_when_somebody_can_administer(client: Client, link: str, admin_user: User) -> None:
    assert client.get(link).status_code == 404


def test_tokens_expire_replace_each_other_and_are_stored_as_hashes(tmp_path) -> None:
    keeper = SetupToken(tmp_path)
    first, second = keeper.create(1_000.0), keeper.create(1_000.0)
    text = (tmp_path / "setup_token").read_text()

    assert first not in text
    assert second not in text
    assert (tmp_path / "setup_token").stat().st_mode & 0o077 == 0
    assert not keeper.is_valid(first, 1_001.0)
    assert keeper.is_valid(second, 1_000.0 + VALID_S - 1)
    assert not keeper.is_valid(second, 1_000.0 + VALID_S)
    assert [keeper.spend(second, 1_001.0), keeper.spend(second, 1_001.0)] == [True, False]


def test_a_broken_token_file_means_no_link(tmp_path) -> None:
    (tmp_path / "setup_token").write_text("{")

    assert not SetupToken(tmp_path).is_valid("", 0.0)
