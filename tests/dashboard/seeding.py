"""A believable day of a small gateway, for the pages' tests and screenshots. Deterministic: the same every time."""

from __future__ import annotations

import random
from datetime import datetime, timedelta
from typing import Any

from accounts.models import AccountStatus, QuotaSample, User
from stats.models import UsageRecord
from tests.factories import AccountFactory, ApiKeyFactory, UserFactory

PASSWORD = "a long enough password"
FAILURES = (
    (
        UsageRecord.Outcome.RATE_LIMITED,
        429,
        "usage_limit_reached",
        "The usage limit of every account has been reached.",
    ),
    (
        UsageRecord.Outcome.UPSTREAM_ERROR,
        502,
        "upstream_disconnected",
        "The upstream closed the stream before its end.",
    ),
    (UsageRecord.Outcome.NO_CAPACITY, 503, "no_capacity", "No account is free; the next one is back in 12 min."),
    (UsageRecord.Outcome.CLIENT_ERROR, 400, "context_too_long", "The conversation is longer than the model can read."),
)


def operator() -> User:
    return User.objects.create_superuser("operator", "operator@example.com", PASSWORD)


def day(now: datetime, requests: int = 400) -> None:
    """Fill the 24 hours before `now`."""
    dice = random.Random(7)
    accounts = [
        AccountFactory(label="team-1", email="one@example.com", plan="pro", quota=_quota(now, 22, 49), quota_at=now),
        AccountFactory(label="team-2", email="two@example.com", plan="plus", quota=_quota(now, 92, 83), quota_at=now),
        AccountFactory(
            label="team-3",
            email="three@example.com",
            cooling_until=now + timedelta(minutes=42),
            cooling_reason="5-hour limit reached",
        ),
        AccountFactory(
            label="old laptop",
            email="four@example.com",
            status=AccountStatus.NEEDS_LOGIN,
            status_reason="the log-in was revoked",
            status_changed_at=now - timedelta(hours=3),
        ),
    ]
    QuotaSample.objects.bulk_create(
        QuotaSample(account=account, at=now - timedelta(hours=age), primary_used=(age * 7 + 22) % 100)
        for account in accounts[:2]
        for age in range(48)
    )
    people = [UserFactory(username=name) for name in ("alice", "bob", "charlie")]
    keys = [ApiKeyFactory(user=user, name=name) for user, name in zip(people, ("laptop", "ci", "phone"), strict=True)]
    UsageRecord.objects.bulk_create(_record(number, now, dice, keys, accounts) for number in range(requests))


def _quota(now: datetime, short: int, long: int) -> dict[str, Any]:
    at = now.timestamp()
    return {
        "windows": {
            "codex": {
                "primary": {"used_percent": short, "window_minutes": 300, "reset_at": at + 7800},
                "secondary": {"used_percent": long, "window_minutes": 10080, "reset_at": at + 180_000},
            },
            "codex_bengalfox": {"primary": {"used_percent": 5, "window_minutes": 300, "reset_at": at + 9000}},
        },
        "names": {"codex_bengalfox": "GPT-5.3-Codex-Spark"},
        "reset_credits": 1,
    }


def _record(number, now, dice, keys, accounts) -> UsageRecord:
    age_h = min(23.9, abs(dice.gauss(0, 9)))
    key = dice.choice(keys)
    failure = dice.choice(FAILURES) if dice.random() < 0.03 else None
    input_tokens = dice.randint(2_000, 180_000)
    return UsageRecord(
        request_id=f"req_{number:032x}",
        started_at=now - timedelta(hours=age_h),
        api_key=key,
        user=key.user,
        account=None if failure else dice.choice(accounts[:3]),
        protocol=dice.choice(("openai-chat", "openai-responses")),
        client=dice.choice(("codex_cli_rs/0.144.1", "OpenAI/Python 3.54.0", "curl/7.88.1")),
        model=dice.choice(("gpt-5.5", "gpt-5.5-high", "gpt-5.4-mini")),
        upstream_model="gpt-5.5",
        lane=dice.choice((UsageRecord.Lane.RELAY, UsageRecord.Lane.TRANSLATE)),
        is_stream=True,
        status=failure[1] if failure else 200,
        outcome=failure[0] if failure else UsageRecord.Outcome.OK,
        error_code=failure[2] if failure else "",
        error_message=failure[3] if failure else "",
        attempts=dice.choice((1, 1, 1, 2)) if not failure else 3,
        ttfb_ms=None if failure else int(dice.lognormvariate(6.5, 0.4)),
        duration_ms=dice.randint(900, 64_000),
        input_tokens=0 if failure else input_tokens,
        cached_tokens=0 if failure else int(input_tokens * dice.uniform(0.7, 0.99)),
        output_tokens=0 if failure else dice.randint(50, 6_000),
    )
