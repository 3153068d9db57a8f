"""The key ring and the encrypted field: nothing in clear at rest, nothing in clear by accident."""

from __future__ import annotations

import logging

import pytest
from django.core.exceptions import FieldError
from django.core.management import call_command
from django.db import connection
from django.forms.models import model_to_dict

from accounts.checks import check_keys, check_rows_decrypt
from accounts.crypto import DecryptionFailed, KeyRing, key_id
from accounts.fields import UnreadableSecret
from accounts.models import Account
from providers.contract import Secret
from tests.factories import AccountFactory, access_jwt

OLD, NEW = "old-key-" + "o" * 40, "new-key-" + "n" * 40


def raw(column: str) -> str:
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {column} FROM accounts_account")
        return str(cursor.fetchone()[0])


def test_it_decrypts_what_any_key_of_the_ring_encrypted() -> None:
    stored = KeyRing([OLD]).encrypt("clear", "a.b")
    assert KeyRing([NEW, OLD]).decrypt(stored, "a.b") == "clear"
    assert KeyRing([NEW, OLD]).encrypt("clear", "a.b").split(":")[1] == key_id(NEW)


def test_it_encrypts_the_same_text_differently_each_time() -> None:
    ring = KeyRing([NEW])
    assert ring.encrypt("clear", "a.b") != ring.encrypt("clear", "a.b")


@pytest.mark.parametrize(
    ("stored", "context"),
    [
        pytest.param(KeyRing([OLD]).encrypt("clear", "a.b"), "a.b", id="unknown key"),
        pytest.param(KeyRing([NEW]).encrypt("clear", "a.b"), "a.c", id="moved to another column"),
        pytest.param(KeyRing([NEW]).encrypt("clear", "a.b")[:-6] + "AAAA==", "a.b", id="damaged"),
        pytest.param("clear", "a.b", id="never encrypted"),
        pytest.param(f"v1:{key_id(NEW)}:!!", "a.b", id="not base64"),
    ],
)
def test_it_refuses_what_it_cannot_open_without_quoting_it(stored: str, context: str) -> None:
    with pytest.raises(DecryptionFailed) as failure:
        KeyRing([NEW]).decrypt(stored, context)
    assert "clear" not in str(failure.value)


def test_bytes_are_sealed_for_their_context_and_opened_with_any_key_of_the_ring() -> None:
    sealed = KeyRing([OLD]).seal(b"clear\x00\xff", "journal:7")
    assert b"clear" not in sealed and sealed != KeyRing([OLD]).seal(b"clear\x00\xff", "journal:7")
    assert KeyRing([NEW, OLD]).unseal(sealed, "journal:7") == b"clear\x00\xff"


@pytest.mark.parametrize(
    ("sealed", "context"),
    [
        pytest.param(KeyRing([OLD]).seal(b"clear", "journal:7"), "journal:7", id="unknown key"),
        pytest.param(KeyRing([NEW]).seal(b"clear", "journal:7"), "journal:8", id="moved to another context"),
        pytest.param(KeyRing([NEW]).seal(b"clear", "journal:7")[:-1] + b"x", "journal:7", id="damaged"),
        pytest.param(b"", "journal:7", id="empty"),
        pytest.param(key_id(NEW).encode() + b"short", "journal:7", id="cut"),
    ],
)
def test_bytes_that_cannot_be_opened_are_refused_without_quoting_them(sealed: bytes, context: str) -> None:
    with pytest.raises(DecryptionFailed) as failure:
        KeyRing([NEW]).unseal(sealed, context)
    assert "clear" not in str(failure.value)


@pytest.mark.django_db
def test_it_keeps_tokens_encrypted_in_the_database_and_hidden_in_python(caplog: pytest.LogCaptureFixture) -> None:
    token = access_jwt()
    row = AccountFactory(access_token=token, refresh_token="rt_canary-refresh-token")
    row = Account.objects.get(pk=row.pk)
    assert row.access_token is not None
    assert row.access_token.reveal() == token
    assert raw("access_token").startswith("v1:")
    assert token not in raw("access_token")
    with caplog.at_level(logging.INFO):
        logging.getLogger("test").info("%s %r %s %r", row, row, row.access_token, row.__dict__)
    seen = f"{row}{row!r}{row.access_token}{row.refresh_token!r}{row.__dict__}{model_to_dict(row)}{caplog.text}"
    assert token not in seen
    assert "rt_canary" not in seen


@pytest.mark.django_db
def test_it_stores_empty_secrets_as_null_and_answers_only_whether_there_is_one() -> None:
    AccountFactory(refresh_token="")
    assert Account.objects.filter(refresh_token__isnull=True).count() == 1
    with pytest.raises(FieldError):
        Account.objects.filter(access_token="x").count()


@pytest.mark.django_db
def test_it_reencrypts_every_row_with_the_first_key(
    settings: pytest.FixtureRequest, capsys: pytest.CaptureFixture[str]
) -> None:
    settings.ENCRYPTION_KEYS = [OLD]
    row = AccountFactory(refresh_token="rt_kept")
    settings.ENCRYPTION_KEYS = [NEW, OLD]
    call_command("rotate_encryption", batch_size=1)
    assert raw("refresh_token").startswith(f"v1:{key_id(NEW)}:")
    settings.ENCRYPTION_KEYS = [NEW]
    kept = Account.objects.get(pk=row.pk).refresh_token
    assert kept == Secret("rt_kept")
    assert "rt_kept" not in capsys.readouterr().out


@pytest.mark.django_db
def test_it_keeps_a_value_that_no_key_opens_and_reports_it(settings: pytest.FixtureRequest) -> None:
    settings.ENCRYPTION_KEYS = [OLD]
    row = AccountFactory(label="lost")
    before = raw("access_token")
    settings.ENCRYPTION_KEYS = [NEW]
    row = Account.objects.get(pk=row.pk)
    assert isinstance(row.access_token, UnreadableSecret)
    with pytest.raises(DecryptionFailed):
        row.access_token.reveal()
    row.save()
    assert raw("access_token") == before
    (finding,) = check_rows_decrypt(databases=["default"])
    assert finding.id == "accounts.E003"
    assert "lost" in finding.msg
    settings.ENCRYPTION_KEYS = [NEW, OLD]
    assert check_rows_decrypt(databases=["default"]) == []


def test_it_refuses_a_missing_and_a_short_key(settings: pytest.FixtureRequest) -> None:
    settings.ENCRYPTION_KEYS = []
    assert [finding.id for finding in check_keys()] == ["accounts.E001"]
    settings.ENCRYPTION_KEYS = [NEW, "short"]
    (finding,) = check_keys()
    assert finding.id == "accounts.E002"
    assert "short" not in finding.msg.replace("shorter", "")
    settings.ENCRYPTION_KEYS = [NEW]
    assert check_keys() == []
