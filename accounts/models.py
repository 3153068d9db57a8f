"""Rows: people, their API keys, the upstream accounts, the audit log. Fields and constraints only.

Everything that changes a row is in `services.py` and `refresh.py`; what the hot path sees of rows is in `values.py`.
Secrets live in encrypted fields or as digests, never in `__str__`. Identity rules: spec/operations.md §1.1, §1.5.
"""

from __future__ import annotations

import secrets
from datetime import datetime
from typing import ClassVar, Self

from django.contrib.auth.models import AbstractUser
from django.db import models
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from accounts.fields import EncryptedTextField


def new_account_id() -> str:
    """Return 16 hex characters: the stable id of an account, used in every URL."""
    return secrets.token_hex(8)


class User(AbstractUser):
    """A person. Staff may open the dashboard; everyone may own API keys."""

    class Meta(AbstractUser.Meta):
        verbose_name = _("person")  # type: ignore[assignment]  # the stubs' base class says str, Django takes both
        verbose_name_plural = _("people")  # type: ignore[assignment]


class AccountStatus(models.TextChoices):
    """What an operator, or a refusal, decided; who changes it when is the table in `lifecycle.py`.

    Cooling down and a token that is being renewed are no statuses: they end by themselves.
    """

    ACTIVE = "active", _("Active")
    PAUSED = "paused", _("Paused")
    NEEDS_LOGIN = "needs_login", _("Needs log-in")
    UNPAID = "unpaid", _("Payment needed")
    BANNED = "banned", _("Banned")
    DISABLED = "disabled", _("Disabled")


class AccountQuerySet(models.QuerySet["Account"]):
    """The questions an operator asks of accounts. `now` is an argument, so that one page has one time."""

    def ready(self, now: datetime) -> Self:
        """Return those that can take a request."""
        return self.filter(status=AccountStatus.ACTIVE).exclude(cooling_until__gt=now).exclude(self._expired(now))

    def cooling(self, now: datetime) -> Self:
        """Return those that wait for a limit to pass."""
        return self.filter(status=AccountStatus.ACTIVE, cooling_until__gt=now).exclude(self._expired(now))

    def needing_login(self, now: datetime) -> Self:
        """Return those that only a new log-in can revive."""
        return self.filter(Q(status=AccountStatus.NEEDS_LOGIN) | Q(status=AccountStatus.ACTIVE) & self._expired(now))

    @staticmethod
    def _expired(now: datetime) -> Q:
        """A token that has expired, or was never there, and that nothing can renew."""
        is_stale = Q(token_expires_at__isnull=False, token_expires_at__lte=now) | Q(access_token__isnull=True)
        return is_stale & Q(refresh_token__isnull=True)


class Account(models.Model):
    """One upstream login. Invariant: at most one row per (provider, workspace, user); one refresh at a time.

    The lease fields make a refresh single-flight across processes; `refresh_spent_at` is set before the single-use
    refresh token leaves and cleared with the commit of its successor, so that what a crash lost is known.
    """

    id = models.CharField(primary_key=True, max_length=16, default=new_account_id, editable=False)
    provider = models.CharField(_("provider"), max_length=32, default="codex")
    label = models.CharField(_("label"), max_length=64, blank=True)
    email = models.CharField(_("e-mail"), max_length=254, blank=True)
    chatgpt_account_id = models.CharField(_("workspace id"), max_length=128, blank=True)
    chatgpt_user_id = models.CharField(_("user id"), max_length=128, blank=True)
    plan = models.CharField(_("plan"), max_length=32, blank=True)
    is_fedramp = models.BooleanField(default=False, editable=False)

    status = models.CharField(_("status"), max_length=16, choices=AccountStatus, default=AccountStatus.ACTIVE)
    status_reason = models.CharField(_("why"), max_length=300, blank=True)
    status_changed_at = models.DateTimeField(_("since"), default=timezone.now)

    access_token = EncryptedTextField()
    refresh_token = EncryptedTextField()
    id_token = EncryptedTextField()
    token_expires_at = models.DateTimeField(_("token expires"), null=True, blank=True)

    last_refreshed_at = models.DateTimeField(_("last refreshed"), null=True, blank=True)
    refresh_failures = models.PositiveIntegerField(default=0)
    refresh_refusals = models.PositiveIntegerField(default=0)
    refresh_retry_at = models.DateTimeField(null=True, blank=True)
    refresh_spent_at = models.DateTimeField(null=True, blank=True)
    lease_owner = models.CharField(max_length=64, blank=True)
    lease_until = models.DateTimeField(null=True, blank=True)

    max_concurrency = models.PositiveIntegerField(_("requests at once"), null=True, blank=True)
    pools = models.JSONField(_("pools"), default=list, blank=True)
    cooling_until = models.DateTimeField(_("cooling until"), null=True, blank=True)
    cooling_reason = models.CharField(_("cooling because"), max_length=300, blank=True)
    quota = models.JSONField(_("quota"), default=dict, blank=True)
    quota_at = models.DateTimeField(_("quota reported"), null=True, blank=True)
    quota_checked_at = models.DateTimeField(_("quota asked for"), null=True, blank=True)
    request_count = models.PositiveBigIntegerField(_("requests"), default=0)
    last_used_at = models.DateTimeField(_("last used"), null=True, blank=True)
    created_at = models.DateTimeField(_("added"), auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    objects = AccountQuerySet.as_manager()

    class Meta:
        verbose_name = _("account")
        verbose_name_plural = _("accounts")
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["provider", "chatgpt_account_id", "chatgpt_user_id"],
                condition=~Q(chatgpt_account_id="") & ~Q(chatgpt_user_id=""),
                name="account_identity_unique",
            ),
            models.CheckConstraint(
                condition=Q(max_concurrency__isnull=True) | Q(max_concurrency__gte=1),
                name="account_max_concurrency_positive",
            ),
        ]
        indexes: ClassVar = [models.Index(fields=["status"], name="account_status")]
        permissions: ClassVar = [("export_account", "Can export accounts with their live tokens")]

    def __str__(self) -> str:
        return self.label or self.email or self.id


class QuotaSample(models.Model):
    """How much of an account's plan was used at a moment, in percent; for charts. Kept for two weeks."""

    account = models.ForeignKey(Account, on_delete=models.CASCADE, related_name="quota_samples")
    at = models.DateTimeField()
    primary_used = models.FloatField(null=True)
    secondary_used = models.FloatField(null=True)

    class Meta:
        indexes: ClassVar = [
            models.Index(fields=["account", "at"], name="quota_sample_account_at"),
            models.Index(fields=["at"], name="quota_sample_at"),
        ]

    def __str__(self) -> str:
        return f"{self.account_id} {self.at:%F %R}"


class AccountCookie(models.Model):
    """A cookie that goes back to the upstream with an account's calls. Rules: `cookies.py`."""

    account = models.ForeignKey(Account, on_delete=models.CASCADE, related_name="cookies")
    name = models.CharField(max_length=64)
    value = EncryptedTextField()
    host = models.CharField(max_length=253)
    egress = models.CharField(max_length=16, blank=True)
    expires_at = models.DateTimeField(null=True)
    is_manual = models.BooleanField(default=False)

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["account", "name", "host", "egress"], name="account_cookie_unique")
        ]

    def __str__(self) -> str:
        return f"{self.account_id} {self.name}"


class PendingLogin(models.Model):
    """A log-in under way, so that any process can finish what another began. Invariant: finished at most once.

    `claimed_until` is a compare-and-swap lease around its one exchange; `secret` (the PKCE verifier, the device's id)
    goes when it ends. Rows live a few minutes: a late second callback finds out how the first one ended.
    """

    class Kind(models.TextChoices):
        BROWSER = "browser"
        DEVICE = "device"
        EXCHANGE = "exchange"  # a refresh token that is being exchanged; `state` is its digest

    class Outcome(models.TextChoices):
        PENDING = "pending"
        DONE = "done"
        FAILED = "failed"

    id = models.CharField(primary_key=True, max_length=16, default=new_account_id, editable=False)
    kind = models.CharField(max_length=16, choices=Kind)
    state = models.CharField(max_length=64, unique=True, null=True)
    secret = EncryptedTextField()
    user_code = models.CharField(max_length=32, blank=True)
    verification_url = models.CharField(max_length=300, blank=True)
    interval_s = models.FloatField(default=5.0)
    next_poll_at = models.DateTimeField(null=True)
    claimed_until = models.DateTimeField(null=True)
    outcome = models.CharField(max_length=16, choices=Outcome, default=Outcome.PENDING)
    message = models.CharField(max_length=300, blank=True)
    account = models.ForeignKey(Account, on_delete=models.SET_NULL, null=True)
    is_new = models.BooleanField(default=False)
    label = models.CharField(max_length=64, blank=True)
    actor = models.CharField(max_length=150)
    created_at = models.DateTimeField(default=timezone.now)
    expires_at = models.DateTimeField()

    def __str__(self) -> str:
        return f"{self.kind} log-in {self.id}"


class ApiKey(models.Model):
    """A credential of a client. Invariant: the clear key exists once, at creation; here are its digest and start."""

    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="api_keys", verbose_name=_("person"))
    name = models.CharField(_("name"), max_length=100)
    prefix = models.CharField(_("key"), max_length=16, editable=False)
    digest = models.BinaryField(max_length=32, unique=True, editable=False)
    is_admin = models.BooleanField(_("may manage this gateway"), default=False)
    revoked_at = models.DateTimeField(_("revoked"), null=True, blank=True, editable=False)
    revoked_reason = models.CharField(_("revoked because"), max_length=200, blank=True, editable=False)
    expires_at = models.DateTimeField(_("expires"), null=True, blank=True)
    allowed_models = models.JSONField(_("allowed models"), default=list, blank=True)
    max_concurrency = models.PositiveIntegerField(_("requests at once"), null=True, blank=True)
    pool = models.CharField(_("pool"), max_length=32, blank=True)
    created_at = models.DateTimeField(_("created"), auto_now_add=True)
    last_used_at = models.DateTimeField(_("last used"), null=True, blank=True, editable=False)
    request_count = models.PositiveBigIntegerField(_("requests"), default=0, editable=False)

    class Meta:
        verbose_name = _("API key")
        verbose_name_plural = _("API keys")
        constraints: ClassVar = [
            models.CheckConstraint(
                condition=Q(max_concurrency__isnull=True) | Q(max_concurrency__gte=1),
                name="api_key_max_concurrency_positive",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.name} ({self.prefix}…)"


class SnapshotVersion(models.Model):
    """One row that grows with every change the hot path must see; see `changes.py`."""

    version = models.PositiveBigIntegerField(default=0)
    changed_at = models.DateTimeField(auto_now=True)

    def __str__(self) -> str:
        return str(self.version)


class AuditEntry(models.Model):
    """Who did what to what. Written once, never edited; holds no secret."""

    at = models.DateTimeField(_("when"), default=timezone.now)
    actor = models.CharField(_("who"), max_length=150)
    action = models.CharField(_("what"), max_length=64)
    target = models.CharField(_("to what"), max_length=200, blank=True)
    details = models.JSONField(_("details"), default=dict, blank=True)

    class Meta:
        verbose_name = _("audit entry")
        verbose_name_plural = _("audit log")
        indexes: ClassVar = [models.Index(fields=["-at"], name="audit_at")]

    def __str__(self) -> str:
        return f"{self.action} {self.target}".strip()

    @property
    def words(self) -> str:
        """Return what happened in words; an action without any is its own name."""
        return str(AUDIT_WORDS.get(self.action, self.action))


AUDIT_WORDS = {
    "account.active": _("Active"),
    "account.added": _("Added"),
    "account.banned": _("Banned"),
    "account.disabled": _("Disabled by the gateway"),
    "account.edited": _("Edited"),
    "account.needs_login": _("Needs log-in"),
    "account.refresh_interrupted": _("A renewal was interrupted"),
    "account.refresh_uncertain": _("A renewal had no answer"),
    "account.removed": _("Removed"),
    "account.status": _("Paused or resumed"),
    "account.unpaid": _("Payment needed"),
    "account.updated": _("Logged in again"),
    "account.usage_reset": _("Counters reset"),
}
"""What the log calls things, for people; the log itself keeps the names."""
