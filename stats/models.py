"""Rows of usage: one per request, written in batches by `writer.py`. Fields mirror `meter.UsageRecord`."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.utils.translation import gettext_lazy as _


class UsageRecordQuerySet(models.QuerySet["UsageRecord"]):
    """Questions that the dashboard asks of usage records."""

    def failed(self) -> UsageRecordQuerySet:
        """Only requests that did not get an answer; a client that hung up is not a failure."""
        return self.exclude(outcome__in=[UsageRecord.Outcome.OK, UsageRecord.Outcome.CLIENT_GONE])


class UsageRecord(models.Model):
    """What one request came to; with `requests` > 1, a minute of them folded together under overload.

    Deleting a key, a person or an account keeps its records: what was used stays used.
    """

    class Outcome(models.TextChoices):
        """How a request ended, in words for people."""

        OK = "ok", _("Answered")
        CLIENT_GONE = "client_gone", _("Client hung up")
        CLIENT_ERROR = "client_error", _("Request refused")
        RATE_LIMITED = "rate_limited", _("Limit reached")
        NO_CAPACITY = "no_capacity", _("No account free")
        UPSTREAM_ERROR = "upstream_error", _("Upstream failed")
        GATEWAY_BUG = "gateway_bug", _("Gateway bug")

    class Lane(models.TextChoices):
        """Whether bytes passed through or were translated."""

        RELAY = "relay", _("Relayed")
        TRANSLATE = "translate", _("Translated")
        NONE = "none", _("Not sent")

    request_id = models.CharField(_("request ID"), max_length=64, db_index=True)
    started_at = models.DateTimeField(_("started"))
    # The three foreign keys have no index of their own: the composite ones below begin with them.
    api_key = models.ForeignKey(
        "accounts.ApiKey",
        models.SET_NULL,
        null=True,
        blank=True,
        db_index=False,
        related_name="+",
        verbose_name=_("key"),
    )
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.SET_NULL,
        null=True,
        blank=True,
        db_index=False,
        related_name="+",
        verbose_name=_("person"),
    )
    account = models.ForeignKey(
        "accounts.Account",
        models.SET_NULL,
        null=True,
        blank=True,
        db_index=False,
        related_name="+",
        verbose_name=_("account"),
    )
    protocol = models.CharField(_("protocol"), max_length=32, blank=True)
    client = models.CharField(_("client"), max_length=64, blank=True)
    model = models.CharField(_("model"), max_length=128, blank=True)
    upstream_model = models.CharField(_("upstream model"), max_length=128, blank=True)
    lane = models.CharField(_("lane"), max_length=16, choices=Lane, default=Lane.NONE)
    is_stream = models.BooleanField(_("streamed"), default=False)
    status = models.PositiveSmallIntegerField(_("HTTP status"), default=0)
    outcome = models.CharField(_("outcome"), max_length=32, choices=Outcome, default=Outcome.OK)
    error_code = models.CharField(_("error code"), max_length=64, blank=True)
    error_message = models.CharField(_("error message"), max_length=500, blank=True)
    attempts = models.PositiveSmallIntegerField(_("attempts"), default=0)
    ttfb_ms = models.PositiveIntegerField(_("time to first byte"), null=True, blank=True)
    duration_ms = models.PositiveBigIntegerField(_("duration"), default=0)
    input_tokens = models.PositiveBigIntegerField(_("input tokens"), default=0)
    cached_tokens = models.PositiveBigIntegerField(_("cached tokens"), default=0)
    output_tokens = models.PositiveBigIntegerField(_("output tokens"), default=0)
    reasoning_tokens = models.PositiveBigIntegerField(_("reasoning tokens"), default=0)
    requests = models.PositiveIntegerField(_("requests"), default=1)
    why = models.TextField(_("how it was decided"), blank=True, default="")
    """JSON of `accounts.why.Why`, at most 2 KB: read whole, never searched."""

    objects = UsageRecordQuerySet.as_manager()

    class Meta:
        verbose_name = _("request")
        verbose_name_plural = _("requests")
        indexes = [
            models.Index(fields=["-started_at", "-id"], name="usage_recent_idx"),
            models.Index(fields=["outcome", "-started_at"], name="usage_outcome_idx"),
            models.Index(fields=["api_key", "-started_at"], name="usage_key_idx"),
            models.Index(fields=["user", "-started_at"], name="usage_user_idx"),
            models.Index(fields=["account", "-started_at"], name="usage_account_idx"),
        ]

    def __str__(self) -> str:
        return self.request_id
