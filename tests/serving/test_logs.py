"""Canaries: whatever is logged, no secret leaves."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Callable, Iterator

import pytest

from codexproxy.logs import logging_config, mask

JWT = "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dBjftJeZ4CVP-mB92K27uhbUJU1p1r"
SECRETS = [
    f"Bearer {JWT}",
    "Bearer abcdefgh12345678",
    "cpx-R3qGmswIPBqKsBCYap4uGmt3t8o20rgjyaU_lCg0a0",
    "rt_01HZX4ABCDEFGHJKMNPQRSTVWXYZ",
    "sk-proj-abcdefghijklmnopqrstuvwxyz",
    "sk-ant-api03-abcdefghijklmnopqrstuvwxyz",
    "AIzaSyA1234567890abcdefghijklmnopqrstu",
    JWT,
    "http://user:hunter2hunter2@proxy.example:3128",
]


@pytest.mark.parametrize("secret", SECRETS)
def test_a_secret_is_masked_wherever_it_stands(secret: str) -> None:
    masked = mask(f"before {secret} after")

    assert masked.startswith("before ")
    assert masked.endswith(" after")
    assert "***" in masked
    assert secret[-10:].removesuffix(".example:3128") not in masked.replace("proxy.example:3128", "")


@pytest.mark.parametrize(
    "text", ["max_tokens: 12", "gpt-5.5", "cpx-", "the bearer of this", "request req_00ab", "risk-averse people"]
)
def test_ordinary_words_stay(text: str) -> None:
    assert mask(text) == text


@pytest.fixture
def lines() -> Iterator[Callable[[], list[dict]]]:
    """Log through the real formatter; return the parsed lines."""
    formatter = dict(logging_config("INFO", "json")["formatters"]["structured"])
    sink = io.StringIO()
    handler = logging.StreamHandler(sink)
    handler.setFormatter(formatter.pop("()")(**formatter))
    logger = logging.getLogger("canary")
    logger.addHandler(handler)
    logger.setLevel("INFO")
    yield lambda: [json.loads(line) for line in sink.getvalue().splitlines()]
    logger.removeHandler(handler)


def test_messages_extras_and_tracebacks_are_masked(lines) -> None:
    logger = logging.getLogger("canary")
    logger.info("token %s", SECRETS[2], extra={"headers": {"cookie": "a=b", "x": [JWT]}, "api_key": "plain", "n": 3})
    try:
        raise ValueError(f"bad key {SECRETS[3]}")
    except ValueError:
        logger.exception("it broke")

    first, second = lines()

    text = json.dumps([first, second])
    assert not any(secret[12:] in text for secret in SECRETS)
    assert first["headers"] == {"cookie": "***", "x": ["***"]}
    assert (first["api_key"], first["n"], first["level"], first["logger"]) == ("***", 3, "info", "canary")
    assert "ValueError: bad key rt_" in second["exception"]


def test_a_log_line_cannot_forge_another(lines) -> None:
    logging.getLogger("canary").warning('ok\n{"event": "forged"}')

    assert len(lines()) == 1
